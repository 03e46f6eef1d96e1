"""SIGTERM and SIGUSR1: what a cluster sends before it ends a job."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from seenet.core.processes import rank

STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))


class Stopped(SystemExit):
    """A stop signal ends the program.

    Args:
        signum: of the signal; the exit code is 128 + signum.
    """

    def __init__(self, signum: int):
        super().__init__(128 + signum)
        self.signum = signum


_handling = False  # whether `stop_signals` is active
_deferred = False  # whether a training loop asks for the signal at its next step
_pending = 0  # the signal that it will find; 0 is none


def _handle(signum: int, frame: FrameType | None) -> None:
    global _pending
    if not _deferred:
        raise Stopped(signum)
    _pending = _pending or signum


def install() -> None:
    """Set the handlers within `stop_signals`, again where a library has set its own; elsewhere do nothing."""
    if _handling:
        for signum in STOP_SIGNALS:
            signal.signal(signum, _handle)


@contextmanager
def stop_signals() -> Iterator[None]:
    """Turn stop signals into `Stopped` and say so in one line; a thread other than the main one keeps its handlers.

    Training defers them (`defer`) to its next optimiser step.
    """
    global _handling
    if _handling or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    _handling = True
    install()
    try:
        yield
    except Stopped as stop:
        if rank() == 0:
            name = signal.Signals(stop.signum).name
            print(f"seenet: stopped by {name}; run the same command to resume", file=sys.stderr, flush=True)
        raise
    finally:
        _handling = False
        resume()
        for signum, handler in before.items():
            signal.signal(signum, handler)


def defer() -> None:
    """Let stop signals wait until `pending` is asked."""
    global _deferred
    install()
    _deferred = _handling


def resume() -> None:
    """End at a stop signal at once again."""
    global _deferred, _pending
    _deferred, _pending = False, 0


def pending() -> int:
    """Return the number of the stop signal that waits; 0 where none does."""
    return _pending


def ignore_in_worker(worker: int) -> None:
    """Ignore stop signals in a loader process: a cluster sends them to every process, and the main one decides.

    Args:
        worker: its number.
    """
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
