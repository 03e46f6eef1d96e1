"""Location and size of the samples in uncompressed files, by their headers.

Formats: WAV, RF64, Wave64, AIFF, CAF, NeXT/Sun AU and NIST SPHERE. No samples are decoded.
Sources: the published layouts of these formats.
"""

import re
import struct
from dataclasses import dataclass, field

from seenet.audio.byte_access import ReadableFile
from seenet.audio.chunks import (
    LAYOUTS,
    ChunkLayout,
    count_bytes_outside_chunks,
    is_chunk_name,
    is_placeholder_size,
    read_chunk_header,
)

MIN_TRAILING_SHARE = 0.1
"""Share of the stated sample bytes from which trailing bytes outside chunks count as samples of a WAV file.

Such files come from recorders that did not update the header.
"""

MAX_KEPT_CHUNK_BYTES = 1024
_UNPADDED = b"\0odd"  # marks a file with a chunk of odd size and no padding byte


@dataclass
class SampleRegion:
    """The samples of an uncompressed file, as its header and size determine them.

    Attributes:
        start: the offset of the samples, in bytes.
        size: the number of sample bytes present.
        missing: the number of bytes that the header states and that are absent.
        extra: the number of sample bytes beyond the size in the header.
        trailing: the number of trailing bytes that belong to no chunk and are not samples.
        needs_new_header: whether the sizes in the header are wrong or unknown and `size` is correct.
        chunks: the small chunks before the samples, by name.
    """

    start: int
    size: int
    missing: int = 0
    extra: int = 0
    trailing: int = 0
    needs_new_header: bool = False
    chunks: dict[bytes, bytes] = field(default_factory=dict)


def find_samples(file: ReadableFile, size: int) -> SampleRegion | None:
    """Find the samples of a WAV, RF64, Wave64, AIFF, CAF, AU or NIST SPHERE file.

    Args:
        file: a file open for reading.
        size: the size of the file, in bytes.

    Returns:
        None if the file has another format or contains no samples.
    """
    file.seek(0)
    head = file.read(1024)
    if head.startswith(b".snd") and len(head) >= 24:
        start, stated = struct.unpack(">II", head[4:12])
        return _region_of_stated_size(start, max(0, size - start), stated, stated == 0xFFFFFFFF)
    if head.startswith(b"NIST_1A"):
        return _find_sphere_samples(head, size)
    layout = LAYOUTS.get(head[:4])
    kinds = (b"WAVE", b"AIFF", b"AIFC", b"8SVX", b"16SV")
    if layout is None or (head[:4] in (b"RIFF", b"FORM") and head[8:12] not in kinds):
        return None
    return _find_sample_chunk(file, size, layout, head[:4] == b"FORM")


def _find_sample_chunk(file: ReadableFile, size: int, layout: ChunkLayout, is_iff: bool) -> SampleRegion | None:
    chunks: dict[bytes, bytes] = {}
    offset = layout.first
    while offset < size and (chunk := read_chunk_header(file, layout, offset)):
        name, start, length = chunk
        if name == layout.samples_name or (name == b"BODY" and is_iff):
            region = SampleRegion(start, max(0, size - start), chunks=chunks)
            return _compare_with_stated_size(file, size, layout, region, length)
        if length < 0:
            return None
        if length <= MAX_KEPT_CHUNK_BYTES:
            file.seek(start)
            chunks[name[:4]] = file.read(length)
        padding = length % 2 if layout.alignment == 2 else -(start + length) % layout.alignment
        offset = start + length + padding
        if layout.alignment == 2 and length % 2:  # some programs omit the padding byte
            file.seek(offset - 1)
            unpadded = file.read(5)
            if is_chunk_name(unpadded[:4]) and not is_chunk_name(unpadded[1:]):
                offset -= 1
                chunks[_UNPADDED] = b""
    return None


def _region_of_stated_size(start: int, present: int, stated: int, is_unknown: bool) -> SampleRegion:
    size = present if is_unknown else min(present, stated)
    return SampleRegion(start, size, missing=0 if is_unknown else max(0, stated - present))


def _find_sphere_samples(head: bytes, size: int) -> SampleRegion | None:
    fields = dict(re.findall(rb"(sample_count|sample_n_bytes|channel_count) -i (\d+)", head))
    header_size = re.match(rb"NIST_1A\n\s*(\d+)\n", head)
    if header_size is None or len(fields) < 3 or b"shorten" in head:
        return None
    stated = 1
    for value in fields.values():
        stated *= int(value)
    start = int(header_size[1])
    return _region_of_stated_size(start, max(0, size - start), stated, False)


def _compare_with_stated_size(
    file: ReadableFile, size: int, layout: ChunkLayout, region: SampleRegion, stated: int
) -> SampleRegion:
    """Complete the region of a chunked file from the size that its sample chunk states."""
    present, start = region.size, region.start
    is_64_bit = layout.header_bytes > 8
    if stated == 0xFFFFFFFF and len(region.chunks.get(b"ds64", b"")) >= 16:
        stated, is_64_bit = struct.unpack_from("<Q", region.chunks[b"ds64"], 8)[0], True
    region.needs_new_header = _UNPADDED in region.chunks
    if stated > present or stated <= 0:
        if is_placeholder_size(stated, is_64_bit):
            if stated == 0 and count_bytes_outside_chunks(file, layout, start, size) < present:
                region.size = 0  # chunks follow, therefore the file has no samples
            else:
                region.needs_new_header = present > 0
            return region
        region.missing = stated - present
        region.needs_new_header = True
    elif not is_64_bit and stated < present and (present - stated) % (1 << 32) == 0:
        region.needs_new_header = True  # more than 4 GiB: the 32-bit size overflowed
    else:
        _compare_with_trailing_bytes(file, size, layout, region, stated)
    return region


def _compare_with_trailing_bytes(
    file: ReadableFile, size: int, layout: ChunkLayout, region: SampleRegion, stated: int
) -> None:
    """Decide whether the bytes after the stated samples are samples too."""
    present, start = region.size, region.start
    region.size = stated
    trailing = count_bytes_outside_chunks(file, layout, start + stated + stated % layout.alignment, size)
    file.seek(start + stated)
    is_appended_file = file.read(5)[stated % layout.alignment :].startswith(tuple(LAYOUTS))
    if trailing > MIN_TRAILING_SHARE * stated and b"fmt " in region.chunks and not is_appended_file:
        region.size, region.extra, region.needs_new_header = present, trailing, True
    else:
        region.trailing = trailing


def make_wav_header(region: SampleRegion) -> bytes | None:
    """Create a WAV or RF64 header with the correct size, or return None without a format chunk."""
    format_chunk = region.chunks.get(b"fmt ")
    if format_chunk is None:
        return None
    format_chunk += b"\0" * (len(format_chunk) % 2)
    is_rf64 = region.size > 0xFFFFFF00
    body = b"WAVE"
    if is_rf64:
        riff_size = region.size + 36 + len(format_chunk) + 36
        body += struct.pack("<4sIQQQI", b"ds64", 28, riff_size, region.size, 0, 0)
    body += struct.pack("<4sI", b"fmt ", len(format_chunk)) + format_chunk
    body += struct.pack("<4sI", b"data", 0xFFFFFFFF if is_rf64 else region.size)
    total = 0xFFFFFFFF if is_rf64 else len(body) + region.size
    return struct.pack("<4sI", b"RF64" if is_rf64 else b"RIFF", total) + body
