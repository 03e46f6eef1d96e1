"""The waveform store: a corpus decoded and resampled once, then memory mapped.

A store is a folder named after a hash of its content's sources: the bytes of every audio file, the rate and
the crop. A changed file makes another store. It is built under another name and renamed when complete.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seenet.audio import RATE, BadAudio, read_audio
from seenet.console import progress, say
from seenet.errors import SeenetError
from seenet.manifest import Manifest
from seenet.paths import cache_dir, make_once, write_whole

FORMAT = 1
FULL_SCALE = 32768
_BLOCK = 256  # clips decoded before they are written: bounds the memory


@dataclass(frozen=True)
class Store:
    """The waveforms of a manifest, in its order.

    Attributes:
        key: the hash that names the store.
        audio: all samples, int16, memory mapped. Shape (total samples,).
        offsets: where each clip starts. Shape (clips,).
        lengths: samples of each clip. Shape (clips,).
        scales: what full scale stands for: 1, or the peak of a clip that exceeds it. Shape (clips,).
        digests: a hash of each clip's samples. Shape (clips,).
    """

    key: str
    audio: NDArray[np.int16]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    scales: NDArray[np.float32]
    digests: NDArray[np.str_]

    def waveform(self, index: int) -> NDArray[np.float32]:
        """One clip at 16 kHz, shape (samples,), full scale at 1."""
        return self.padded([index])[0]

    def padded(self, indices: Sequence[int]) -> NDArray[np.float32]:
        """Clips at 16 kHz, full scale at 1, zeros behind the shorter ones. Shape (clips, longest)."""
        batch = np.zeros((len(indices), self.lengths[indices].max()), dtype=np.float32)
        for row, index in zip(batch, indices, strict=True):
            start, length = self.offsets[index], self.lengths[index]
            scale = self.scales[index] / np.float32(FULL_SCALE)
            np.multiply(self.audio[start : start + length], scale, out=row[:length])
        return batch


def file_digest(path: Path) -> str:
    """A hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def content_digests(root: Path, paths: list[Path]) -> list[str]:
    """A hash of each file's bytes, read again only where its size or time of change moved.

    Raises:
        SeenetError: a file is missing.
    """
    memory = cache_dir() / "fingerprints" / f"{hashlib.blake2b(str(root).encode(), digest_size=8).hexdigest()}.json"
    known = json.loads(memory.read_text()) if memory.is_file() else {}
    fresh, digests = {}, []
    for path in paths:
        try:
            stat = path.stat()
        except OSError as error:
            raise SeenetError(f"'{path}' is gone or cannot be read: {error.strerror}") from error
        seen = known.get(str(path))
        if seen and seen[:2] == [stat.st_size, stat.st_mtime_ns]:
            fresh[str(path)] = seen
        else:
            fresh[str(path)] = [stat.st_size, stat.st_mtime_ns, file_digest(path)]
        digests.append(fresh[str(path)][2])
    if fresh != known:
        write_whole(memory, json.dumps(fresh))
    return digests


def _decoded(paths: list[Path], max_seconds: float) -> Iterator[NDArray[np.float32] | BadAudio]:
    def attempt(path: Path) -> NDArray[np.float32] | BadAudio:
        try:
            return read_audio(path, max_seconds)
        except BadAudio as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding and resampling release the interpreter lock
        for start in range(0, len(paths), _BLOCK):
            yield from pool.map(attempt, paths[start : start + _BLOCK])


def _build(folder: Path, manifest: Manifest, max_seconds: float) -> None:
    paths = [manifest.audio_path(i) for i in range(len(manifest))]
    lengths, scales, digests, bad = [], [], [], []
    with (folder / "audio.i16").open("wb") as file:
        decoded = progress(_decoded(paths, max_seconds), len(paths), f"preparing {manifest.name}")
        for path, clip in zip(paths, decoded, strict=True):
            if isinstance(clip, BadAudio):
                bad.append(f"{path.relative_to(manifest.root)} ({clip})")
                continue
            peak = np.abs(clip).max()
            scale = np.float32(peak if peak > 1 else 1)
            top = FULL_SCALE - 1
            samples = np.clip(np.rint(clip / scale * FULL_SCALE), -FULL_SCALE, top).astype("<i2")
            file.write(samples.tobytes())
            lengths.append(len(samples))
            scales.append(scale)
            digests.append(hashlib.blake2b(samples.tobytes(), digest_size=16).hexdigest())
    if bad:
        shown = "; ".join(bad[:5]) + (f"; and {len(bad) - 5} more" if len(bad) > 5 else "")
        raise SeenetError(
            f"{len(bad)} of {len(paths)} audio files of {manifest.name} cannot be used, mend or remove: {shown}"
        )
    offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    np.savez(folder / "index.npz", offsets=offsets, lengths=lengths, scales=scales, digests=digests)


def prepare(manifest: Manifest, max_seconds: float) -> Store:
    """The store of a manifest: opened where it exists, else made first.

    Args:
        manifest: the corpus.
        max_seconds: how much of each clip is kept, in seconds.

    Raises:
        SeenetError: `max_seconds` is not positive, or audio files cannot be used (all are named).
    """
    if not isinstance(max_seconds, int | float) or max_seconds <= 0:
        raise SeenetError(f"data.max_seconds={max_seconds}: expected a number above 0")
    contents = content_digests(manifest.root, [manifest.audio_path(i) for i in range(len(manifest))])
    names = [row.utterance for row in manifest]
    recipe = json.dumps([FORMAT, RATE, max_seconds, list(zip(names, contents, strict=True))])
    key = hashlib.blake2b(recipe.encode(), digest_size=8).hexdigest()
    folder = cache_dir() / "stores" / f"{manifest.name}-{key}"

    def make(building: Path) -> None:
        say(f"decoding {len(manifest)} clips of {manifest.name} into {folder} (once)")
        _build(building, manifest, max_seconds)

    make_once(folder, make)
    index = np.load(folder / "index.npz")
    audio = np.memmap(folder / "audio.i16", dtype="<i2", mode="r")
    return Store(key, audio, index["offsets"], index["lengths"], index["scales"], index["digests"])
