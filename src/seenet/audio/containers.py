"""Structure of compressed containers: bytes missing at the end, index, and appended files.

Nothing is decoded. Sources: Matroska (RFC 9559), ISO base media (ISO/IEC 14496-12), FLV, AVI and ASF.
"""

import struct
from collections.abc import Iterator

from seenet.audio.byte_access import ReadableFile
from seenet.audio.chunks import (
    ASF_LAYOUT,
    AVI_LAYOUT,
    is_chunk_name,
    is_placeholder_size,
    iterate_chunk_ends,
)

ISO_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp")
"""Names of boxes at the beginning of MP4 and MOV files."""

ASF_MAGIC = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
EBML_MAGIC = b"\x1aE\xdf\xa3"
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_ASF_BROADCAST_FLAG = 1
_FLV_TAG_TYPES = (8, 9, 18)
_MATROSKA_SEGMENT = 0x18538067


def count_missing_bytes(file: ReadableFile, size: int) -> int:
    """Return the number of bytes that the structure of a compressed file requires after its end.

    Args:
        file: a file open for reading; MP4 and related formats, Matroska, WebM, FLV, AVI or ASF.
        size: the size of the file, in bytes.

    Returns:
        0 if no byte is missing, or if the format does not state sizes.
    """
    if is_streamed(file):
        return 0
    file.seek(0)
    head = file.read(64)
    if head.startswith(EBML_MAGIC) and (b"matroska" in head or b"webm" in head):
        ends = _iterate_matroska_ends(file, size)
    elif head[4:8] in ISO_BOXES:
        ends = (end for _, end in _iterate_boxes(file, size))
    elif head.startswith(b"FLV"):
        ends = _iterate_flv_tag_ends(file, size, head)
    elif head.startswith(b"RIFF"):
        ends = iterate_chunk_ends(file, size, AVI_LAYOUT)
    elif head.startswith(ASF_MAGIC):
        ends = iterate_chunk_ends(file, size, ASF_LAYOUT)
    else:
        return 0
    return max(0, max(ends, default=0) - size)


def is_streamed(file: ReadableFile) -> bool:
    """Return whether an AVI or ASF file is a live stream, with placeholder sizes in the header.

    Args:
        file: a file open for reading.
    """
    file.seek(0)
    head = file.read(4096)
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return is_placeholder_size(int.from_bytes(head[4:8], "little"), False)
    properties = head.find(_ASF_FILE_PROPERTIES) if head.startswith(ASF_MAGIC) else -1
    flags = int.from_bytes(head[properties + 88 : properties + 92], "little")
    return properties >= 0 and bool(flags & _ASF_BROADCAST_FLAG)


def has_index(file: ReadableFile, size: int) -> bool:
    """Return whether an MP4 or MOV file contains the index (moov) that decoding requires."""
    return any(name == b"moov" for name, _ in _iterate_boxes(file, size))


def find_appended_file(file: ReadableFile, size: int) -> int | None:
    """Find a second file that was appended to an MP4 or FLV file.

    Args:
        file: a file open for reading.
        size: the size of the file, in bytes.

    Returns:
        The offset of the second file in bytes, or None without one.
    """
    file.seek(0)
    head = file.read(16)
    if head.startswith(b"FLV"):
        last_end = max(_iterate_flv_tag_ends(file, size, head), default=size)
        file.seek(last_end)
        return last_end if file.read(3) == b"FLV" else None
    if head[4:8] in ISO_BOXES:
        start = 0
        for name, end in _iterate_boxes(file, size):
            if name == b"ftyp" and start:
                return start
            start = end
    return None


def _iterate_boxes(file: ReadableFile, size: int) -> Iterator[tuple[bytes, int]]:
    """Yield the name and the end offset of each top-level box of an MP4 or MOV file."""
    offset = 0
    while offset + 8 <= size:
        file.seek(offset)
        head = file.read(16)
        length, name = struct.unpack(">I4s", head[:8])
        if length == 1 and len(head) == 16:
            length = struct.unpack(">Q", head[8:])[0]
        if length < 8 or not is_chunk_name(name):
            return  # a box that extends to the end of the file, or no box
        offset += length
        yield name, offset


def _iterate_flv_tag_ends(file: ReadableFile, size: int, head: bytes) -> Iterator[int]:
    """Yield the end offset of each tag of an FLV file."""
    offset = int.from_bytes(head[5:9], "big") + 4
    while offset < size:
        file.seek(offset)
        tag = file.read(4)
        if tag[0] & 0x1F not in _FLV_TAG_TYPES:
            return
        offset += 11 + int.from_bytes(tag[1:], "big") + 4
        yield offset


def _parse_variable_int(data: bytes, keep_marker: bool) -> tuple[int, int] | None:
    """Return an EBML integer and its width in bytes, or None for invalid or incomplete data.

    The value -1 stands for an unknown size.
    """
    if not data or not data[0]:
        return None
    width = 9 - data[0].bit_length()
    if len(data) < width:
        return None
    value = int.from_bytes(data[:width], "big")
    if keep_marker:
        return value, width
    largest = (1 << 7 * width) - 1
    value &= largest
    return (-1 if value == largest else value), width


def _iterate_matroska_ends(file: ReadableFile, size: int) -> Iterator[int]:
    """Yield the end offsets of Matroska elements, including those of open-ended clusters."""
    offset = 0
    while offset < size:
        file.seek(offset)
        head = file.read(16)
        name = _parse_variable_int(head, True)
        length = name and _parse_variable_int(head[name[1] :], False)
        if not name or not length:
            if offset + 2 > size or (head[0] and len(head) < 12):
                yield size + 1  # the file ends inside the header of an element
            return
        start = offset + name[1] + length[1]
        if name[0] == _MATROSKA_SEGMENT:
            if length[0] >= 0:
                yield start + length[0]
            offset = start
        elif length[0] < 0:
            offset = start
        else:
            offset = start + length[0]
            yield offset
