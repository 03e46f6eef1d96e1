"""Handlers for SIGTERM and SIGUSR1, which a cluster sends before it ends a job."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from seenet.core.processes import get_rank

STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))


class StopSignalExit(SystemExit):
    """Exit of the program after a stop signal.

    Args:
        signum: the signal number; the exit code is 128 + signum.
    """

    def __init__(self, signum: int):
        super().__init__(128 + signum)
        self.signum = signum


_is_active = False  # inside `handle_stop_signals`
_is_deferred = False  # a training loop polls `get_pending` at its next step
_pending = 0  # the first deferred signal; 0 is none


def _handle(signum: int, frame: FrameType | None) -> None:
    global _pending
    if not _is_deferred:
        raise StopSignalExit(signum)
    _pending = _pending or signum


def install_handlers() -> None:
    """Install the handlers again after a library replaced them.

    Outside `handle_stop_signals` this has no effect.
    """
    if _is_active:
        for signum in STOP_SIGNALS:
            signal.signal(signum, _handle)


@contextmanager
def handle_stop_signals() -> Iterator[None]:
    """Convert stop signals to `StopSignalExit` within the context, and print one line.

    Only the main thread may set handlers; in other threads the context has no effect. Training defers signals to the
    next optimiser step (`defer`).
    """
    global _is_active
    if _is_active or threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    _is_active = True
    install_handlers()
    try:
        yield
    except StopSignalExit as stop:
        if get_rank() == 0:
            name = signal.Signals(stop.signum).name
            print(f"seenet: stopped by {name}; run the same command to resume", file=sys.stderr, flush=True)
        raise
    finally:
        _is_active = False
        stop_deferring()
        for signum, handler in previous.items():
            signal.signal(signum, handler)


def defer() -> None:
    """Record stop signals for `get_pending` instead of exiting at once."""
    global _is_deferred
    install_handlers()
    _is_deferred = _is_active


def stop_deferring() -> None:
    """Exit at once on later stop signals, and discard the pending one."""
    global _is_deferred, _pending
    _is_deferred, _pending = False, 0


def get_pending() -> int:
    """Return the number of the deferred stop signal, or 0."""
    return _pending


def ignore_stop_signals(worker: int) -> None:
    """Ignore stop signals in a DataLoader worker.

    A cluster sends signals to every process, and the main process decides.

    Args:
        worker: the number of the worker, as `worker_init_fn` receives it.
    """
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
