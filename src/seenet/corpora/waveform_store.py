"""Waveform store: memory-mapped access to the decoded and resampled clips of a corpus."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from seenet.audio.defects import Remark
from seenet.core.errors import SeenetError
from seenet.core.paths import cache_dir
from seenet.corpora.bad_files import read_bad_files
from seenet.corpora.manifest import Manifest
from seenet.corpora.store_builder import ensure_store
from seenet.corpora.store_format import FULL_SCALE, read_remarks


class _MappedFile(NamedTuple):
    """File, type, offset and shape of a memory-mapped array."""

    path: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]

    @classmethod
    def describe(cls, array: NDArray[Any]) -> "NDArray[Any] | _MappedFile":
        """Describe a mapped array; return an array in memory unchanged."""
        if not isinstance(array, np.memmap) or array.filename is None:
            return array
        return cls(str(array.filename), array.dtype, array.offset, array.shape)

    def map(self) -> NDArray[Any]:
        """Map the file read-only."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


@dataclass(frozen=True)
class WaveformStore:
    """The waveforms of a manifest, in its order.

    Attributes:
        key: hash that names the store.
        folder: the store; for joined corpora, the folder of their stores.
        audio: all samples, int16, memory mapped; one array per joined corpus. Shape (samples,) each.
        index: one row per clip, see `seenet.corpora.store_format.INDEX`; offsets span all arrays. Shape (clips,).
        bad: the reason for each unreadable file, by row.
        remarks: remarks on usable files by row: kinds of findings with one line each.
    """

    key: str
    folder: Path
    audio: tuple[NDArray[np.int16], ...]
    index: NDArray[np.void]
    bad: dict[int, str]
    remarks: dict[int, list[Remark]] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """Replace mapped arrays by their files: a spawned loader process maps them again."""
        audio = tuple(map(_MappedFile.describe, self.audio))
        return {**self.__dict__, "audio": audio, "index": _MappedFile.describe(self.index)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the files of a pickled state."""

        def open_array(value: Any) -> NDArray[Any]:
            return value.map() if isinstance(value, _MappedFile) else value

        self.__dict__.update(state, audio=tuple(map(open_array, state["audio"])), index=open_array(state["index"]))

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Offset of the first sample of each array. Shape (arrays,)."""
        return np.cumsum([0, *(len(part) for part in self.audio[:-1])], dtype=np.int64)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of samples of each clip; 0 for an unreadable file. Shape (clips,)."""
        return self.index["length"]

    @property
    def digests(self) -> NDArray[np.uint64]:
        """Hash of each clip's samples, 0 for all silent clips. Shape (clips,)."""
        return np.where(self.index["silent"], np.uint64(0), self.index["samples"])

    def waveform(self, index: int) -> NDArray[np.float32]:
        """Return a clip at 16 kHz with full scale 1. Shape (samples,)."""
        waveform: NDArray[np.float32] = self.padded([index])[0]
        return waveform

    def padded(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        """Return zero-padded clips at 16 kHz with full scale 1. Shape (clips, longest)."""
        rows = self.index[indices]
        batch = np.empty((len(rows), rows["length"].max()), dtype=np.float32)
        parts = np.searchsorted(self._starts, rows["offset"], side="right") - 1
        starts = (rows["offset"] - self._starts[parts]).tolist()
        lengths, scales = (rows[name].tolist() for name in ("length", "scale"))
        for row, part, start, length, scale in zip(batch, parts.tolist(), starts, lengths, scales, strict=True):
            row[:length] = self.audio[part][start : start + length]
            row[:length] *= np.float32(scale) / np.float32(FULL_SCALE)  # half the time of one combined step
            row[length:] = 0
        return batch


def open_store(manifest: Manifest, max_seconds: float) -> WaveformStore:
    """Open the store of a manifest; build it first if it does not exist.

    Unreadable files raise no error: they have no samples, and `WaveformStore.bad` contains the reasons.

    Args:
        manifest: the corpus.
        max_seconds: maximum duration of a clip in seconds; the rest is cropped.

    Raises:
        SeenetError: `max_seconds` is not positive, or no file is readable.
    """
    if isinstance(max_seconds, bool) or not isinstance(max_seconds, int | float) or not 0 < max_seconds < 1e6:
        raise SeenetError(f"max_seconds={max_seconds}: expected a number above 0 and below 1000000")
    if manifest.parts:
        return _join_stores([open_store(part, max_seconds) for part in manifest.parts])
    folder = ensure_store(cache_dir() / "stores", manifest, float(max_seconds))
    bad = read_bad_files(folder)
    if len(bad) == len(manifest):
        row, reason = next(iter(bad.items()))
        raise SeenetError(f"no audio file of {manifest.name} can be used, e.g. '{manifest.audio_path(row)}': {reason}")
    audio = np.memmap(folder / "audio.i16", dtype="<i2", mode="r")
    index = np.load(folder / "index.npy", mmap_mode="r")
    return WaveformStore(folder.name.rpartition("-")[2], folder, (audio,), index, bad, read_remarks(folder))


def _join_stores(stores: Sequence[WaveformStore]) -> WaveformStore:
    """Combine the stores of several corpora in their order, without a copy of the samples."""
    index: list[NDArray[np.void]] = []
    bad: dict[int, str] = {}
    remarks: dict[int, list[Remark]] = {}
    samples = clips = 0
    for store in stores:
        shifted = np.array(store.index)
        shifted["offset"] += samples
        index.append(shifted)
        bad |= {clips + row: reason for row, reason in store.bad.items()}
        remarks |= {clips + row: entries for row, entries in store.remarks.items()}
        samples += sum(map(len, store.audio))
        clips += len(shifted)
    key = hashlib.blake2b("-".join(store.key for store in stores).encode(), digest_size=8).hexdigest()
    audio = tuple(part for store in stores for part in store.audio)
    return WaveformStore(key, stores[0].folder.parent, audio, np.concatenate(index), bad, remarks)
