"""Audio files that the tests of this folder share."""

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from support.audio_files import ALL_KINDS


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Write a file of a kind once and return its path; the name does not reveal the kind."""
    folder = tmp_path_factory.mktemp("sounds")
    numbers = itertools.count()
    files: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in files:
            files[kind] = ALL_KINDS[kind](folder / f"file{next(numbers)}.dat")
        return files[kind]

    return make
