"""What the bytes of an audio file claim: where its samples are, how many, and whether the file was cut off.

Nothing is decoded here. Sources: the published layouts of RIFF, RF64 (EBU Tech 3306), Wave64, AIFF, CAF, NeXT/Sun AU,
NIST SPHERE, Ogg (RFC 3533), Opus in Ogg (RFC 7845), Matroska (RFC 9559), ISO base media (ISO/IEC 14496-12), FLV, ASF.
"""

import io
import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

FEW_BYTES = 64
"""A header may claim this many bytes too many: some writers count the header itself."""

FEW_SECONDS = 0.01
"""A header may claim this much sound too much, in seconds."""

SHARE_BEHIND = 0.1
"""Share of what the header of a WAV file promises from which bytes behind it, in no chunk, are samples too.

A recorder did not bring the header up to date."""

Remark = tuple[str, str]
"""The kind of a finding that does not make a file unusable, and a line about it."""


class UnreadableAudioError(Exception):
    """A file that cannot be used; the message says why, without the file's name."""


class Window(io.RawIOBase):
    """A part of a file as a file without a name, read-only, with bytes of our own in front.

    Args:
        path: the file.
        start: where the part begins, in bytes.
        size: of the part, in bytes; None reads to the end of the file.
        front: bytes that precede the part.
    """

    def __init__(self, path: Path, start: int = 0, size: int | None = None, front: bytes = b""):
        self._file = path.open("rb")
        self._start, self._front, self._at = start, front, 0
        self._size = len(front) + (os.fstat(self._file.fileno()).st_size - start if size is None else size)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position, in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; see `io.IOBase.seek`."""
        self._at = max(0, offset + (0, self._at, self._size)[whence])
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read up to as many bytes as the buffer holds, and return how many."""
        wanted = min(len(buffer), max(0, self._size - self._at))
        data = self._front[self._at : self._at + wanted]
        if len(data) < wanted:
            self._file.seek(self._start + self._at + len(data) - len(self._front))
            data += self._file.read(wanted - len(data))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


@dataclass(frozen=True)
class Layout:
    """How a family of files divides into chunks.

    Attributes:
        first: offset of the first chunk, in bytes.
        head: format of a chunk's name and size, for `struct`.
        pad: chunks begin at multiples of this many bytes.
        inclusive: whether a chunk's size counts its own head.
        data: name of the chunk that holds the samples.
    """

    first: int
    head: str
    pad: int
    inclusive: bool
    data: bytes


_W64 = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_RIFF = Layout(12, "<4sI", 2, False, b"data")
LAYOUTS = {
    **dict.fromkeys((b"RIFF", b"RF64", b"BW64"), _RIFF),
    b"RIFX": Layout(12, ">4sI", 2, False, b"data"),
    b"riff": Layout(40, "<16sQ", 8, True, b"data" + _W64),
    b"FORM": Layout(12, ">4sI", 2, False, b"SSND"),
    b"caff": Layout(8, ">4sq", 1, False, b"data"),
}


@dataclass
class Samples:
    """What the header of an uncompressed file says of its samples.

    Attributes:
        start: where they begin in the file, in bytes.
        size: how many bytes of them are there.
        missing: how many more the header promises.
        more: how many of them are more than the header promises.
        behind: how many bytes follow that belong to no chunk, and are not taken for samples.
        rewritten: whether the sizes in the header are wrong or unknown, and `size` is right.
        chunks: the small chunks before them, by name.
    """

    start: int
    size: int
    missing: int = 0
    more: int = 0
    behind: int = 0
    rewritten: bool = False
    chunks: dict[bytes, bytes] = field(default_factory=dict)


def _is_unknown(length: int, wide: bool) -> bool:
    """Whether a size is one that programs write that stream and never return to the header."""
    if wide:
        return length <= 0 or length >= 1 << 62
    return length == 0 or 0x7F000000 <= length <= 0x80100000 or length >= 0xFFF00000


def _is_name(name: bytes) -> bool:
    return bool(re.fullmatch(rb"[A-Za-z0-9 _\-\x7f\xa9.]{4}", name)) and name not in (
        b"RIFF",
        b"OggS",
        b"FORM",
        b"fLaC",
    )


def _chunk(file: BinaryIO, layout: Layout, at: int) -> tuple[bytes, int, int] | None:
    """Name, offset of the content and size of the chunk at an offset; None where no head fits."""
    file.seek(at)
    width = struct.calcsize(layout.head)
    head = file.read(width)
    if len(head) < width:
        return None
    name, length = struct.unpack(layout.head, head)
    return name, at + width, length - width * layout.inclusive


