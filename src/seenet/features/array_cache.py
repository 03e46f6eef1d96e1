"""A folder of arrays by key: memory-mapped, append-only, resumable, and safe with several processes.

`data.bin` holds the values of all arrays, `index.bin` one entry per array. An entry is written after its values are on
the disk, therefore an interruption loses only the arrays of the last block.
"""

import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from seenet.core.atomic import explain_write_errors
from seenet.core.errors import SeenetError
from seenet.core.locks import hold_lock

ENTRY = np.dtype([("key", "<u8"), ("start", "<i8"), ("length", "<i4"), ("checksum", "<u4")])
"""An entry of the index: key, first row and number of rows of an array, and CRC-32 of its bytes."""

Keys = NDArray[np.uint64]


class ArrayCache:
    """Arrays of shape (rows, *row_shape) by key; the number of rows may differ.

    Args:
        folder: of the cache; it need not exist.
        row_shape: shape of a row.
        dtype: type of the values.
    """

    def __init__(self, folder: Path, row_shape: Sequence[int], dtype: DTypeLike):
        self.folder, self.row_shape, self.dtype = folder, tuple(row_shape), np.dtype(dtype)
        self._row_bytes = self.dtype.itemsize * int(np.prod(self.row_shape))
        self._data, self._index = folder / "data.bin", folder / "index.bin"
        self._positions: dict[int, int] = {}
        self._entries = np.zeros(0, ENTRY)
        self._rows: NDArray[Any] = np.zeros((0, *self.row_shape), self.dtype)
        self._reload()

    def _reload(self) -> None:
        """Map the arrays that are complete, also those that another process added."""
        entries, rows = self._read_files()
        self._entries = entries
        self._rows = np.memmap(self._data, self.dtype, "r", 0, (rows, *self.row_shape)) if rows else self._rows[:0]
        self._positions = {key: position for position, key in enumerate(entries["key"].tolist())}

    def _read_files(self) -> tuple[NDArray[np.void], int]:
        """Return the entries whose rows exist, and the number of rows of the data file."""
        if not self._index.is_file() or not self._data.is_file():
            return np.zeros(0, ENTRY), 0
        stored = self._index.read_bytes()
        rows = self._data.stat().st_size // self._row_bytes
        entries = np.frombuffer(stored[: len(stored) // ENTRY.itemsize * ENTRY.itemsize], ENTRY)
        is_complete = entries["start"] + entries["length"] <= rows
        return (entries if is_complete.all() else entries[: int(is_complete.argmin())]), rows

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the folder again in a loader process."""
        return ArrayCache, (self.folder, self.row_shape, self.dtype)

    def find_missing(self, keys: Keys) -> NDArray[np.int64]:
        """Return the positions of keys without an intact array, each key once."""
        first = np.unique(keys, return_index=True)[1]
        missing = [position for position in np.sort(first).tolist() if not self._is_intact(int(keys[position]))]
        return np.array(missing, dtype=np.int64)

    def _is_intact(self, key: int) -> bool:
        position = self._positions.get(key)
        return (
            position is not None and zlib.crc32(self._view(position).tobytes()) == self._entries["checksum"][position]
        )

    def _view(self, position: int) -> NDArray[Any]:
        start = int(self._entries["start"][position])
        return self._rows[start : start + int(self._entries["length"][position])]

    def read(self, key: int) -> NDArray[Any]:
        """Return the mapped array of a key that `find_missing` does not report. Shape (rows, *row_shape)."""
        return self._view(self._positions[int(key)])

    @contextmanager
    def locked(self, subject: str) -> Iterator["ArrayWriter"]:
        """Hold the cache for writing; other processes wait.

        Args:
            subject: the name of the cache in messages.

        Raises:
            SeenetError: the folder cannot be written.
        """
        with explain_write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            with hold_lock(Path(f"{self.folder}.lock"), subject):
                self._reload()
                entries, _ = self._read_files()
                rows = int((entries["start"] + entries["length"]).max(initial=0))
                with self._data.open("ab") as data, self._index.open("ab") as index:
                    os.truncate(self._data, rows * self._row_bytes)
                    os.truncate(self._index, len(entries) * ENTRY.itemsize)
                    try:
                        yield ArrayWriter(self, data, index, rows)
                    finally:
                        self._reload()


class ArrayWriter:
    """Appends arrays to a locked cache.

    Args:
        cache: the cache.
        data: its data file, opened for appending.
        index: its index, opened for appending.
        rows: number of rows of the data file.
    """

    def __init__(self, cache: ArrayCache, data: Any, index: Any, rows: int):
        self._cache, self._data, self._index, self._next_row = cache, data, index, rows

    def append(self, keys: Sequence[int], arrays: Sequence[NDArray[Any]]) -> None:
        """Write arrays, then their entries.

        Args:
            keys: of the arrays.
            arrays: shape (rows, *row_shape) each.
        """
        entries = np.zeros(len(keys), ENTRY)
        for position, (key, array) in enumerate(zip(keys, arrays, strict=True)):
            assert array.shape[1:] == self._cache.row_shape
            stored = np.ascontiguousarray(array, self._cache.dtype).tobytes()
            self._data.write(stored)
            entries[position] = (key, self._next_row, len(array), zlib.crc32(stored))
            self._next_row += len(array)
        self._data.flush()
        os.fsync(self._data.fileno())  # before the entries: an entry never describes rows that are not on the disk
        self._index.write(entries.tobytes())
        self._index.flush()

    def require_space(self, needed: int, content: str) -> None:
        """Check the free disk space.

        Args:
            needed: bytes.
            content: what needs them, for the message.

        Raises:
            SeenetError: the disk is too small.
        """
        free = shutil.disk_usage(self._cache.folder).free
        if needed > free:
            raise SeenetError(
                f"'{self._cache.folder}' has {free / 1e6:.0f} MB free, and {content} need {needed / 1e6:.0f} MB; free "
                "disk space, or set SEENET_CACHE=FOLDER, then run the same command to resume"
            )
