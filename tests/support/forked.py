"""`seenet-train` in a separate process, forked from a server that has imported torch, Lightning and transformers.

Python's start and these imports take longer than a small training. Where they are what is tested, use
`support.console.process`.
"""

import importlib
import multiprocessing
import multiprocessing.context
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from support.console import HANG


@cache
def _server() -> multiprocessing.context.ForkServerContext:
    """Return what forks processes from a server, which starts at first use."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["seenet.cli.train", "seenet.training.run", "seenet.training.fold_runner"])
    return context


def send_signal_at(number: int, step: str, at: int) -> None:
    """Let this process send itself a signal at one call of a function `module:Class.name`, counted from 1."""
    module, _, name = step.rpartition(":")
    owner = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    function, calls = getattr(owner, last), [0]

    def sending(*arguments, **options):
        calls[0] += 1
        if calls[0] == at:
            os.kill(os.getpid(), number)
        return function(*arguments, **options)

    setattr(owner, last, sending)


def send_signal_in_extraction(number: int, at: int) -> None:
    """Write hidden states of every clip at once, and let this process send itself a signal at one such write."""
    importlib.import_module("seenet.features.hidden_states").BLOCK_SECONDS = 0.0
    send_signal_at(number, "seenet.features.array_cache:ArrayWriter.append", at)


def limit_file_size(size: int) -> None:
    """Let every write of this process beyond so many bytes of a file fail."""
    import resource  # POSIX only

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def use_ascii_streams() -> None:
    """Let this process print as on a terminal without an encoding for other characters."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="ascii", errors="strict")


def _train(
    arguments: list[str], folder: Path, outputs: list[Path], environment: Mapping[str, str], first: tuple | None
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for descriptor, path in zip((1, 2), outputs, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), descriptor)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job, as CI may be, ignores it
    sys.argv = ["seenet-train", *arguments]
    if first:
        function, *values = first
        function(*values)
    from seenet.cli.train import main

    main()


class ForkedTraining:
    """A running `seenet-train`.

    Args:
        folder: its working directory.
        logs: an empty folder for its output.
        arguments: of the command.
        first: a function and its arguments, called in the process before the command.
        environment: variables besides those of this process.
    """

    def __init__(
        self, folder: Path, logs: Path, *arguments: str, first: tuple[Callable, ...] | None = None, **environment: str
    ):
        self.arguments = list(arguments)
        self.outputs = [logs / name for name in ("stdout", "stderr")]
        for path in self.outputs:
            path.touch()
        variables = {**os.environ, **environment}
        self.process = _server().Process(target=_train, args=(self.arguments, folder, self.outputs, variables, first))
        self.process.start()

    def wait_for_output(self, words: str) -> None:
        """Wait until the process has printed these words, or has ended."""
        while words not in self.outputs[0].read_text(encoding="utf-8") and self.process.is_alive():
            time.sleep(0.05)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        if self.process.is_alive():
            os.kill(self.process.pid, number)

    def finish(self) -> subprocess.CompletedProcess[str]:
        """Wait for the end."""
        self.process.join(HANG)
        if self.process.is_alive():
            raise TimeoutError(f"seenet-train {' '.join(self.arguments)} has not ended after {HANG} s")
        output, errors = (path.read_text(encoding="utf-8") for path in self.outputs)
        return subprocess.CompletedProcess(self.arguments, self.process.exitcode, output, errors)

    def kill(self) -> None:
        """End it if it runs."""
        self.process.kill()
        self.process.join()
