"""Reading one audio file as 16 kHz mono, and saying what is wrong with one that cannot be used.

The content decides who reads a file, never its name: libsndfile where the header gives the exact length, frame by frame
for MPEG audio (`mp3.py`), FFmpeg's libraries for the rest (`video.py`).
"""

import errno
import math
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from seenet.audio.containers import (
    ASF,
    FEW_BYTES,
    FEW_SECONDS,
    ISO_BOXES,
    Remark,
    Samples,
    UnreadableAudioError,
    Window,
    find_bytes,
    find_joined,
    find_samples,
    has_index,
    missing_bytes,
    ogg_links,
    wav_header,
)
from seenet.audio.mp3 import MpegAudio, find_frames, tag_length
from seenet.audio.video import SoundTrack

RATE = 16000
"""Samples a second of every waveform in seenet."""

RATES = (1000, 768000)
"""The lowest and highest sampling rate that a header may name, in Hz; another is a damaged header."""

ROUNDED = 0.01
"""Seconds by which a stretch may end behind its file: tables round."""

ROUNDED_TIMES = 0.1
"""The same for files whose length is known by their packets' times only."""

LOUD = 16.0
"""Peak, as a multiple of full scale, from which a float file has another scale than 1."""

CANCELLED_DB = 10.0
"""Loss of energy by averaging two channels from which they cancel; unlike channels lose 3 dB."""

_EXACT_SEEK = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW", "ALAC")
_BLOCK = 1 << 16  # frames that are decoded at a time where a stretch cannot be sought
_LASTING = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENAMETOOLONG)
_MPEG_IN_WAV = (b"\x50\0", b"\x55\0")


@dataclass(frozen=True)
class Recording:
    """One decoded file.

    Attributes:
        waveform: what is kept of it, 16 kHz mono, full scale at 1. Shape (samples,).
        rate: of the file, in Hz.
        channels: of the file.
        seconds: of the whole file, or of the stretch.
        clipped: share of the kept samples at or above full scale.
        remarks: what is worth knowing of the file: kinds of findings, each with a line about it.
    """

    waveform: NDArray[np.float32]
    rate: int
    channels: int
    seconds: float
    clipped: float
    remarks: tuple[Remark, ...] = ()


class Sound(Protocol):
    """A file that was examined, and can be decoded.

    Attributes:
        rate: in Hz.
        frames: samples of each channel.
        exact: whether `frames` is, or is known by the times of packets.
        remarks: what is worth knowing of the file.
    """

    rate: int
    frames: int
    exact: bool
    remarks: list[Remark]

    def read(self, first: int, count: int) -> NDArray[np.float32]:
        """Decode samples from `first` on, at most `count`. Shape (samples, channels)."""
        ...


def _remarks_on(samples: Samples, few: float) -> Iterator[Remark]:
    if samples.missing:
        yield "length", f"the header promises {samples.missing} bytes of samples more than there are"
    if samples.more:
        yield "length", f"{samples.more} bytes of samples more than the header promises are read"
    if samples.behind > few:
        yield "unread", f"{samples.behind} bytes behind the samples that the header promises are not read"


