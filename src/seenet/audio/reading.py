"""Reading of an audio file, or of an excerpt, as 16 kHz mono, with remarks on defects."""

import errno
import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from seenet.audio.defects import Remark, UnreadableAudioError
from seenet.audio.reader_selection import open_reader
from seenet.audio.readers import AudioReader

RATE = 16000
"""Sampling rate of all waveforms in seenet, in Hz."""

MIN_FILE_RATE, MAX_FILE_RATE = 1000, 768000
"""Lowest and highest sampling rate of a file, in Hz; another rate means a damaged header."""

TOLERATED_EXCERPT_SECONDS = 0.01
"""Duration by which an excerpt may exceed its file; times in tables are rounded."""

TOLERATED_PACKET_SECONDS = 0.1
"""Duration by which an excerpt may exceed a file with a length that only packet times determine."""

RESAMPLER_MARGIN_SECONDS = 0.1
"""Duration to decode beyond the kept samples, to keep the edge of the resampler outside the result."""

MAX_PEAK = 16.0
"""Peak, as a multiple of full scale, above which a floating-point file must have another full scale than 1."""

CANCELLATION_DB = 10.0
"""Loss of energy in the average of two channels from which they cancel; independent channels lose 3 dB."""

_PERMANENT_ERRNOS = (
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES),
    *(errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG),
)


@dataclass(frozen=True)
class Recording:
    """Decoded samples of one file or excerpt.

    Attributes:
        waveform: the kept samples, 16 kHz mono, full scale at 1. Shape (samples,).
        rate: the sampling rate of the file, in Hz.
        channels: the number of channels of the file.
        seconds: the duration of the file or of the excerpt, before the limit.
        clipped: the share of the kept samples at or above full scale.
        remarks: defects that do not make the file unusable.
    """

    waveform: NDArray[np.float32]
    rate: int
    channels: int
    seconds: float
    clipped: float
    remarks: tuple[Remark, ...] = ()


def read_audio(path: Path, max_seconds: float, start: float = math.nan, end: float = math.nan) -> Recording:
    """Return the first `max_seconds` of a file, or of an excerpt of it, as 16 kHz mono.

    Channels are averaged. soxr resamples with high quality.

    Args:
        path: any audio or video file, with any sampling rate and number of channels.
        max_seconds: the maximum duration of the result, in seconds.
        start: the start of the excerpt, in seconds from the first sample; NaN is the beginning of the file.
        end: the end of the excerpt, in seconds; NaN is the end of the file.

    Raises:
        UnreadableAudioError: the file is missing, unreadable, truncated, empty or shorter than the excerpt, or has
            samples that are not finite.
    """
    waveform, reader, seconds = _decode(path, max_seconds + RESAMPLER_MARGIN_SECONDS, start, end)
    if len(waveform) == 0:
        raise UnreadableAudioError("empty: no samples")
    mono = waveform[:, 0] if waveform.shape[1] == 1 else waveform.mean(axis=1)
    peak = max(mono.max(), -mono.min())  # NaN if any sample is NaN
    if not np.isfinite(peak):
        raise UnreadableAudioError("contains NaN or infinite samples")
    full_scale = 1 - 2**-15
    may_clip = peak >= full_scale or waveform.shape[1] > 1
    clipped = float((np.abs(waveform) >= full_scale).mean()) if may_clip else 0.0
    scale = _check_scale(waveform) if clipped else None
    remarks = [*reader.remarks, *filter(None, (scale, _check_cancellation(waveform, mono)))]
    if reader.rate != RATE:
        mono = soxr.resample(mono, reader.rate, RATE, quality="HQ")
    mono = mono[: round(max_seconds * RATE)]
    if len(mono) == 0:
        raise UnreadableAudioError("empty: shorter than one sample at 16 kHz")
    clipped = 0.0 if scale else clipped
    return Recording(mono, reader.rate, waveform.shape[1], seconds, clipped, tuple(remarks))


def _decode(path: Path, max_seconds: float, start: float, end: float) -> tuple[NDArray[np.float32], AudioReader, float]:
    """Decode at most `max_seconds` of an excerpt.

    Returns:
        The samples at the rate of the file, shape (samples, channels); the reader; the duration in seconds.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # reading from a pipe would block
            raise UnreadableAudioError("not a file")
        reader = open_reader(os.fspath(path), status.st_size, status.st_mtime_ns)
        rate, frames, is_exact = reader.rate, reader.frames, reader.is_exact
        if not MIN_FILE_RATE <= rate <= MAX_FILE_RATE:
            raise UnreadableAudioError(f"damaged header: a sampling rate of {rate} Hz")
        first = 0 if math.isnan(start) else round(start * rate)
        last = frames if math.isnan(end) else round(end * rate)
        outside = UnreadableAudioError(f"no excerpt from {start} to {end} s in a file of {frames / rate:.2f} s")
        if is_exact and frames < last <= frames + TOLERATED_EXCERPT_SECONDS * rate:
            last = frames
        if (first, last) != (0, frames) and not 0 <= first < last <= frames + (0 if is_exact else rate // 2):
            raise outside
        reads_to_end = math.isnan(end) and not is_exact  # decoding determines the end
        max_frames = int(max_seconds * rate)
        wanted = max_frames if reads_to_end else min(last - first, max_frames)
        waveform = reader.read(first, wanted)
    except soundfile.SoundFileError as error:
        cause = str(error).rsplit(": ", 1)[-1].rstrip(".")
        raise UnreadableAudioError(f"an audio file, damaged ({cause})") from error
    except OSError as error:
        if error.errno not in _PERMANENT_ERRNOS:
            raise  # an error of the disk or network is not a defect of the file
        raise UnreadableAudioError(str(error.strerror)) from error
    expected = min(wanted, last - first)
    tolerated = 0 if is_exact else round(TOLERATED_PACKET_SECONDS * rate)
    if len(waveform) < expected - tolerated:
        if not math.isnan(end) and not is_exact:
            raise outside
        raise UnreadableAudioError(f"truncated: {expected} frames expected, {len(waveform)} readable")
    is_shorter = reads_to_end and len(waveform) < wanted
    return waveform, reader, (len(waveform) if is_shorter else last - first) / rate


def _check_scale(waveform: NDArray[np.float32]) -> Remark | None:
    """Return a remark on floating-point samples that are integers or far above full scale."""
    peak = float(np.abs(waveform).max())
    if peak > 1 and np.array_equal(waveform, np.rint(waveform)):
        bits = next((bits for bits in (8, 16, 24) if peak <= 1 << (bits - 1)), 32)
        text = f"floating-point samples that are integers up to {peak:.0f}: divide them by {1 << (bits - 1)}"
        return "integers", text
    if peak > MAX_PEAK:
        return "scale", f"samples reach {peak:.0f} times full scale: divide them by the full-scale value"
    return None


def _check_cancellation(waveform: NDArray[np.float32], mono: NDArray[np.float32]) -> Remark | None:
    """Return a remark on channels that cancel in their average, for example if one is inverted."""
    channels = waveform.shape[1]
    if channels == 1:
        return None
    before, after = (float(np.square(x, dtype=np.float64).mean()) for x in (waveform, mono))
    limit = CANCELLATION_DB + 10 * math.log10(channels / 2)
    if before == 0 or after > before * 10 ** (-limit / 10):
        return None
    loss = f"{10 * math.log10(before / after):.0f} dB are lost" if after else "nothing remains"
    return "channels", f"its {channels} channels cancel when they are averaged ({loss}): one may be inverted"
