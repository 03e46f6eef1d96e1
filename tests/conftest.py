"""Shared fixtures: a cache of the test session's own, a composed configuration, and the console scripts."""

import contextlib
import importlib
import io
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

# Before torch is loaded, here and in the processes that tests start: the models are tiny, and on a busy machine several
# threads wait for each other many times as long as they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pytest
import soundfile
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from seenet.core.paths import conf_dir
from seenet.data.batch import Batch

HANG = 900
"""Seconds after which a process that should end is taken for one that never will; nothing is asserted of less."""

SMALL = ("dataset.speakers=6", "dataset.clips=2", "trainer.max_epochs=2", "data.batch_size=8")
"""A synthetic corpus of 48 clips and two epochs: seconds, not minutes."""


def pad(waveforms: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Zeros behind the shorter clips, and the lengths."""
    lengths = torch.tensor([len(w) for w in waveforms])
    return torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True), lengths


def batch_of(clips: list[torch.Tensor], partners: list[torch.Tensor] | None = None) -> Batch:
    """Clips as a padded batch; labels 0 to 3 in turn, one unknown speaker."""
    count = len(clips)
    unknown = torch.full((count,), -1)
    batch = Batch(*pad(clips), torch.arange(count) % 4, unknown, unknown, torch.arange(count))
    if partners is None:
        return batch
    partner, partner_lengths = pad(partners)
    return replace(batch, partner=partner, partner_lengths=partner_lengths)


class NoFetching(TorchFunctionMode):
    """Fails where a tensor is fetched to the host, which on a CPU no operation tells."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        fetches = ("tolist", "item", "cpu", "numpy", "__bool__", "__int__", "__float__", "__index__")
        assert getattr(func, "__name__", "") not in fetches, func
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def no_waiting() -> Iterator[None]:
    """Neither of both."""
    with NoWaiting(), NoFetching():
        yield


class NoWaiting(TorchDispatchMode):
    """Fails where a computation needs a value on the host, which on a GPU waits for all that was asked before."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        waits = (
            "_local_scalar_dense",
            "equal.",
            "nonzero",
            "masked_select",
            "_unique",
            "bincount",
            "repeat_interleave.Tensor",
        )
        assert not any(f"aten.{name}" in str(func) for name in waits), func
        if str(func).startswith(("aten.index.", "aten.index_put")):
            masks = any(i is not None and i.dtype == torch.bool for i in args[1])
            fills = "index_put" in str(func) and args[2].dim() == 0  # a number: with a mask, torch fills it in
            assert masks == fills, "a mask as an index, or a number that is copied"
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    os.environ["SEENET_CACHE"] = str(folder)
    os.environ.pop("SEENET_DATA", None)
    return folder


@pytest.fixture
def config() -> Callable[..., DictConfig]:
    """Compose conf/train.yaml with overrides."""

    def composed(*overrides: str) -> DictConfig:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            return compose("train", overrides=list(overrides))

    return composed


Script = Callable[..., subprocess.CompletedProcess[str]]
"""Runs a console script with the arguments given."""


@contextlib.contextmanager
def _fresh() -> Iterator[None]:
    """The environment, Hydra and the warnings as a new process has them, and what they were again at the end."""
    hydra, hydra_config = GlobalHydra.instance().hydra, HydraConfig.instance().cfg
    GlobalHydra.instance().clear()
    HydraConfig.instance().cfg = None
    with mock.patch.dict(os.environ), warnings.catch_warnings():
        warnings.resetwarnings()  # pytest's own filters; a warning is text on standard error, as it is to a user
        for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
            warnings.simplefilter("ignore", category)
        warnings.showwarning = lambda *about: print(warnings.formatwarning(*about[:4]), file=sys.stderr)
        try:
            yield
        finally:
            GlobalHydra.instance().hydra, HydraConfig.instance().cfg = hydra, hydra_config


def script(name: str, folder: Path) -> Script:
    """A console script's `main()` in this process, which has imported torch already."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        main = importlib.import_module(f"seenet.cli.{name.removeprefix('seenet-')}").main
        command, out, err = [name, *arguments], io.StringIO(), io.StringIO()
        with (
            _fresh(),
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
    """The installed console script, with environment variables of its own; seconds for the imports alone."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name(name)), *arguments]
        env = {**os.environ, **environment}
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=HANG)

    return run


@pytest.fixture
def seenet_train(tmp_path: Path) -> Script:
    """Run `seenet-train` in this process, in an empty folder and writing below it."""
    return script("seenet-train", tmp_path)


@pytest.fixture
def seenet_train_process(tmp_path: Path) -> Script:
    """As `seenet_train`, where a process of its own is what the test is about."""
    return process("seenet-train", tmp_path)


@pytest.fixture
def seenet_data(tmp_path: Path) -> Script:
    """As `seenet_train`."""
    return script("seenet-data", tmp_path)


@pytest.fixture
def seenet_data_process(tmp_path: Path) -> Script:
    """As `seenet_train_process`."""
    return process("seenet-data", tmp_path)


@pytest.fixture
def seenet_report(tmp_path: Path) -> Script:
    """As `seenet_train`."""
    return script("seenet-report", tmp_path)


_SENDER = """
import importlib, os, signal, sys

number, step, at = getattr(signal, sys.argv[1]), sys.argv[2], int(sys.argv[3])
module, _, name = step.rpartition(":")
owner = importlib.import_module(module)
for part in name.split(".")[:-1]:
    owner = getattr(owner, part)
name, calls = name.rpartition(".")[2], [0]
function = getattr(owner, name)

def sending(*arguments, **options):
    calls[0] += 1
    if calls[0] == at:
        os.kill(os.getpid(), number)
    return function(*arguments, **options)

setattr(owner, name, sending)
sys.argv = ["seenet-train", *sys.argv[4:]]
from seenet.cli.train import main
main()
"""

_STEPS = {
    "EmotionModel.training_step": "seenet.models.lightning_module:EmotionModel.training_step",
    "EmotionModel.validation_step": "seenet.models.lightning_module:EmotionModel.validation_step",
    "EmotionModel.test_step": "seenet.models.lightning_module:EmotionModel.test_step",
    "read_audio": "seenet.corpora.store_builder:_stretches",
}


@pytest.fixture
def run_with_signal(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `seenet-train` in a process that sends itself a signal at one call of a function, counted from 1."""

    def run(name: str, step: str, at: int, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", _SENDER, name, _STEPS[step], str(at), *arguments]
        env = {**os.environ, **environment}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)

    return run


@pytest.fixture
def write_tone() -> Callable[..., Path]:
    """Write a tone as an audio file of a given rate, channel count and format."""

    def write(path: Path, hertz: float = 440, seconds: float = 1.0, rate: int = 16000, **options) -> Path:
        channels = options.pop("channels", 1)
        path.parent.mkdir(parents=True, exist_ok=True)
        wave = 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
        soundfile.write(path, np.repeat(wave[:, None], channels, axis=1), rate, **options)
        return path

    return write