class SndFile:
    """What libsndfile reads.

    Args:
        path: the file.
        window: a part of the file behind a new header, as arguments of `Window`; None for the unchanged file.
        samples: what the header says of them; None where it is not compared with the file.

    Raises:
        UnreadableAudioError: truncated.
        soundfile.SoundFileError: libsndfile does not read it.
    """

    exact = True

    def __init__(self, path: Path, window: tuple[int, int | None, bytes] | None, samples: Samples | None):
        self.path, self.window, self.remarks = path, window, list[Remark]()
        self._ready: list[soundfile.SoundFile] = []
        try:
            file = self._opened()
        except soundfile.SoundFileError:
            if samples and samples.missing > FEW_BYTES:
                raise UnreadableAudioError(f"truncated: {samples.missing} bytes of samples are missing") from None
            raise
        self.rate, self.frames = file.samplerate, file.frames
        self.seekable = file.subtype.startswith(_EXACT_SEEK)
        self.compressed = file.format == "FLAC"
        self._ready.append(file)  # for the first reading: to open a file twice costs a twentieth of decoding it
        if samples:
            self._compare(samples)
        if self.compressed and self.frames and not self._is_complete():
            raise UnreadableAudioError(f"truncated: {self.frames} frames promised, the last one is not readable")

    def _is_complete(self) -> bool:
        """Whether the last sample that the header promises can be decoded."""
        try:
            return len(self.read(self.frames - 1, 1)) == 1
        except soundfile.SoundFileError:
            return False

    def _compare(self, samples: Samples) -> None:
        """Compare the bytes that the header promises with those that are there."""
        fact = samples.chunks.get(b"fact", b"")
        told = int.from_bytes(fact[:4], "little") if len(fact) >= 4 and not samples.rewritten else 0
        if not self.seekable and 0 < self.frames - told < 4096:
            self.frames = told or self.frames  # the last block is filled up
        few = max(FEW_BYTES, FEW_SECONDS * self.rate * samples.size / max(self.frames, 1))
        if samples.missing > few or (samples.missing and not self.frames):
            raise UnreadableAudioError(f"truncated: {samples.missing} bytes of samples are missing")
        self.remarks += _remarks_on(samples, few)

    def _opened(self) -> soundfile.SoundFile:
        if self.window is not None or self.path.suffix.lower() == ".raw":  # soundfile refuses that name
            return soundfile.SoundFile(Window(self.path, *(self.window or ())))
        return soundfile.SoundFile(str(self.path) if os.name == "nt" else os.fsencode(self.path))

    def read(self, first: int, count: int) -> NDArray[np.float32]:
        """Decode a stretch; see `Sound.read`."""
        try:
            opened = self._ready.pop()
        except IndexError:  # it was read before, or is by another thread
            opened = self._opened()
        with opened as file:
            if self.seekable and first:
                file.seek(first)
            else:
                while first > 0:
                    first -= len(file.read(min(first, _BLOCK), dtype="float32")) or first
            return file.read(count, dtype="float32", always_2d=True)


class Chain:
    """Sounds that were joined byte by byte.

    Args:
        parts: the sounds.

    Raises:
        UnreadableAudioError: parts with different rates.
    """

    exact = False

    def __init__(self, parts: Sequence[Sound]):
        rates = sorted({part.rate for part in parts})
        if len(rates) > 1:
            raise UnreadableAudioError(f"joined of parts at {' and '.join(map(str, rates))} Hz: convert it to WAV")
        self.parts, self.rate = parts, rates[0]
        self.frames = sum(part.frames for part in parts)
        self.remarks = [remark for part in parts for remark in part.remarks]

    def read(self, first: int, count: int) -> NDArray[np.float32]:
        """Decode a stretch; see `Sound.read`."""
        pieces, at = [], 0
        for part in self.parts:
            low, high = max(first, at), min(first + count, at + part.frames)
            if low < high:
                pieces.append(part.read(low - at, high - low))
            at += part.frames
        if len({piece.shape[1] for piece in pieces}) > 1:
            pieces = [piece.mean(axis=1, keepdims=True) for piece in pieces]
        return np.concatenate(pieces) if pieces else np.zeros((0, 1), np.float32)


def _what_it_is(file: BinaryIO) -> str:
    """What a file that is no audio seems to be."""
    file.seek(0)
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
    if looks_like_audio(head):
        return "an audio or video file, damaged"
    return "text, not audio" if _is_text(head) else "no audio format that is known here, or damaged"


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) // 2 * 2].decode("utf-16", "replace")
    else:
        text = head.decode("utf-8", "replace")
    return sum(c.isprintable() or c in "\t\n\r\ufeff" for c in text if c != "\ufffd") > 0.95 * len(text)


_MAGIC = (
    *(b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b"caff", b".snd", b"NIST_1A", b"fLaC", b"OggS", b"ID3"),
    *(b"\x1aE\xdf\xa3", b"FLV", ASF, b"#!AMR", b"\x0bw", b"\0\0\x01\xba", b"MAC ", b"wvpk", b"TTA1", b"MPCK", b"MP+"),
    *(b"ADIF", b"Creative Voice File", b".RMF", b".ra\xfd", b"\x7f\xfe\x80\x01"),
)

