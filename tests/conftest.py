"""Shared fixtures: a cache of the test session's own, a composed configuration, and the console scripts."""

import functools
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

# Before torch is loaded, here and in the processes that tests start: the models are tiny, and on a busy machine several
# threads wait for each other many times as long as they compute.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import numpy as np
import pytest
import soundfile
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from seenet.core.paths import conf_dir
from support.console import Script, process, script
from support.forked import ForkedTraining, send_signal_at
from support.quick_pictures import QuickPictures


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    os.environ["SEENET_CACHE"] = str(folder)
    os.environ.pop("SEENET_DATA", None)
    return folder


@pytest.fixture(scope="session", autouse=True)
def quick_pictures() -> Iterator[QuickPictures]:
    """Replace the drawing of pictures, which takes longer than a small training; see `drawn_pictures`."""
    pictures = QuickPictures()
    pictures.start()
    yield pictures
    pictures.stop()


@pytest.fixture
def drawn_pictures(quick_pictures: QuickPictures) -> Iterator[None]:
    """Draw pictures in a test that is about them."""
    with quick_pictures.drawn():
        yield


@functools.cache
def _compose(overrides: tuple[str, ...]) -> DictConfig:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("train", overrides=list(overrides))


@pytest.fixture
def config() -> Callable[..., DictConfig]:
    """Compose conf/train.yaml with overrides; the same overrides are composed once."""
    return lambda *overrides: deepcopy(_compose(overrides))


@pytest.fixture
def seenet_train(tmp_path: Path) -> Script:
    """Run `seenet-train` in this process, in an empty folder and writing below it."""
    return script("seenet-train", tmp_path)


@pytest.fixture
def seenet_train_process(tmp_path: Path) -> Script:
    """As `seenet_train`, where the test is about the process itself."""
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


_STEPS = {
    "EmotionModel.training_step": "seenet.models.lightning_module:EmotionModel.training_step",
    "EmotionModel.validation_step": "seenet.models.lightning_module:EmotionModel.validation_step",
    "EmotionModel.test_step": "seenet.models.lightning_module:EmotionModel.test_step",
    "read_audio": "seenet.corpora.store_builder:list_excerpts",
}


@pytest.fixture
def start_training(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ForkedTraining]]:
    """Start `seenet-train` in a separate process, in an empty folder that receives its output."""
    started: list[ForkedTraining] = []

    def start(*arguments: str, first: tuple[Callable, ...] | None = None, **environment: str) -> ForkedTraining:
        logs = tmp_path_factory.mktemp("logs")
        started.append(ForkedTraining(tmp_path, logs, *arguments, first=first, **environment))
        return started[-1]

    yield start
    for training in started:
        training.kill()


@pytest.fixture
def run_with_signal(start_training) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `seenet-train` in a process that sends itself a signal at one call of a function, counted from 1."""

    def run(name: str, step: str, at: int, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        sender = (send_signal_at, getattr(signal, name), _STEPS[step], at)
        return start_training(*arguments, first=sender, **environment).finish()

    return run


@pytest.fixture
def short_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a plan probe each model with few steps, in a test that is not about the estimated time."""
    monkeypatch.setattr("seenet.training.probing.PROBE_STEPS", 4)


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
