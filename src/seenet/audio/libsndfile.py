"""Decoding with libsndfile, after a comparison of the header with the bytes present."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from seenet.audio.byte_access import FileWindow
from seenet.audio.defects import TOLERATED_BYTES, Remark, UnreadableAudioError
from seenet.audio.uncompressed import SampleRegion

TOLERATED_SECONDS = 0.01
"""Duration by which a header may overstate the samples, in seconds."""

MAX_PADDING_FRAMES = 4096
"""Maximum number of samples that fill the last block of a compressed WAV file."""

_EXACTLY_SEEKABLE_SUBTYPES = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "ALAC")
_SKIP_FRAMES = 1 << 16  # frames to decode at a time before an excerpt of a file without exact seeking


class SoundFileReader:
    """Reader of files that libsndfile supports.

    Args:
        path: the file.
        window: offset, size and new header of a part of the file, for `FileWindow`; None for the unchanged file.
        samples: the samples as the header describes them; None skips the comparison with the file.

    Attributes:
        rate: the sampling rate, in Hz.
        frames: the number of samples per channel.
        is_exact: True, the length is known.
        remarks: defects that do not make the file unusable.

    Raises:
        UnreadableAudioError: the file is truncated.
        soundfile.SoundFileError: libsndfile cannot read the file.
    """

    is_exact = True

    def __init__(self, path: Path, window: tuple[int, int | None, bytes] | None, samples: SampleRegion | None):
        self.path, self.window, self.remarks = path, window, list[Remark]()
        self._open_files: list[soundfile.SoundFile] = []
        try:
            file = self._open()
        except soundfile.SoundFileError:
            if samples and samples.missing > TOLERATED_BYTES:
                raise UnreadableAudioError(f"truncated: {samples.missing} bytes of samples are missing") from None
            raise
        self.rate, self.frames = file.samplerate, file.frames
        self.is_seekable = file.subtype.startswith(_EXACTLY_SEEKABLE_SUBTYPES)
        self._open_files.append(file)  # for the first read: opening a file costs 5 % of decoding it
        if samples:
            self._compare_with_header(samples)
        if file.format == "FLAC" and self.frames and not self._is_complete():
            raise UnreadableAudioError(f"truncated: {self.frames} frames expected, the last one is not readable")

    def _is_complete(self) -> bool:
        """Return whether the last sample that the header states can be decoded."""
        try:
            return len(self.read(self.frames - 1, 1)) == 1
        except soundfile.SoundFileError:
            return False

    def _compare_with_header(self, samples: SampleRegion) -> None:
        """Compare the bytes that the header states with those present."""
        fact = samples.chunks.get(b"fact", b"")
        is_known = len(fact) >= 4 and not samples.needs_new_header
        stated_frames = int.from_bytes(fact[:4], "little") if is_known else 0
        if not self.is_seekable and 0 < self.frames - stated_frames < MAX_PADDING_FRAMES:
            self.frames = stated_frames or self.frames  # the last block contains padding
        tolerated = max(TOLERATED_BYTES, TOLERATED_SECONDS * self.rate * samples.size / max(self.frames, 1))
        if samples.missing > tolerated or (samples.missing and not self.frames):
            raise UnreadableAudioError(f"truncated: {samples.missing} bytes of samples are missing")
        self.remarks += make_length_remarks(samples, tolerated)

    def _open(self) -> soundfile.SoundFile:
        if self.window is not None or self.path.suffix.lower() == ".raw":  # soundfile rejects the name .raw
            return soundfile.SoundFile(FileWindow(self.path, *(self.window or ())))
        return soundfile.SoundFile(str(self.path) if os.name == "nt" else os.fsencode(self.path))

    def read(self, first: int, count: int) -> NDArray[np.float32]:
        """Decode an excerpt; see `AudioReader.read`."""
        try:
            opened = self._open_files.pop()
        except IndexError:  # an earlier read or another thread took it
            opened = self._open()
        with opened as file:
            if self.is_seekable and first:
                file.seek(first)
            else:
                while first > 0:
                    first -= len(file.read(min(first, _SKIP_FRAMES), dtype="float32")) or first
            excerpt: NDArray[np.float32] = file.read(count, dtype="float32", always_2d=True)
            return excerpt


def make_length_remarks(samples: SampleRegion, tolerated_bytes: float) -> Iterator[Remark]:
    """Yield remarks on differences between the header and the samples present.

    Args:
        samples: the samples of the file.
        tolerated_bytes: the number of unread bytes that need no remark.
    """
    if samples.missing:
        yield "length", f"the header states {samples.missing} bytes of samples more than the file contains"
    if samples.extra:
        yield "length", f"{samples.extra} bytes of samples more than the header states are read"
    if samples.trailing > tolerated_bytes:
        yield "unread", f"{samples.trailing} bytes after the samples that the header states are not read"