_CONTAINERS = {
    b"\x1aE\xdf\xa3": "a Matroska or WebM file",
    b"FLV": "an FLV file",
    ASF: "a WMA or ASF file",
    b"\0\0\x01\xba": "an MPEG file",
}


def looks_like_audio(head: bytes) -> bool:
    """Tell from the first bytes of a file, 512 or more, whether it is audio or video of a usual kind."""
    transport = len(head) > 376 and head[0] == head[188] == head[376] == 0x47
    return head.startswith(_MAGIC) or head[4:8] in ISO_BOXES or transport or _has_sync(head)


@lru_cache(maxsize=32)
def _examined(path: str, size: int, changed: int) -> Sound:
    """The reader of a file, chosen by its content, once for all the clips that are cut from it.

    Raises:
        UnreadableAudioError: a file that cannot be used.
        soundfile.SoundFileError: one that libsndfile finds damaged.
    """
    source = Path(path)
    with source.open("rb") as file:
        if size == 0:
            raise UnreadableAudioError(_what_it_is(file))
        try:
            return _reader(source, file, size)
        except soundfile.SoundFileError as error:
            what = _what_it_is(file)
            cause = str(error).rsplit(": ", 1)[-1].rstrip(".")
            raise UnreadableAudioError(f"{what} ({cause})" if what.endswith("damaged") else what) from error


def _reader(path: Path, whole: BinaryIO, size: int) -> Sound:
    whole.seek(0)
    head = whole.read(512)
    start = 0
    while head.startswith(b"ID3") and 0 < (length := tag_length(head)) < size - start:
        start += length
        whole.seek(start)
        head = whole.read(512)
    end = size
    # What a tag precedes is read as if the tag were not there.
    file, size = (Window(path, start), size - start) if start else (whole, size)
    if head.startswith(b"OggS"):
        return _ogg(path, file, start, size)
    if head.startswith(b"fLaC") and len(head) >= 26:
        return _flac(path, file, start, size)
    if samples := find_samples(file, size):
        fmt, first = samples.chunks.get(b"fmt ", b""), start + samples.start
        if fmt[:2] in _MPEG_IN_WAV and find_frames(file, samples.start, samples.start + samples.size) is not None:
            if samples.missing:
                raise UnreadableAudioError(f"truncated: {samples.missing} bytes of samples are missing")
            return MpegAudio(path, first, first + samples.size)
        header = wav_header(samples) if samples.rewritten or samples.behind or start else None
        try:
            return SndFile(path, header and (first, samples.size, header), samples)
        except soundfile.SoundFileError:
            track = _sound_track(path, file, start, size, "an audio file, damaged")
            track.remarks += _remarks_on(samples, FEW_BYTES)
            return track
    if kind := _container(head):
        return _sound_track(path, file, start, size, kind)
    if find_frames(whole, start, end) is not None:
        return MpegAudio(path, start, end)
    if start or head.startswith(b"\xff"):  # AAC, MPEG audio of a free bit rate, or a text in UTF-16
        return _sound_track(path, file, start, size, "an audio file" if _has_sync(head) else _what_it_is(whole))
    try:
        return SndFile(path, (0, None, b""), None)  # without its name, by which libsndfile guesses
    except soundfile.SoundFileError as error:
        try:
            return SoundTrack(path)
        except UnreadableAudioError as refusal:
            if not str(refusal).startswith("cannot be decoded"):
                raise
            if looks_like_audio(head):
                raise UnreadableAudioError(f"an audio or video file, damaged or cut off: {refusal}") from refusal
            raise error from refusal


def _has_sync(head: bytes) -> bool:
    """Whether a file begins as the frames of AAC and MPEG audio do."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] not in (0xFE, 0xFF)


def _container(head: bytes) -> str:
    """What holds the sound, by a file's first bytes; empty for what FFmpeg need not be asked first."""
    if head[4:8] in ISO_BOXES:
        return "an MP4 or MOV file"
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "an AVI file"
    if head.startswith(b"G") and head[188:189] == b"G":
        return "an MPEG transport stream"
    return next((kind for magic, kind in _CONTAINERS.items() if head.startswith(magic)), "")


