"""Shared fixtures: a cache of the test session's own, a composed configuration, and the console script."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from seenet.paths import conf_dir

SMALL = ("dataset.speakers=6", "dataset.clips=2", "trainer.max_epochs=2", "data.batch_size=8")
"""A synthetic corpus of 48 clips and two epochs: seconds, not minutes."""


def pad(waveforms: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Zeros behind the shorter clips, and the lengths."""
    lengths = torch.tensor([len(w) for w in waveforms])
    return torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True), lengths


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


def _script(name: str, folder: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name(name)), *arguments]
        env = {**os.environ, **environment}
        return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)

    return run


@pytest.fixture
def seenet_train(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the installed console script in an empty folder, writing below it."""
    return _script("seenet-train", tmp_path)


@pytest.fixture
def seenet_data(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """As `seenet_train`."""
    return _script("seenet-data", tmp_path)


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
