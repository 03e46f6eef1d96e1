"""Reading one audio file as 16 kHz mono, and saying what is wrong with one that cannot be used."""

import errno
import math
import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

RATE = 16000
"""Samples a second of every waveform in seenet."""

RATES = (1000, 768000)
"""The lowest and highest sampling rate that a header may name, in Hz; another is a damaged header."""

ROUNDED = 0.01
"""Seconds by which a stretch may end behind its file: tables round."""

VIDEO = "a video or AAC file"
_LASTING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG)
_UNKNOWN_SIZES = (
    0,
    0xFFFFFFFF,
    0x7FFFFFFF,
    0x7FFFF000,
)  # written by encoders that stream and never come back to the header


class BadAudio(Exception):
    """A file that cannot be used; the message says why, without the file's name."""


@dataclass(frozen=True)
class Recording:
    """One decoded file.

    Attributes:
        waveform: what is kept of it, 16 kHz mono, full scale at 1. Shape (samples,).
        rate: of the file, in Hz.
        channels: of the file.
        seconds: of the whole file, or of the stretch.
        clipped: share of the kept samples at or above full scale.
    """

    waveform: NDArray[np.float32]
    rate: int
    channels: int
    seconds: float
    clipped: float


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
            file.seek(length + length % 2, os.SEEK_CUR)
    return 0


def _what_it_is(path: Path) -> str:
    """What a file that is no audio seems to be."""
    with path.open("rb") as file:
        head = file.read(512)
    text = head.lstrip().lower()
    if not head:
        return "empty: the file has no bytes"
    if not head.strip(b"\0"):
        return "not audio: the file holds zeros"
    if text.startswith(b"version https://git-lfs"):
        return "a git-LFS pointer, not audio: fetch the file itself with 'git lfs pull'"
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "a web page, not audio: the download failed"
    for magic, kind in ((b"PK\3\4", "a zip archive"), (b"\x1f\x8b", "a gzip archive"), (b"%PDF", "a PDF")):
        if head.startswith(magic):
            return f"{kind}, not audio"
    if head.startswith((b"RIFF", b"fLaC", b"OggS")):
        return "an audio file, damaged"
    if head[4:8] == b"ftyp" or head.startswith(b"\x1aE\xdf\xa3"):
        return VIDEO
    printable = sum(32 <= byte < 127 or byte in b"\t\n\r" for byte in head)
    return "text, not audio" if printable > 0.95 * len(head) else "no audio format that libsndfile knows, or damaged"


def _decode(path: Path, most: float, start: float, end: float) -> tuple[NDArray[np.float32], int, float]:
    """At most `most` seconds of a stretch, shape (frames, channels), at the file's own rate; the rate; its seconds."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            raise BadAudio("not a file")
        missing = _missing_bytes(path)
        if missing:
            raise BadAudio(f"truncated: {missing} bytes of samples are missing")
        with soundfile.SoundFile(path) as file:
            rate, frames = file.samplerate, file.frames
            if not RATES[0] <= rate <= RATES[1]:
                raise BadAudio(f"damaged header: a sampling rate of {rate} Hz")
            first = 0 if math.isnan(start) else round(start * rate)
            last = frames if math.isnan(end) else round(end * rate)
            if frames < last <= frames + ROUNDED * rate:
                last = frames
            if (first, last) != (0, frames):
                if not 0 <= first < last <= frames:
                    raise BadAudio(f"no stretch from {start} to {end} s in a file of {frames / rate:.2f} s")
                file.seek(first)
            wanted = min(last - first, int(most * rate))
            waveform = file.read(wanted, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        what = _what_it_is(path)
        if what == VIDEO:
            return _sound_track(path, most, start, end)
        said = str(error).rsplit(": ", 1)[-1].rstrip(".")
        raise BadAudio(f"{what} ({said})" if what.endswith("damaged") else what) from error
    except TypeError as error:  # soundfile's, for names that end in .raw
        raise BadAudio("samples without a header, of a rate that nobody knows") from error
    except OSError as error:
        if error.errno not in _LASTING:
            raise  # a disk or network that fails says nothing about the file
        raise BadAudio(str(error.strerror)) from error
    if len(waveform) < wanted:
        raise BadAudio(f"truncated: {wanted} frames promised, {len(waveform)} readable")
    return waveform, rate, (last - first) / rate


def _sound_track(path: Path, most: float, start: float, end: float) -> tuple[NDArray[np.float32], int, float]:
    """As `_decode`, of a video."""
    from seenet.video import read_sound

    first = 0.0 if math.isnan(start) else start
    try:
        waveform, rate, whole = read_sound(path, first, most if math.isnan(end) else min(most, end - first))
    except ModuleNotFoundError as error:
        raise BadAudio(f"{VIDEO}: pip install 'seenet[video]', or convert it to WAV") from error
    except ValueError as error:
        raise BadAudio(f"{VIDEO}: {error}") from error
    last = whole if math.isnan(end) else end
    if not 0 <= first < last <= whole + 0.1:  # what a container says of its length is not exact
        raise BadAudio(f"no stretch from {start} to {end} s in a file of {whole:.2f} s")
    return waveform, rate, last - first


def read_audio(path: Path, max_seconds: float, start: float = math.nan, end: float = math.nan) -> Recording:
    """The first `max_seconds` of a file, or of a stretch of it, as 16 kHz mono.

    Channels are averaged; resampling is soxr's (high quality).

    Args:
        path: any file that soundfile reads, at any rate and channel count; a video where PyAV is installed.
        max_seconds: how much to keep, in seconds.
        start: where the stretch begins, in seconds; NaN is the file's beginning.
        end: where it ends, in seconds; NaN is the file's end.

    Raises:
        BadAudio: missing, unreadable, truncated, empty, holding values that are not finite, or shorter than the
            stretch.
    """
    # A tenth of a second more than is kept, so that the crop does not reach the resampler's edge.
    waveform, rate, seconds = _decode(path, max_seconds + 0.1, start, end)
    if len(waveform) == 0:
        raise BadAudio("empty: no samples")
    mono = waveform[:, 0] if waveform.shape[1] == 1 else waveform.mean(axis=1)
    peak = max(mono.max(), -mono.min())  # NaN where any sample is
    if not np.isfinite(peak):
        raise BadAudio("holds NaN or infinite samples")
    if rate != RATE:
        mono = soxr.resample(mono, rate, RATE, quality="HQ")
    mono = mono[: round(max_seconds * RATE)]
    if len(mono) == 0:
        raise BadAudio("empty: shorter than one sample at 16 kHz")
    full = 1 - 2**-15
    clipped = float((np.abs(waveform) >= full).mean()) if peak >= full or waveform.shape[1] > 1 else 0.0
    return Recording(mono, rate, waveform.shape[1], seconds, clipped)