def _sound_track(path: Path, file: BinaryIO, start: int, size: int, kind: str) -> SoundTrack:
    """A container that FFmpeg reads, unless its structure says that bytes are missing at its end."""
    missing = missing_bytes(file, size)
    if missing > FEW_BYTES:
        raise UnreadableAudioError(f"truncated: {missing} bytes or more are missing at the end of the file")
    try:
        track = SoundTrack(path, start)
    except UnreadableAudioError as error:
        lacks_index = kind == "an MP4 or MOV file" and not has_index(file, size)
        reason = "no index (moov): the recording was not finished" if lacks_index else error
        raise UnreadableAudioError(f"{kind}: {reason}") from error
    if missing and not track.claimed:
        raise UnreadableAudioError("truncated: cut inside its last packet")
    if (joined := find_joined(file, size)) is not None:
        track.remarks.append(("unread", f"another file is joined to it: {size - joined} bytes are not read"))
    if missing:
        track.remarks.append(("length", f"the file lacks {missing} bytes at its end"))
    return track


def _flac(path: Path, file: BinaryIO, start: int, size: int) -> Sound:
    parts: list[Sound] = []
    begin: int | None = 0
    while begin is not None:
        following = find_bytes(file, b"fLaC\0\0\0\x22", begin + 4, size)
        file.seek(begin)
        known = int.from_bytes(file.read(26)[21:], "big") & 0xFFFFFFFFF
        first, last = start + begin, start + (size if following is None else following)
        window = None if (first, following) == (0, None) else (first, last - first, b"")
        parts.append(SndFile(path, window, None) if known else SoundTrack(path, first, last))
        begin = following
    return parts[0] if len(parts) == 1 else Chain(parts)


def _ogg(path: Path, file: BinaryIO, start: int, size: int) -> Sound:
    links, torn = ogg_links(file, size)
    sounds = [link for link in links if link.codec]
    if torn:
        raise UnreadableAudioError(f"truncated: its last page lacks {torn} bytes or more")
    if not sounds:
        return _sound_track(path, file, start, size, "an Ogg file")
    lost = sum(link.lost for link in sounds)
    if lost:
        raise UnreadableAudioError(f"damaged: {lost} Ogg page(s) are missing or damaged")
    parts = [SoundTrack(path, start + link.start, start + link.end, link.samples or None) for link in sounds]
    if not all(link.finished for link in sounds):
        parts[-1].remarks.append(("length", "no page says that the sound ends there: the file may have been cut off"))
    return parts[0] if len(parts) == 1 else Chain(parts)


