"""Location and length of MPEG audio frames (MP3, MP2, MP1), without use of length headers.

Sources: ISO/IEC 11172-3 and 13818-3; the Xing, LAME and VBRI headers as documented by LAME.
"""

import struct
from array import array
from dataclasses import dataclass, field
from functools import lru_cache

from seenet.audio.byte_access import BufferedBytes, ReadableFile

SAMPLE_RATES_HZ = (44100, 48000, 32000)
BITRATES_KBPS = {  # by whether the version is 1, and by layer
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
DECODER_DELAY_SAMPLES = 529
"""Delay of every layer III decoder, as LAME's delay fields count it."""

MAX_SEARCH_BYTES = 1 << 20
"""Number of bytes at the beginning of a file in which frames are searched."""

MIN_CONSECUTIVE_FRAMES = 3
"""Number of consecutive frames that identify bytes as MPEG audio."""

_SEARCH_BLOCK_BYTES = 4096
_TAG_HEADER_BYTES = 32


@dataclass(frozen=True)
class FrameHeader:
    """Content of the first four bytes of a frame.

    Attributes:
        version: 1 or 2; 2 includes version 2.5.
        layer: 1, 2 or 3.
        rate: the sampling rate, in Hz.
        channels: the number of channels.
        length: the length of the frame, in bytes.
    """

    version: int
    layer: int
    rate: int
    channels: int
    length: int

    @property
    def samples(self) -> int:
        """Return the number of samples per channel in the frame."""
        return 384 if self.layer == 1 else 1152 if self.layer == 2 or self.version == 1 else 576

    @property
    def kind(self) -> tuple[int, int, int]:
        """Return the properties that all frames of a stream share."""
        return self.version, self.layer, self.rate


@lru_cache(maxsize=4096)
def parse_frame_header(data: bytes) -> FrameHeader | None:
    """Parse the first four bytes of a frame; return None if they are invalid or of free bit rate."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    version, layer = (2.5, None, 2, 1)[data[1] >> 3 & 3], 4 - (data[1] >> 1 & 3)
    bitrate, rate, padding = data[2] >> 4, data[2] >> 2 & 3, data[2] >> 1 & 1
    if version is None or layer == 4 or bitrate in (0, 15) or rate == 3:
        return None
    hertz = int(SAMPLE_RATES_HZ[rate] // {1: 1, 2: 2, 2.5: 4}[version])
    bits_per_second = 1000 * BITRATES_KBPS[version == 1, layer][bitrate]
    if layer == 1:
        length = (12 * bits_per_second // hertz + padding) * 4
    else:
        length = (72 if layer == 3 and version != 1 else 144) * bits_per_second // hertz + padding
    return FrameHeader(1 if version == 1 else 2, layer, hertz, 1 if data[3] >> 6 == 3 else 2, length)


@dataclass
class Segment:
    """Consecutive frames from one encoder; a concatenated file has several segments.

    Attributes:
        header: the header of the first frame.
        offsets: the offset of each frame, in bytes.
        stated_frames: the number of frames in the length header, or 0 without one.
        lead: the number of samples that the encoder added at the beginning.
        tail: the number of samples that the encoder added at the end.
    """

    header: FrameHeader
    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    stated_frames: int = 0
    lead: int = 0
    tail: int = 0

    @property
    def samples(self) -> int:
        """Return the number of samples per channel without those that the encoder added."""
        return max(0, len(self.offsets) * self.header.samples - self.lead - self.tail)


def measure_tag(data: bytes) -> int:
    """Return the length of an ID3v1, ID3v2 or APE tag in bytes, or 0 without a tag.

    Args:
        data: the first 32 bytes of the possible tag.
    """
    if data.startswith(b"ID3") and len(data) >= 10 and max(data[6:10]) < 128:
        size = int.from_bytes(bytes(data[6:10]), "big")
        size = (size & 0x7F) | (size >> 1 & 0x3F80) | (size >> 2 & 0x1FC000) | (size >> 3 & 0xFE00000)
        return 10 + size + (10 if data[5] & 0x10 else 0)
    if data.startswith(b"APETAGEX") and len(data) >= 24:
        size, has_header = struct.unpack_from("<I", data, 12)[0], data[23] & 0x20
        return 32 + (size if has_header else 0)
    return 128 if data.startswith(b"TAG") else 0


def find_first_frame(file: ReadableFile, start: int, end: int) -> int | None:
    """Find the first frame of MPEG audio, after tags and a limited number of other bytes.

    Args:
        file: a file open for reading.
        start: where the search begins, in bytes.
        end: the end of the file or of the part, in bytes.

    Returns:
        The offset of the first frame, or None if the bytes are not MPEG audio.
    """
    data = BufferedBytes(file, end)
    while (length := measure_tag(data.get(start, _TAG_HEADER_BYTES))) and start + length < end:
        start += length
    return _find_next_frame(data, start, min(end, start + MAX_SEARCH_BYTES))


def _find_next_frame(data: BufferedBytes, offset: int, end: int) -> int | None:
    """Return the next offset at which MPEG audio begins, or None."""
    while offset < end:
        block = data.get(offset, min(_SEARCH_BLOCK_BYTES, end - offset))
        position = block.find(0xFF)
        if position < 0:
            offset += len(block)
            continue
        offset += position
        if _has_consecutive_frames(data, offset):
            return offset
        offset += 1
    return None


def _has_consecutive_frames(data: BufferedBytes, offset: int) -> bool:
    """Return whether consecutive frames of one kind begin at an offset.

    Fewer than `MIN_CONSECUTIVE_FRAMES` suffice before the end or a tag.
    """
    kind = None
    for number in range(MIN_CONSECUTIVE_FRAMES):
        is_after_end = offset == data.end or (number > 1 and offset > data.end)
        if number and (is_after_end or measure_tag(data.get(offset, _TAG_HEADER_BYTES))):
            return True
        header = parse_frame_header(data.get(offset, 4))
        if header is None or (kind or header.kind) != header.kind:
            return False
        kind, offset = header.kind, offset + header.length
    return True


def read_segments(file: ReadableFile, start: int, end: int) -> tuple[list[Segment], int]:
    """Find every frame of a file.

    Args:
        file: a file open for reading.
        start: where the search begins, in bytes.
        end: the end of the file or of the part, in bytes.

    Returns:
        The segments in order, and the number of bytes that the last frame lacks.
    """
    data, offset = BufferedBytes(file, end), start
    segments: list[Segment] = []
    kind, lacking = None, 0
    while offset < data.end:
        header = parse_frame_header(data.get(offset, 4))
        if header is None or (header.kind != kind and not _has_consecutive_frames(data, offset)):
            next_offset = _skip_other_bytes(data, offset)
            if next_offset is None:
                break
            offset = next_offset
            continue
        if offset + header.length > data.end:
            lacking = offset + header.length - data.end
            break
        _add_frame(segments, data, offset, header, kind)
        kind, offset = header.kind, offset + header.length
    return [segment for segment in segments if segment.offsets or segment.stated_frames], lacking


def _skip_other_bytes(data: BufferedBytes, offset: int) -> int | None:
    """Return the offset after a tag, otherwise that of the next frame, or None without one."""
    length = measure_tag(data.get(offset, _TAG_HEADER_BYTES))
    if length and offset + length <= data.end:
        return offset + length
    return _find_next_frame(data, offset + 1, data.end)


def _add_frame(
    segments: list[Segment], data: BufferedBytes, offset: int, header: FrameHeader, kind: tuple[int, int, int] | None
) -> None:
    """Add a frame to the last segment; a length header or another kind begins a new segment."""
    lengths = _parse_length_header(data.get(offset, min(header.length, 256)), header)
    if lengths:
        frames, delay, padding = lengths
        segments.append(Segment(header, stated_frames=frames))
        if delay or padding:
            segments[-1].lead = delay + DECODER_DELAY_SAMPLES
            segments[-1].tail = max(0, padding - DECODER_DELAY_SAMPLES)
        return
    is_new_kind = header.kind != kind
    if is_new_kind and (not segments or segments[-1].offsets or segments[-1].header.kind != header.kind):
        segments.append(Segment(header))
    segments[-1].offsets.append(offset)


def _parse_length_header(frame: bytes, header: FrameHeader) -> tuple[int, int, int] | None:
    """Return frame count, delay and padding of a Xing, Info or VBRI header, otherwise None."""
    if header.layer != 3:
        return None
    is_stereo = header.channels == 2
    offset = 4 + ((32 if is_stereo else 17) if header.version == 1 else (17 if is_stereo else 9))
    if frame[36:40] == b"VBRI":
        return struct.unpack_from(">I", frame.ljust(54, b"\0"), 50)[0], 0, 0
    if frame[offset : offset + 4] not in (b"Xing", b"Info"):
        return None
    frame = frame.ljust(offset + 160, b"\0")
    flags = struct.unpack_from(">I", frame, offset + 4)[0]
    frames = struct.unpack_from(">I", frame, offset + 8)[0] if flags & 1 else 0
    encoder = offset + 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    delays = int.from_bytes(frame[encoder + 21 : encoder + 24], "big")
    has_delays = frame[encoder : encoder + 4].isalnum()
    return frames, (delays >> 12) * has_delays, (delays & 0xFFF) * has_delays
