"""MPEG audio (MP3, MP2, MP1) by its frames: no header is trusted for its length.

Every frame is found first, and tags, length headers and other bytes between frames are passed over; then frames are
decoded one by one. So joined files, files of variable rate without a length header, and stretches are exact. Sources:
ISO/IEC 11172-3 and 13818-3; the Xing, LAME and VBRI headers as documented by LAME.
"""

import struct
from array import array
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from seenet.audio.containers import Remark, UnreadableAudioError

RATES = (44100, 48000, 32000)
BITRATES = {  # kbit/s, by whether the version is 1, and by layer
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
DECODERS = {1: "mp1float", 2: "mp2float", 3: "mp3float"}
DECODER_DELAY = 529
"""Samples by which every decoder of layer III lags, as LAME's delays count them."""

PREROLL = 32
"""Frames that are decoded before a stretch: a frame borrows bits of earlier ones."""

SEARCHED = 1 << 20
"""Bytes at the beginning of a file that are searched for frames."""

CONFIRMED = 3
"""Frames that must follow one another before bytes are taken for MPEG audio."""


@dataclass(frozen=True)
class Header:
    """What a frame's first four bytes say: its version (1, or 2 with 2.5), layer, rate in Hz, length in bytes."""

    version: int
    layer: int
    rate: int
    channels: int
    length: int

    @property
    def samples(self) -> int:
        """How many samples the frame holds."""
        return 384 if self.layer == 1 else 1152 if self.layer == 2 or self.version == 1 else 576

    @property
    def kind(self) -> tuple[int, int, int]:
        """What frames of one stream have in common."""
        return self.version, self.layer, self.rate


@lru_cache(maxsize=4096)
def parse_header(data: bytes) -> Header | None:
    """Parse the first four bytes of a frame; None where they are none, or of free bit rate."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = (2.5, None, 2, 1)[data[1] >> 3 & 3], 4 - (data[1] >> 1 & 3)
    bitrate, rate, pad = data[2] >> 4, data[2] >> 2 & 3, data[2] >> 1 & 1
    if version is None or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    hertz = int(RATES[rate] // {1: 1, 2: 2, 2.5: 4}[version])
    bits = 1000 * BITRATES[version == 1, layer][bitrate]
    if layer == 1:
        length = (12 * bits // hertz + pad) * 4
    else:
        length = (72 if layer == 3 and version != 1 else 144) * bits // hertz + pad
    return Header(1 if version == 1 else 2, layer, hertz, 1 if data[3] >> 6 == 3 else 2, length)


class _Bytes:
    """Random access to a file through one large buffer."""

    def __init__(self, file: BinaryIO, end: int):
        self.file, self.end, self.at, self.buffer = file, end, 0, b""

    def get(self, at: int, count: int) -> bytes:
        """Up to `count` bytes from an offset."""
        count = min(count, self.end - at)
        if count <= 0:
            return b""
        if not self.at <= at <= at + count <= self.at + len(self.buffer):
            self.file.seek(at)
            self.at, self.buffer = at, self.file.read(max(count, 1 << 18))
        return self.buffer[at - self.at : at - self.at + count]


@dataclass
class Segment:
    """Frames that one encoder wrote; a joined file holds several.

    Attributes:
        header: of its first frame.
        offsets: where each frame begins, in bytes.
        claimed: frames that its length header promises; 0 where it has none.
        lead: samples at the beginning that the encoder added.
        tail: samples at the end that the encoder added.
    """

    header: Header
    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    claimed: int = 0
    lead: int = 0
    tail: int = 0

    @property
    def samples(self) -> int:
        """Samples of sound."""
        return max(0, len(self.offsets) * self.header.samples - self.lead - self.tail)


def tag_length(data: bytes) -> int:
    """Length of the tag that begins with these 32 bytes (ID3v1, ID3v2, APE), in bytes; 0 where none does."""
    if data.startswith(b"ID3") and len(data) >= 10 and max(data[6:10]) < 128:
        size = int.from_bytes(bytes(data[6:10]), "big")
        size = (size & 0x7F) | (size >> 1 & 0x3F80) | (size >> 2 & 0x1FC000) | (size >> 3 & 0xFE00000)
        return 10 + size + (10 if data[5] & 0x10 else 0)
    if data.startswith(b"APETAGEX") and len(data) >= 24:
        size, has_header = struct.unpack_from("<I", data, 12)[0], data[23] & 0x20
        return 32 + (size if has_header else 0)
    return 128 if data.startswith(b"TAG") else 0


def _length_header(frame: bytes, header: Header) -> tuple[int, int, int] | None:
    """Frames, delay and padding that a frame without sound promises; None for a frame of sound."""
    if header.layer != 3:
        return None
    at = 4 + ((32 if header.channels == 2 else 17) if header.version == 1 else (17 if header.channels == 2 else 9))
    if frame[36:40] == b"VBRI":
        return struct.unpack_from(">I", frame.ljust(54, b"\0"), 50)[0], 0, 0
    if frame[at : at + 4] not in (b"Xing", b"Info"):
        return None
    frame = frame.ljust(at + 160, b"\0")
    flags = struct.unpack_from(">I", frame, at + 4)[0]
    frames = struct.unpack_from(">I", frame, at + 8)[0] if flags & 1 else 0
    encoder = at + 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    delays = int.from_bytes(frame[encoder + 21 : encoder + 24], "big")
    known = frame[encoder : encoder + 4].isalnum()
    return frames, (delays >> 12) * known, (delays & 0xFFF) * known


class MpegAudio:
    """MPEG audio in a file or a part of one.

    Args:
        path: the file.
        start: where the part begins, in bytes.
        end: where it ends, in bytes.

    Attributes:
        rate: in Hz.
        frames: samples of each channel.
        exact: True, the length is known.
        remarks: what is worth knowing of the file.

    Raises:
        UnreadableAudioError: truncated, or joined of parts with different rates.
    """

    exact = True

    def __init__(self, path: Path, start: int, end: int):
        self.path, self.remarks = path, list[Remark]()
        with path.open("rb") as file:
            self.segments, torn = _scan(_Bytes(file, end), start)
        if not self.segments:
            raise UnreadableAudioError("empty: no samples")
        rates = sorted({segment.header.rate for segment in self.segments})
        if len(rates) > 1:
            raise UnreadableAudioError(f"joined of parts at {' and '.join(map(str, rates))} Hz: convert it to WAV")
        self.rate = rates[0]
        self.frames = sum(segment.samples for segment in self.segments)
        self._check(torn)

    def _check(self, torn: int) -> None:
        for segment in self.segments:
            missing = segment.claimed - len(segment.offsets)
            if missing > 2:
                raise UnreadableAudioError(
                    f"truncated: {segment.claimed} frames promised, {len(segment.offsets)} present"
                )
            if missing > 0:
                self.remarks.append(("length", f"the header promises {missing} frame(s) more than there are"))
        last = self.segments[-1]
        if torn and not last.claimed:
            raise UnreadableAudioError(f"truncated: cut inside its last frame, which lacks {torn} bytes")
        if torn and len(last.offsets) < last.claimed:
            self.remarks.append(("length", f"the last frame lacks {torn} bytes"))

    def read(self, first: int, count: int) -> NDArray[np.float32]:
        """Decode a stretch.

        Args:
            first: its first sample.
            count: of samples of each channel.

        Returns:
            Shape (samples, channels).

        Raises:
            UnreadableAudioError: frames that cannot be decoded.
        """
        pieces: list[NDArray[np.float32]] = []
        at = 0
        for segment in self.segments:
            low, high = max(first, at), min(first + count, at + segment.samples)
            if low < high:
                pieces.append(self._decode(segment, low - at, high - at))
            at += segment.samples
        if not pieces:
            return np.zeros((0, 1), np.float32)
        if len({piece.shape[1] for piece in pieces}) > 1:
            pieces = [piece.mean(axis=1, keepdims=True) for piece in pieces]
        return np.concatenate(pieces)

    def _decode(self, segment: Segment, low: int, high: int) -> NDArray[np.float32]:
        """Samples of one segment, counted from its first sample of sound."""
        size = segment.header.samples
        low, high = low + segment.lead, high + segment.lead
        begin, end = low // size, min(-(-high // size), len(segment.offsets))
        before = max(0, begin - PREROLL)
        decoder = av.CodecContext.create(DECODERS[segment.header.layer], "r")
        channels, failed, pieces = segment.header.channels, 0, []
        with self.path.open("rb") as file:
            for number in range(before, end):
                file.seek(segment.offsets[number])
                head = file.read(4)
                header = parse_header(head)
                assert header is not None
                try:
                    found = decoder.decode(av.Packet(head + file.read(header.length - 4)))
                except av.FFmpegError:
                    found = []
                if number < begin:
                    continue
                wave = found[0].to_ndarray().T if found else np.zeros((size, channels), np.float32)
                failed += not found
                if wave.shape[1] != channels:
                    wave = np.repeat(wave.mean(axis=1, keepdims=True), channels, axis=1)
                pieces.append(wave)
        if failed > 1:
            raise UnreadableAudioError(f"damaged: {failed} of {len(pieces)} frames cannot be decoded")
        return np.concatenate(pieces)[low - begin * size : high - begin * size]


def find_frames(file: BinaryIO, start: int, size: int) -> int | None:
    """Find where frames of MPEG audio begin, behind tags and a few other bytes.

    Args:
        file: open for reading.
        start: where to look from, in bytes.
        size: where the file, or the part of it, ends, in bytes.

    Returns:
        The offset of the first frame, None where the bytes are no MPEG audio.
    """
    data = _Bytes(file, size)
    while (length := tag_length(data.get(start, 32))) and start + length < size:
        start += length
    return _resync(data, start, min(size, start + SEARCHED))


def _resync(data: _Bytes, at: int, end: int) -> int | None:
    """The next offset at which several frames of one kind follow one another, or a single one up to the end."""
    while at < end:
        block = data.get(at, min(4096, end - at))
        found = block.find(0xFF)
        if found < 0:
            at += len(block)
            continue
        at += found
        if _confirmed(data, at):
            return at
        at += 1
    return None


def _confirmed(data: _Bytes, at: int) -> bool:
    """Whether several frames of one kind follow one another from an offset, or fewer up to the end or a tag."""
    kind = None
    for number in range(CONFIRMED):
        ended = at == data.end or (number > 1 and at > data.end) or bool(tag_length(data.get(at, 32)))
        if number and ended:
            return True
        header = parse_header(data.get(at, 4))
        if header is None or (kind or header.kind) != header.kind:
            return False
        kind, at = header.kind, at + header.length
    return True


def _scan(data: _Bytes, at: int) -> tuple[list[Segment], int]:
    """Find every frame, and how many bytes the last one lacks."""
    segments: list[Segment] = []
    kind, torn = None, 0
    while at < data.end:
        head = data.get(at, 4)
        header = parse_header(head)
        if header is None or (header.kind != kind and not _confirmed(data, at)):
            length = tag_length(data.get(at, 32))
            if length and at + length <= data.end:
                at += length
                continue
            found = _resync(data, at + 1, data.end)
            if found is None:
                break
            at = found
            continue
        if at + header.length > data.end:
            torn = at + header.length - data.end
            break
        told = _length_header(data.get(at, min(header.length, 256)), header)
        if told:
            frames, delay, padding = told
            segments.append(Segment(header, claimed=frames))
            if delay or padding:
                segments[-1].lead, segments[-1].tail = delay + DECODER_DELAY, max(0, padding - DECODER_DELAY)
        else:
            if header.kind != kind and (
                not segments or segments[-1].offsets or segments[-1].header.kind != header.kind
            ):
                segments.append(Segment(header))
            segments[-1].offsets.append(at)
        kind, at = header.kind, at + header.length
    return [segment for segment in segments if segment.offsets or segment.claimed], torn
