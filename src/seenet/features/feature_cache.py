"""A memory-mapped array on disk with one row per clip, which is filled step by step and survives a kill."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seenet.core.atomic import atomic_write_text, explain_write_errors


class FeatureCache:
    """Rows of float32 in a folder; a second file marks the finished rows.

    Rows are written before their marks: a process that is killed loses at most the rows since the last `write`.

    Args:
        folder: of the cache; it is created.
        shape: of the array: clips first.
        about: text on the content, for people who look into the folder.

    Attributes:
        rows: all rows; unfinished ones are 0. Shape `shape`.

    Raises:
        SeenetError: the disk is full or the folder cannot be written.
    """

    def __init__(self, folder: Path, shape: Sequence[int], about: str):
        self._shape = tuple(shape)
        with explain_write_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            rows, finished = folder / "rows.f32", folder / "finished.u8"
            if not _is_complete(rows, np.dtype("<f4"), self._shape):
                finished.unlink(missing_ok=True)  # before the rows: marks must not outlive what they mark
            self.rows = _map(rows, np.dtype("<f4"), self._shape)
            self._finished = _map(finished, np.dtype("u1"), self._shape[:1])
            if not (folder / "about.json").is_file():
                atomic_write_text(folder / "about.json", about)

    def missing(self, wanted: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows in `wanted` that are not finished."""
        missing: NDArray[np.int64] = wanted[self._finished[wanted] == 0]
        return missing

    def write(self, rows: NDArray[np.int64], values: NDArray[np.float32]) -> None:
        """Write rows and mark them as finished.

        Args:
            rows: numbers of the rows. Shape (rows,).
            values: their content, in the same order.
        """
        self.rows[rows] = values
        self.rows.flush()
        self._finished[rows] = 1
        self._finished.flush()


def _is_complete(path: Path, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> bool:
    """Return whether a file has the size of an array."""
    return path.is_file() and path.stat().st_size == dtype.itemsize * int(np.prod(shape))


def _map(
    path: Path, dtype: np.dtype[np.generic], shape: tuple[int, ...]
) -> "np.memmap[tuple[int, ...], np.dtype[np.generic]]":
    """Map a file for writing; a new one has its complete size on disk at once, because a full disk ends a mapping."""
    size = dtype.itemsize * int(np.prod(shape))
    if not _is_complete(path, dtype, shape):
        with path.open("wb") as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
    return np.memmap(path, dtype, "r+", shape=shape)