def _unchunked(file: BinaryIO, layout: Layout, at: int, size: int) -> int:
    """How many bytes at the end of a file, from an offset on, form no list of chunks."""
    while at < size - 8:
        found = _chunk(file, layout, at)
        if found is None or not _is_name(found[0][:4]) or found[1] + found[2] > size + FEW_BYTES:
            return size - at
        at = found[1] + found[2] + found[2] % layout.pad
    return 0


def find_samples(file: BinaryIO, size: int) -> Samples | None:
    """Find the samples of a WAV, RF64, Wave64, AIFF, CAF, AU or NIST SPHERE file.

    Args:
        file: open for reading.
        size: of the file, in bytes.

    Returns:
        None where the file is none of these, or holds no chunk of samples.
    """
    file.seek(0)
    head = file.read(1024)
    if head.startswith(b".snd") and len(head) >= 24:
        start, claimed = struct.unpack(">II", head[4:12])
        return _told(start, max(0, size - start), claimed, claimed == 0xFFFFFFFF)
    if head.startswith(b"NIST_1A"):
        return _sphere(head, size)
    layout = LAYOUTS.get(head[:4])
    kinds = (b"WAVE", b"AIFF", b"AIFC", b"8SVX", b"16SV")
    if layout is None or (head[:4] in (b"RIFF", b"FORM") and head[8:12] not in kinds):
        return None
    chunks: dict[bytes, bytes] = {}
    at, wide = layout.first, struct.calcsize(layout.head) > 8
    while at < size and (found := _chunk(file, layout, at)):
        name, start, length = found
        if name == layout.data or (name == b"BODY" and head[:4] == b"FORM"):
            return _data(file, size, layout, Samples(start, max(0, size - start), chunks=chunks), length, wide)
        if length < 0:
            return None
        if length <= 1024:
            file.seek(start)
            chunks[name[:4]] = file.read(length)
        at = start + length + (-(start + length) % layout.pad if layout.pad != 2 else length % 2)
        if layout.pad == 2 and length % 2:  # some writers forget the padding byte
            file.seek(at - 1)
            unpadded = file.read(5)
            if _is_name(unpadded[:4]) and not _is_name(unpadded[1:]):
                at -= 1
                chunks[b"\0odd"] = b""
    return None


def _told(start: int, present: int, claimed: int, unknown: bool) -> Samples:
    size = present if unknown else min(present, claimed)
    return Samples(start, size, missing=0 if unknown else max(0, claimed - present))


def _sphere(head: bytes, size: int) -> Samples | None:
    fields = dict(re.findall(rb"(sample_count|sample_n_bytes|channel_count) -i (\d+)", head))
    length = re.match(rb"NIST_1A\n\s*(\d+)\n", head)
    if length is None or len(fields) < 3 or b"shorten" in head:
        return None
    claimed = 1
    for value in fields.values():
        claimed *= int(value)
    return _told(int(length[1]), max(0, size - int(length[1])), claimed, False)


def _data(file: BinaryIO, size: int, layout: Layout, samples: Samples, claimed: int, wide: bool) -> Samples:
    """The samples of a chunked file, from what its data chunk claims."""
    present, start = samples.size, samples.start
    if claimed == 0xFFFFFFFF and len(samples.chunks.get(b"ds64", b"")) >= 16:
        claimed, wide = struct.unpack_from("<Q", samples.chunks[b"ds64"], 8)[0], True
    samples.rewritten = b"\0odd" in samples.chunks
    if claimed > present or claimed <= 0:
        if _is_unknown(claimed, wide):
            if claimed == 0 and _unchunked(file, layout, start, size) < present:
                samples.size = 0  # chunks follow: there are no samples indeed
            else:
                samples.rewritten = present > 0
            return samples
        samples.missing = claimed - present
        samples.rewritten = True
    elif not wide and claimed < present and (present - claimed) % (1 << 32) == 0:
        samples.rewritten = True  # more than 4 GiB: the size in the header wrapped round
    else:
        samples.size = claimed
        behind = _unchunked(file, layout, start + claimed + claimed % layout.pad, size)
        file.seek(start + claimed)
        joined = file.read(5)[claimed % layout.pad :].startswith(tuple(LAYOUTS))
        if behind > SHARE_BEHIND * claimed and b"fmt " in samples.chunks and not joined:
            samples.size, samples.more, samples.rewritten = present, behind, True
        else:
            samples.behind = behind
    return samples


