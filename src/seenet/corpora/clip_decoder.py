"""Decode the clips of a manifest on all cores, in order and with bounded memory."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np

from seenet.audio.defects import UnreadableAudioError
from seenet.audio.reading import read_audio
from seenet.corpora.manifest import Manifest
from seenet.corpora.store_format import FULL_SCALE, hash_samples

_MAX_PENDING_CLIPS = 64  # bounds the memory of decoded clips that wait for their turn

Excerpt = tuple[str, float, float]
"""An audio file with the start and end of a clip in it, in seconds; NaN is the start or end of the file."""


def hash_file(path: Path) -> str:
    """Hash the content of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


@lru_cache(maxsize=256)
def _hash_file_once(path: str, size: int, changed: int) -> str:
    """Hash a file once for all its excerpts; size and modification time detect a change."""
    return hash_file(Path(path))


def list_excerpts(manifest: Manifest) -> Iterator[Excerpt]:
    """Yield the file, start and end of each clip."""
    paths = (os.path.join(manifest.root, path) for path in manifest.column("path"))  # noqa: PTH118
    return zip(paths, manifest.column("start").tolist(), manifest.column("end").tolist(), strict=True)


def decode_clip(excerpt: Excerpt, max_seconds: float) -> tuple[bytes, list[object]]:
    """Decode a clip; return its samples as bytes and its journal entry.

    For an unreadable file the samples are empty and the entry contains the reason.
    """
    path, start, end = excerpt
    try:
        recording = read_audio(Path(path), max_seconds, start, end)
        status = os.stat(path)  # noqa: PTH116
        content = _hash_file_once(path, status.st_size, status.st_mtime_ns)
    except UnreadableAudioError as error:
        return b"", [str(error)]
    wave = recording.waveform
    peak = float(np.abs(wave).max())
    scale = np.float32(max(peak, 1.0))
    samples = np.clip(np.rint(wave * (FULL_SCALE / scale)), -FULL_SCALE, FULL_SCALE - 1).astype("<i2").tobytes()
    properties = [recording.rate, recording.channels, recording.seconds, recording.clipped, peak == 0]
    return samples, [len(wave), float(scale), hash_samples(samples), content, *properties, recording.remarks]


def decode_in_order(excerpts: Iterator[Excerpt], max_seconds: float) -> Iterator[tuple[bytes, list[object]]]:
    """Decode clips on all cores and yield them in order; memory does not grow with the corpus."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding and resampling release the interpreter's lock
        pending: deque[Future[tuple[bytes, list[object]]]] = deque()
        try:
            for excerpt in excerpts:
                pending.append(pool.submit(decode_clip, excerpt, max_seconds))
                if len(pending) >= _MAX_PENDING_CLIPS:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
