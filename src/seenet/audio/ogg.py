"""Pages of Ogg files: the logical streams, their length, and missing or damaged pages.

Sources: Ogg (RFC 3533), Opus in Ogg (RFC 7845).
"""

import struct
import zlib
from dataclasses import dataclass

from seenet.audio.byte_access import ReadableFile, find_bytes

_PAGE_HEADER_BYTES = 27
_MAX_SEGMENTS = 255
_FIRST_PAGE, _LAST_PAGE = 2, 4  # flags of a page header
_CODECS = {b"\x01vorbis": "vorbis", b"OpusHead": "opus", b"\x7fFLAC": "flac", b"Speex   ": "speex"}
_REVERSED_BYTES = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass
class OggStream:
    """One of the concatenated streams of an Ogg file; most files contain one.

    Attributes:
        start: the offset of the first page, in bytes.
        end: the end of the last page, in bytes.
        codec: the codec of the first audio track, or an empty string without one.
        skip: the number of samples at the beginning to discard (Opus).
        samples: the length of the audio track by its last page, at 48 kHz for Opus.
        is_finished: whether a page marks the end of the audio track.
        lost_pages: the number of damaged pages and of gaps in the page numbers.
    """

    start: int
    end: int = 0
    codec: str = ""
    skip: int = 0
    samples: int = 0
    is_finished: bool = False
    lost_pages: int = 0


def _checksum(page: bytes) -> int:
    """Compute the checksum of a page: CRC-32, bits reversed, initial value 0, not inverted."""
    crc = zlib.crc32(page.translate(_REVERSED_BYTES), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)


class _Page:
    """One page of an Ogg file.

    Args:
        data: all bytes of the page.
    """

    granule: int
    serial: int
    number: int
    _stated_checksum: int

    def __init__(self, data: bytes):
        flags, self.granule, self.serial, self.number, self._stated_checksum = struct.unpack("<BqIII", data[5:26])
        self.is_first, self.is_last = bool(flags & _FIRST_PAGE), bool(flags & _LAST_PAGE)
        self.content = data[_PAGE_HEADER_BYTES + data[26] :]
        self.codec = next((name for magic, name in _CODECS.items() if self.content.startswith(magic)), "")
        self._data = data

    def is_intact(self) -> bool:
        """Return whether the bytes match the checksum of the page."""
        return _checksum(self._data[:22] + bytes(4) + self._data[26:]) == self._stated_checksum


class _StreamCollector:
    """Collects the streams of a file from its pages."""

    def __init__(self) -> None:
        self.streams: list[OggStream] = []
        self._serial: int | None = None  # of the audio track of the current stream
        self._next_number: int | None = None
        self._is_at_beginning = False

    def add_gap(self) -> None:
        """Count bytes between two pages as one lost page."""
        if self.streams:
            self.streams[-1].lost_pages += 1

    def add(self, page: _Page, start: int, end: int) -> None:
        """Add the page between two offsets."""
        if page.is_first and not self._is_at_beginning:
            self.streams.append(OggStream(start))
            self._serial = self._next_number = None
        self._is_at_beginning = page.is_first
        if not self.streams:
            self.streams.append(OggStream(start))
        stream = self.streams[-1]
        stream.end = end
        if page.is_first and page.codec and self._serial is None:
            self._serial, stream.codec = page.serial, page.codec
            has_skip = page.codec == "opus" and len(page.content) >= 12
            stream.skip = struct.unpack_from("<H", page.content, 10)[0] if has_skip else 0
        if page.serial == self._serial:
            is_next = self._next_number is None or page.number == self._next_number
            stream.lost_pages += not (is_next and page.is_intact())
            self._next_number = page.number + 1
            stream.samples = max(stream.samples, page.granule - stream.skip)
            stream.is_finished |= page.is_last


def read_ogg_streams(file: ReadableFile, size: int) -> tuple[list[OggStream], int]:
    """Read all pages of an Ogg file.

    Args:
        file: a file open for reading.
        size: the size of the file, in bytes.

    Returns:
        The concatenated streams in order, and the number of bytes that the last page lacks.
    """
    collector = _StreamCollector()
    offset = 0
    while offset < size:
        file.seek(offset)
        head = file.read(_PAGE_HEADER_BYTES + _MAX_SEGMENTS)
        if len(head) < _PAGE_HEADER_BYTES and head[:4] == b"OggS"[: len(head[:4])]:
            return collector.streams, _PAGE_HEADER_BYTES - len(head)
        if not head.startswith(b"OggS"):
            next_page = find_bytes(file, b"OggS", offset + 1, size)
            if next_page is None:
                break
            collector.add_gap()
            offset = next_page
            continue
        header_bytes = _PAGE_HEADER_BYTES + head[26]
        end = offset + header_bytes + sum(head[_PAGE_HEADER_BYTES:header_bytes])
        if len(head) < header_bytes or end > size:
            return collector.streams, max(1, end - size)
        file.seek(offset)
        collector.add(_Page(file.read(end - offset)), offset, end)
        offset = end
    return collector.streams, 0
