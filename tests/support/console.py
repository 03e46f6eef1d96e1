"""Console scripts in this process and in their own."""

import contextlib
import importlib
import io
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from unittest import mock

from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

HANG = 900
"""Seconds after which a process that should end is taken for one that never will; nothing is asserted of less."""

SMALL = ("dataset.speakers=6", "dataset.clips=2", "trainer.max_epochs=2", "data.batch_size=8")
"""A synthetic corpus of 48 clips and two epochs: seconds, not minutes."""


Script = Callable[..., subprocess.CompletedProcess[str]]
"""Runs a console script with the arguments given."""


@contextlib.contextmanager
def _fresh() -> Iterator[None]:
    """The environment, Hydra and the warnings as a new process has them, and what they were again at the end."""
    hydra, hydra_config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    with mock.patch.dict(os.environ), warnings.catch_warnings():
        warnings.resetwarnings()  # remove pytest's filters: warnings go to standard error, as for a user
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = lambda *about: print(warnings.formatwarning(*about[:4]), file=sys.stderr)
        try:
            yield
        finally:
            GlobalHydra.instance().hydra, HydraConfig.instance().cfg = hydra, hydra_config


@contextlib.contextmanager
def _known_mode(arguments: Sequence[str]) -> Iterator[None]:
    """Spare Hydra the composition that only finds hydra.mode, which nothing but an experiment sets."""
    if any(word.lstrip("+").startswith(("experiment=", "hydra.mode=")) for word in arguments):
        yield
    else:
        with mock.patch.object(Hydra, "get_mode", return_value=None):
            yield


def script(name: str, folder: Path) -> Script:
    """A console script's `main()` in this process, which has imported torch already."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        main = importlib.import_module(f"seenet.cli.{name.removeprefix('seenet-')}").main
        command, out, err = [name, *arguments], io.StringIO(), io.StringIO()
        with (
            _fresh(),
            _known_mode(arguments),
            contextlib.chdir(folder),
            mock.patch.object(sys, "argv", list(command)),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
                code = 0
            except SystemExit as end:
                code = end.code
        return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())

    return run


def process(name: str, folder: Path) -> Script:
    """Return a function that runs the installed console script in a separate process with extra variables."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name(name)), *arguments]
        env = {**os.environ, **environment}
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=HANG)

    return run