def _decode(path: Path, most: float, start: float, end: float) -> tuple[NDArray[np.float32], Sound, float]:
    """At most `most` seconds of a stretch, shape (frames, channels), at the file's own rate; the file; its seconds."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise UnreadableAudioError("not a file")
        sound = _examined(os.fspath(path), status.st_size, status.st_mtime_ns)
        rate, frames = sound.rate, sound.frames
        if not RATES[0] <= rate <= RATES[1]:
            raise UnreadableAudioError(f"damaged header: a sampling rate of {rate} Hz")
        first = 0 if math.isnan(start) else round(start * rate)
        last = frames if math.isnan(end) else round(end * rate)
        nowhere = UnreadableAudioError(f"no stretch from {start} to {end} s in a file of {frames / rate:.2f} s")
        if sound.exact and frames < last <= frames + ROUNDED * rate:
            last = frames
        if (first, last) != (0, frames) and not 0 <= first < last <= frames + (0 if sound.exact else rate // 2):
            raise nowhere
        whole = math.isnan(end) and not sound.exact  # to the end, wherever decoding finds it
        most_frames = int(most * rate)
        wanted = most_frames if whole else min(last - first, most_frames)
        waveform = sound.read(first, wanted)
    except soundfile.SoundFileError as error:
        raise UnreadableAudioError(f"an audio file, damaged ({str(error).rsplit(': ', 1)[-1].rstrip('.')})") from error
    except OSError as error:
        if error.errno not in _LASTING:
            raise  # a disk or network that fails says nothing about the file
        raise UnreadableAudioError(str(error.strerror)) from error
    promised = min(wanted, last - first) - (0 if sound.exact else round(ROUNDED_TIMES * rate))
    if len(waveform) < promised:
        if not math.isnan(end) and not sound.exact:
            raise nowhere
        raise UnreadableAudioError(f"truncated: {min(wanted, last - first)} frames promised, {len(waveform)} readable")
    return waveform, sound, (len(waveform) if whole and len(waveform) < wanted else last - first) / rate


def read_audio(path: Path, max_seconds: float, start: float = math.nan, end: float = math.nan) -> Recording:
    """The first `max_seconds` of a file, or of a stretch of it, as 16 kHz mono.

    Channels are averaged; resampling is soxr's (high quality).

    Args:
        path: any file of sound or video, at any rate and channel count.
        max_seconds: how much to keep, in seconds.
        start: where the stretch begins, in seconds from the first sample of sound; NaN is the file's beginning.
        end: where it ends, in seconds; NaN is the file's end.

    Raises:
        UnreadableAudioError: missing, unreadable, truncated, empty, holding values that are not finite, or shorter
            than the excerpt.
    """
    # A tenth of a second more than is kept, so that the crop does not reach the resampler's edge.
    waveform, sound, seconds = _decode(path, max_seconds + 0.1, start, end)
    if len(waveform) == 0:
        raise UnreadableAudioError("empty: no samples")
    mono = waveform[:, 0] if waveform.shape[1] == 1 else waveform.mean(axis=1)
    peak = max(mono.max(), -mono.min())  # NaN where any sample is
    if not np.isfinite(peak):
        raise UnreadableAudioError("holds NaN or infinite samples")
    full = 1 - 2**-15
    clipped = float((np.abs(waveform) >= full).mean()) if peak >= full or waveform.shape[1] > 1 else 0.0
    scale = _other_scale(waveform) if clipped else None
    remarks = [*sound.remarks, *filter(None, (scale, _cancelled(waveform, mono)))]
    if sound.rate != RATE:
        mono = soxr.resample(mono, sound.rate, RATE, quality="HQ")
    mono = mono[: round(max_seconds * RATE)]
    if len(mono) == 0:
        raise UnreadableAudioError("empty: shorter than one sample at 16 kHz")
    clipped = 0.0 if scale else clipped
    return Recording(mono, sound.rate, waveform.shape[1], seconds, clipped, tuple(remarks))


def _other_scale(waveform: NDArray[np.float32]) -> Remark | None:
    """A remark on samples of floating point that are integers, or far above full scale."""
    peak = float(np.abs(waveform).max())
    if peak > 1 and np.array_equal(waveform, np.rint(waveform)):
        bits = next((bits for bits in (8, 16, 24) if peak <= 1 << (bits - 1)), 32)
        text = f"floating-point samples that are integers up to {peak:.0f}: divide them by {1 << (bits - 1)}"
        return "integers", text
    if peak > LOUD:
        return "scale", f"samples reach {peak:.0f} times full scale: divide them by the full-scale value"
    return None


def _cancelled(waveform: NDArray[np.float32], mono: NDArray[np.float32]) -> Remark | None:
    """A remark on channels that cancel when they are averaged, as where one is inverted."""
    channels = waveform.shape[1]
    if channels == 1:
        return None
    before, after = (float(np.square(x, dtype=np.float64).mean()) for x in (waveform, mono))
    limit = CANCELLED_DB + 10 * math.log10(channels / 2)
    if before == 0 or after > before * 10 ** (-limit / 10):
        return None
    loss = f"{10 * math.log10(before / after):.0f} dB are lost" if after else "nothing is left"
    return "channels", f"its {channels} channels cancel when they are averaged ({loss}): one may be inverted"