def wav_header(samples: Samples) -> bytes | None:
    """Write a header for the samples of a WAV, RF64 or Wave64 file, with their true size; None without a format."""
    fmt = samples.chunks.get(b"fmt ")
    if fmt is None:
        return None
    fmt += b"\0" * (len(fmt) % 2)
    large = samples.size > 0xFFFFFF00
    body = b"WAVE"
    if large:
        body += struct.pack("<4sIQQQI", b"ds64", 28, samples.size + 36 + len(fmt) + 36, samples.size, 0, 0)
    body += struct.pack("<4sI", b"fmt ", len(fmt)) + fmt
    body += struct.pack("<4sI", b"data", 0xFFFFFFFF if large else samples.size)
    total = 0xFFFFFFFF if large else len(body) + samples.size
    return struct.pack("<4sI", b"RF64" if large else b"RIFF", total) + body


@dataclass
class Link:
    """One of the streams that are joined in an Ogg file; most files hold one.

    Attributes:
        start: where it begins, in bytes.
        end: where it ends, in bytes.
        codec: of its first sound track, as its first packet names it; empty where there is none.
        skip: samples at the beginning that are no sound (Opus).
        samples: up to the end of the sound track, by its last page; at 48 kHz for Opus.
        finished: whether a page says that the sound track ends there.
        lost: pages that are damaged, or missing by their numbers.
    """

    start: int
    end: int = 0
    codec: str = ""
    skip: int = 0
    samples: int = 0
    finished: bool = False
    lost: int = 0


_OGG_CODECS = {b"\x01vorbis": "vorbis", b"OpusHead": "opus", b"\x7fFLAC": "flac", b"Speex   ": "speex"}
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _checksum(page: bytes) -> int:
    """Compute an Ogg page's checksum: CRC-32 of reversed bits, from zero, not inverted."""
    crc = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{crc:032b}"[::-1], 2)


def ogg_links(file: BinaryIO, size: int) -> tuple[list[Link], int]:
    """Walk the pages of an Ogg file.

    Args:
        file: open for reading.
        size: of the file, in bytes.

    Returns:
        The joined streams in their order, and how many bytes the last page lacks.
    """
    links: list[Link] = []
    at, serial, numbers, beginning = 0, None, {}, False
    while at < size:
        file.seek(at)
        head = file.read(27 + 255)
        if len(head) < 27 and head[:4] == b"OggS"[: len(head[:4])]:
            return links, 27 - len(head)
        if not head.startswith(b"OggS"):
            found = find_bytes(file, b"OggS", at + 1, size)
            if found is None:
                break
            if links:
                links[-1].lost += 1
            at = found
            continue
        flags, granule, stream, number, crc, count = struct.unpack("<BqIIIB", head[5:27])
        length = 27 + count + sum(head[27 : 27 + count])
        if len(head) < 27 + count or at + length > size:
            return links, max(1, at + length - size)
        file.seek(at)
        page = file.read(length)
        if flags & 2 and not beginning:
            links.append(Link(at))
            serial, numbers = None, {}
        beginning = bool(flags & 2)
        if not links:
            links.append(Link(at))
        link = links[-1]
        content = page[27 + count :]
        codec = next((name for magic, name in _OGG_CODECS.items() if content.startswith(magic)), "")
        if flags & 2 and codec and serial is None:
            serial, link.codec = stream, codec
            link.skip = struct.unpack_from("<H", content, 10)[0] if codec == "opus" and len(content) >= 12 else 0
        if stream == serial:
            link.lost += _checksum(page[:22] + bytes(4) + page[26:]) != crc or numbers.get(stream, number) != number
            numbers[stream] = number + 1
            link.samples = max(link.samples, granule - link.skip)
            link.finished |= bool(flags & 4)
        at += length
        link.end = at
    return links, 0


def missing_bytes(file: BinaryIO, size: int) -> int:
    """Count the bytes that the structure of a compressed file promises behind its end.

    Args:
        file: open for reading; MP4 and its kin, Matroska, WebM, FLV, AVI or ASF.
        size: of the file, in bytes.

    Returns:
        0 where nothing is missing, or where the file cannot tell.
    """
    if is_streamed(file):
        return 0
    file.seek(0)
    head = file.read(64)
    if head.startswith(b"\x1aE\xdf\xa3") and (b"matroska" in head or b"webm" in head):
        ends = _ebml(file, size)
    elif head[4:8] in ISO_BOXES:
        ends = (end for _, end in _boxes(file, size))
    elif head.startswith(b"FLV"):
        ends = _flv_tags(file, size, int.from_bytes(head[5:9], "big") + 4)
    elif head.startswith(b"RIFF"):
        ends = _chunks(file, size, Layout(0, "<4sI", 2, False, b""))
    elif head.startswith(ASF):
        ends = _chunks(file, size, Layout(0, "<16sQ", 1, True, b""))
    else:
        return 0
    return max(0, max(ends, default=0) - size)


