"""The waveform store: a corpus decoded and resampled once (`decoding.py`), then memory mapped."""

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
from seenet.corpora.store_builder import FULL_SCALE, ensure_store, read_remarks


class _MappedFile(NamedTuple):
    """What maps an array from its file again."""

    path: str
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]

    @classmethod
    def of(cls, array: NDArray[Any]) -> "NDArray[Any] | _MappedFile":
        """Describe a mapped array; an array in memory stays as it is."""
        mapped = isinstance(array, np.memmap) and array.filename is not None
        return cls(str(array.filename), array.dtype, array.offset, array.shape) if mapped else array

    def map(self) -> NDArray[Any]:
        """Map the array."""
        return np.memmap(self.path, self.dtype, "r", self.offset, self.shape)


@dataclass(frozen=True)
class WaveformStore:
    """The waveforms of a manifest, in its order.

    Attributes:
        key: the hash that names the store.
        folder: where it lies; of joined corpora, where their stores lie.
        audio: all samples, int16, memory mapped; one array for each corpus that was joined. Shape (samples,) each.
        index: one row a clip, see `seenet.corpora.store_builder.INDEX`; offsets count over all arrays. Shape (clips,).
        bad: for the row of each file that could not be used, why.
        remarks: for rows of usable files, what is worth knowing of them: kinds of findings, each with a line.
    """

    key: str
    folder: Path
    audio: tuple[NDArray[np.int16], ...]
    index: NDArray[np.void]
    bad: dict[int, str]
    remarks: dict[int, list[Remark]] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """Name the mapped files, so that a spawned loader process maps them again instead of getting a copy."""
        audio = tuple(map(_MappedFile.of, self.audio))
        return {**self.__dict__, "audio": audio, "index": _MappedFile.of(self.index)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Map the files that a state names."""

        def opened(value: Any) -> NDArray[Any]:
            return value.map() if isinstance(value, _MappedFile) else value

        self.__dict__.update(state, audio=tuple(map(opened, state["audio"])), index=opened(state["index"]))

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """The offset at which each array begins."""
        return np.cumsum([0, *(len(part) for part in self.audio[:-1])])

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Samples of each clip; 0 where the file could not be used. Shape (clips,)."""
        return self.index["length"]

    @property
    def digests(self) -> NDArray[np.uint64]:
        """A hash of each clip's samples; 0 where all are zero, for one silence is like another. Shape (clips,)."""
        return np.where(self.index["silent"], np.uint64(0), self.index["samples"])

    def waveform(self, index: int) -> NDArray[np.float32]:
        """One clip at 16 kHz, shape (samples,), full scale at 1."""
        return self.padded([index])[0]

    def padded(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """Clips at 16 kHz, full scale at 1, zeros behind the shorter ones. Shape (clips, longest)."""
        rows = self.index[indices]
        batch = np.empty((len(rows), rows["length"].max()), dtype=np.float32)
        parts = np.searchsorted(self._starts, rows["offset"], side="right") - 1
        starts = (rows["offset"] - self._starts[parts]).tolist()
        lengths, scales = (rows[name].tolist() for name in ("length", "scale"))
        for row, part, start, length, scale in zip(batch, parts.tolist(), starts, lengths, scales, strict=True):
            row[:length] = self.audio[part][start : start + length]
            row[:length] *= np.float32(scale) / np.float32(FULL_SCALE)  # apart from the conversion: faster by half
            row[length:] = 0
        return batch


def open_store(manifest: Manifest, max_seconds: float) -> WaveformStore:
    """The store of a manifest: opened where it exists, else made first.

    A file that cannot be used stops nothing: it has no samples, and `Store.bad` says why.

    Args:
        manifest: the corpus.
        max_seconds: how much of each clip is kept, in seconds.

    Raises:
        SeenetError: `max_seconds` is not positive, or no file at all can be used.
    """
    if isinstance(max_seconds, bool) or not isinstance(max_seconds, int | float) or not 0 < max_seconds < 1e6:
        raise SeenetError(f"max_seconds={max_seconds}: expected a number above 0, and below a million")
    if manifest.parts:
        return _joined([open_store(part, max_seconds) for part in manifest.parts])
    folder = ensure_store(cache_dir() / "stores", manifest, float(max_seconds))
    bad = read_bad_files(folder)
    if len(bad) == len(manifest):
        row, why = next(iter(bad.items()))
        raise SeenetError(f"no audio file of {manifest.name} can be used, e.g. '{manifest.audio_path(row)}': {why}")
    audio = np.memmap(folder / "audio.i16", dtype="<i2", mode="r")
    index = np.load(folder / "index.npy", mmap_mode="r")
    return WaveformStore(folder.name.rpartition("-")[2], folder, (audio,), index, bad, read_remarks(folder))


def _joined(stores: Sequence[WaveformStore]) -> WaveformStore:
    """The stores of several corpora as one, in their order; no sample is copied."""
    index, samples, clips, bad, remarks = [], 0, 0, {}, {}
    for store in stores:
        moved = np.array(store.index)
        moved["offset"] += samples
        index.append(moved)
        bad |= {clips + row: why for row, why in store.bad.items()}
        remarks |= {clips + row: about for row, about in store.remarks.items()}
        samples += sum(map(len, store.audio))
        clips += len(moved)
    key = hashlib.blake2b("-".join(store.key for store in stores).encode(), digest_size=8).hexdigest()
    audio = tuple(part for store in stores for part in store.audio)
    return WaveformStore(key, stores[0].folder.parent, audio, np.concatenate(index), bad, remarks)
