"""The cache of arrays: what is read is what was written, also after interruptions and damage."""

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from seenet.core.errors import SeenetError
from seenet.features.array_cache import ENTRY, ArrayCache

KEYS = np.array([7, 2**63 + 1, 5], dtype=np.uint64)


def arrays() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.normal(size=(rows, 2, 3)).astype(np.float32) for rows in (4, 1, 2)]


def open_cache(folder: Path) -> ArrayCache:
    return ArrayCache(folder / "cache", (2, 3), np.float32)


def write(folder: Path, blocks: list[slice]) -> None:
    with open_cache(folder).locked("a cache") as writer:
        for block in blocks:
            writer.append(KEYS[block].tolist(), arrays()[block])


def missing(folder: Path) -> list[int]:
    return open_cache(folder).find_missing(KEYS).tolist()


def test_arrays_are_read_as_they_were_written(tmp_path: Path):
    assert missing(tmp_path) == [0, 1, 2]
    write(tmp_path, [slice(0, 2)])
    assert missing(tmp_path) == [2]
    write(tmp_path, [slice(2, 3)])
    cache = open_cache(tmp_path)
    assert cache.find_missing(KEYS).tolist() == []
    for key, expected in zip(KEYS.tolist(), arrays(), strict=True):
        np.testing.assert_array_equal(cache.read(key), expected)
    assert cache.find_missing(np.array([9, 7, 9], dtype=np.uint64)).tolist() == [0], "each key once"


def test_open_cache_finds_what_another_process_adds(tmp_path: Path):
    cache = open_cache(tmp_path)
    write(tmp_path, [slice(0, 3)])
    with cache.locked("a cache"):
        assert cache.find_missing(KEYS).tolist() == []


@pytest.mark.parametrize("lost", [1, 24, 30, 60])
def test_rows_that_were_not_written_completely_are_missing(tmp_path: Path, lost: int):
    write(tmp_path, [slice(0, 3)])
    data = tmp_path / "cache" / "data.bin"
    os.truncate(data, data.stat().st_size - lost)
    lacking = missing(tmp_path)
    assert lacking == ([2] if lost <= 48 else [1, 2])
    with open_cache(tmp_path).locked("a cache") as writer:
        writer.append(KEYS[lacking].tolist(), [arrays()[position] for position in lacking])
    cache = open_cache(tmp_path)
    assert cache.find_missing(KEYS).tolist() == []
    for key, expected in zip(KEYS.tolist(), arrays(), strict=True):
        np.testing.assert_array_equal(cache.read(key), expected)


@pytest.mark.parametrize("lost", [1, ENTRY.itemsize - 1])
def test_torn_entry_of_the_index_is_dropped(tmp_path: Path, lost: int):
    write(tmp_path, [slice(0, 3)])
    index = tmp_path / "cache" / "index.bin"
    os.truncate(index, index.stat().st_size - lost)
    assert missing(tmp_path) == [2]
    write(tmp_path, [slice(2, 3)])
    np.testing.assert_array_equal(open_cache(tmp_path).read(5), arrays()[2])


def test_damaged_values_are_missing_and_are_replaced(tmp_path: Path):
    write(tmp_path, [slice(0, 3)])
    with (tmp_path / "cache" / "data.bin").open("r+b") as data:
        data.seek(4 * 24 + 3)  # in the second array
        data.write(b"\x55")
    assert missing(tmp_path) == [1]
    write(tmp_path, [slice(1, 2)])
    assert missing(tmp_path) == []
    np.testing.assert_array_equal(open_cache(tmp_path).read(2**63 + 1), arrays()[1])


def test_full_disk_is_a_line_with_the_space_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    usage = namedtuple("usage", "total used free")(10**9, 10**9 - 3 * 10**6, 3 * 10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    message = r"has 3 MB free, and the features of 9 clips need 12 MB; free disk space, .*SEENET_CACHE"
    with pytest.raises(SeenetError, match=message), open_cache(tmp_path).locked("a cache") as writer:
        writer.require_space(12 * 10**6, "the features of 9 clips")


def test_write_error_keeps_what_was_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, [slice(0, 1)])

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(SeenetError, match="No space left on device.*run the same command to resume"):
            write(tmp_path, [slice(1, 3)])
    assert missing(tmp_path) == [1, 2]
    write(tmp_path, [slice(1, 3)])
    assert missing(tmp_path) == []
