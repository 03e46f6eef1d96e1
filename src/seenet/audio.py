"""Reading one audio file as 16 kHz mono."""

import struct
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

RATE = 16000
"""Samples a second of every waveform in seenet."""

_UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # written by encoders that stream and never come back to the header


class BadAudio(Exception):
    """A file that cannot be used; the message says why, without the file's name."""


def _missing_bytes(path: Path) -> int:
    """How many bytes of samples the header of a WAV file promises and the file does not hold."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return 0
        while len(chunk := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", chunk)
            if name == b"data":
                return 0 if length in _UNKNOWN_SIZES else max(0, file.tell() + length - size)
            file.seek(length + length % 2, 1)
    return 0


def read_audio(path: Path, max_seconds: float) -> NDArray[np.float32]:
    """The first `max_seconds` of a file, as 16 kHz mono.

    Channels are averaged; resampling is soxr's (high quality).

    Args:
        path: any file that soundfile reads, at any rate and channel count.
        max_seconds: how much to keep, in seconds.

    Returns:
        Shape (samples,), full scale at 1.

    Raises:
        BadAudio: missing, unreadable, truncated, empty, or holding values that are not finite.
    """
    try:
        missing = _missing_bytes(path)
        if missing:
            raise BadAudio(f"truncated: {missing} bytes of samples are missing")
        with soundfile.SoundFile(path) as file:
            source_rate = file.samplerate
            # A tenth of a second more than is kept, so that the crop does not reach the resampler's edge.
            waveform = file.read(int((max_seconds + 0.1) * source_rate), dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error).rsplit(": ", 1)[-1]
        raise BadAudio(str(reason).rstrip(".")) from error
    if len(waveform) == 0:
        raise BadAudio("empty: no samples")
    mono = waveform.mean(axis=1)
    if not np.isfinite(mono).all():
        raise BadAudio("holds NaN or infinite samples")
    if source_rate != RATE:
        mono = soxr.resample(mono, source_rate, RATE, quality="HQ")
    mono = mono[: round(max_seconds * RATE)]
    if len(mono) == 0:
        raise BadAudio("empty: shorter than one sample at 16 kHz")
    return mono
