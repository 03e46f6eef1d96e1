"""Shared fixtures: a cache of the test session's own, a composed configuration, and the console scripts."""

import os
import subprocess
import sys
from collections.abc import Callable
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
    "read_audio": "seenet.corpora.store_builder:list_excerpts",
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