def is_streamed(file: BinaryIO) -> bool:
    """Whether an AVI or ASF file says that its program could not return to the header: sizes there mean nothing.

    Args:
        file: open for reading.
    """
    file.seek(0)
    head = file.read(4096)
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return _is_unknown(int.from_bytes(head[4:8], "little"), False)
    properties = head.find(ASF_PROPERTIES) if head.startswith(ASF) else -1
    return properties >= 0 and bool(int.from_bytes(head[properties + 88 : properties + 92], "little") & 1)  # broadcast


ASF_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp")
ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")


def _chunks(file: BinaryIO, size: int, layout: Layout) -> Iterator[int]:
    at = layout.first
    while at < size and (found := _chunk(file, layout, at)):
        name, start, length = found
        if length <= 0 or (len(name) == 4 and (name != b"RIFF" or _is_unknown(length, False))):
            return
        at = start + length + length % layout.pad
        yield start + length


def has_index(file: BinaryIO, size: int) -> bool:
    """Whether an MP4 or MOV file holds the box without which nothing of it can be decoded."""
    return any(name == b"moov" for name, _ in _boxes(file, size))


def find_joined(file: BinaryIO, size: int) -> int | None:
    """Find the file that was joined to a FLAC, MP4 or FLV file byte by byte.

    Args:
        file: open for reading.
        size: of the file, in bytes.

    Returns:
        Where it begins, in bytes; None where none does.
    """
    file.seek(0)
    head = file.read(16)
    if head.startswith(b"FLV"):
        last = max(_flv_tags(file, size, int.from_bytes(head[5:9], "big") + 4), default=size)
        file.seek(last)
        return last if file.read(3) == b"FLV" else None
    if head[4:8] in ISO_BOXES:
        begin = 0
        for name, end in _boxes(file, size):
            if name == b"ftyp" and begin:
                return begin
            begin = end
    return None


def find_bytes(file: BinaryIO, wanted: bytes, at: int, size: int) -> int | None:
    """Find bytes in a file from an offset on; None where they are not."""
    while at < size:
        file.seek(at)
        block = file.read(1 << 20)
        found = block.find(wanted)
        if found >= 0:
            return at + found
        if len(block) < len(wanted):
            return None
        at += len(block) - len(wanted) + 1
    return None


def _boxes(file: BinaryIO, size: int) -> Iterator[tuple[bytes, int]]:
    """Names and ends of a file's outer boxes."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        length, name = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        if length < 8 or not _is_name(name):
            return  # to the end of the file, or no box
        at += length
        yield name, at


def _flv_tags(file: BinaryIO, size: int, at: int) -> Iterator[int]:
    while at < size:
        file.seek(at)
        head = file.read(4)
        if head[0] & 0x1F not in (8, 9, 18):
            return
        at += 11 + int.from_bytes(head[1:], "big") + 4
        yield at


def _vint(data: bytes, keep_marker: bool) -> tuple[int, int] | None:
    """A number of variable width and its width; -1 for a size that is unknown; None where it is cut off or none."""
    if not data or not data[0]:
        return None
    width = 9 - data[0].bit_length()
    if len(data) < width:
        return None
    value = int.from_bytes(data[:width], "big")
    if keep_marker:
        return value, width
    value &= (1 << 7 * width) - 1
    return (-1 if value == (1 << 7 * width) - 1 else value), width


def _ebml(file: BinaryIO, size: int) -> Iterator[int]:
    """Ends of the elements of a Matroska file; the segment, and clusters of unknown size, are entered."""
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16)
        name = _vint(head, True)
        length = name and _vint(head[name[1] :], False)
        if not name or not length:
            if at + 2 > size or (head[0] and len(head) < 12):
                yield size + 1  # cut inside the head of an element
            return
        start = at + name[1] + length[1]
        if name[0] == 0x18538067:
            if length[0] >= 0:
                yield start + length[0]
            at = start
        elif length[0] < 0:
            at = start
        else:
            at = start + length[0]
            yield at
