"""Chunk structure of RIFF, RF64, Wave64, AIFF, CAF, AVI and ASF files.

Sources: the published layouts of RIFF, RF64 (EBU Tech 3306), Wave64, AIFF, CAF and ASF.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from seenet.audio.byte_access import ReadableFile
from seenet.audio.defects import TOLERATED_BYTES


@dataclass(frozen=True)
class ChunkLayout:
    """Layout of the chunks in a family of file formats.

    Attributes:
        first: the offset of the first chunk, in bytes.
        header: the format of the name and size of a chunk, for `struct`.
        alignment: chunks begin at multiples of this number of bytes.
        counts_header: whether the size of a chunk includes its header.
        samples_name: the name of the chunk that contains the samples.
    """

    first: int
    header: str
    alignment: int
    counts_header: bool
    samples_name: bytes

    @property
    def header_bytes(self) -> int:
        """Return the size of a chunk header, in bytes."""
        return struct.calcsize(self.header)


_WAVE64_GUID_SUFFIX = bytes.fromhex("f3acd3118cd100c04f8edb8a")
_RIFF = ChunkLayout(12, "<4sI", 2, False, b"data")
LAYOUTS = {
    **dict.fromkeys((b"RIFF", b"RF64", b"BW64"), _RIFF),
    b"RIFX": ChunkLayout(12, ">4sI", 2, False, b"data"),
    b"riff": ChunkLayout(40, "<16sQ", 8, True, b"data" + _WAVE64_GUID_SUFFIX),
    b"FORM": ChunkLayout(12, ">4sI", 2, False, b"SSND"),
    b"caff": ChunkLayout(8, ">4sq", 1, False, b"data"),
}
"""Layouts by the first four bytes of a file."""

AVI_LAYOUT = ChunkLayout(0, "<4sI", 2, False, b"")
ASF_LAYOUT = ChunkLayout(0, "<16sQ", 1, True, b"")


def is_placeholder_size(size: int, is_64_bit: bool) -> bool:
    """Return whether a size is a placeholder, as programs write it into the header of a stream."""
    if is_64_bit:
        return size <= 0 or size >= 1 << 62
    return size == 0 or 0x7F000000 <= size <= 0x80100000 or size >= 0xFFF00000


def is_chunk_name(name: bytes) -> bool:
    """Return whether four bytes can be a chunk name and do not begin another file."""
    file_starts = (b"RIFF", b"OggS", b"FORM", b"fLaC")
    return bool(re.fullmatch(rb"[A-Za-z0-9 _\-\x7f\xa9.]{4}", name)) and name not in file_starts


def read_chunk_header(file: ReadableFile, layout: ChunkLayout, offset: int) -> tuple[bytes, int, int] | None:
    """Return name, content offset and content size of a chunk, or None at the end of the file."""
    file.seek(offset)
    width = layout.header_bytes
    header = file.read(width)
    if len(header) < width:
        return None
    name, size = struct.unpack(layout.header, header)
    return name, offset + width, size - width * layout.counts_header


def count_bytes_outside_chunks(file: ReadableFile, layout: ChunkLayout, offset: int, size: int) -> int:
    """Return how many bytes at the end of a file belong to no chunk.

    Args:
        file: a file open for reading.
        layout: the layout of its chunks.
        offset: where the check starts, in bytes.
        size: the size of the file, in bytes.
    """
    while offset < size - 8:
        chunk = read_chunk_header(file, layout, offset)
        if chunk is None or not is_chunk_name(chunk[0][:4]) or chunk[1] + chunk[2] > size + TOLERATED_BYTES:
            return size - offset
        offset = chunk[1] + chunk[2] + chunk[2] % layout.alignment
    return 0


def iterate_chunk_ends(file: ReadableFile, size: int, layout: ChunkLayout) -> Iterator[int]:
    """Yield the end offsets of AVI or ASF chunks, up to the first without a known size."""
    offset = layout.first
    while offset < size and (chunk := read_chunk_header(file, layout, offset)):
        name, start, length = chunk
        if length <= 0 or (len(name) == 4 and (name != b"RIFF" or is_placeholder_size(length, False))):
            return
        offset = start + length + length % layout.alignment
        yield start + length
