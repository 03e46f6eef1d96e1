"""Random access to the bytes of a file: file windows, buffered reads and search."""

import io
import os
from pathlib import Path
from typing import Protocol

BUFFER_BYTES = 1 << 18
SEARCH_BLOCK_BYTES = 1 << 20


class ReadableFile(Protocol):
    """A binary file that is open for reading at any position."""

    def seek(self, offset: int, whence: int = ..., /) -> int:
        """Move the position; see `io.IOBase.seek`."""
        ...

    def read(self, size: int = ..., /) -> bytes:
        """Read at most `size` bytes, or by default all that follow."""
        ...


class FileWindow(io.RawIOBase):
    """A read-only file object for a part of a file, with an optional prefix.

    It has no name, from which decoders might guess the format.

    Args:
        path: the file.
        start: the offset of the part, in bytes.
        size: the length of the part, in bytes; None reads to the end of the file.
        prefix: bytes to insert before the part.
    """

    def __init__(self, path: Path, start: int = 0, size: int | None = None, prefix: bytes = b""):
        self._file = path.open("rb")
        self._start, self._prefix, self._position = start, prefix, 0
        self._size = len(prefix) + (os.fstat(self._file.fileno()).st_size - start if size is None else size)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position, in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position; see `io.IOBase.seek`."""
        self._position = max(0, offset + (0, self._position, self._size)[whence])
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Read at most as many bytes as the buffer holds, and return the number of bytes read."""
        wanted = min(len(buffer), max(0, self._size - self._position))
        data = self._prefix[self._position : self._position + wanted]
        if len(data) < wanted:
            self._file.seek(self._start + self._position + len(data) - len(self._prefix))
            data += self._file.read(wanted - len(data))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


class BufferedBytes:
    """Random access to a file through one large buffer.

    Args:
        file: a file open for reading.
        end: the offset at which the readable part ends, in bytes.
    """

    def __init__(self, file: ReadableFile, end: int):
        self.file, self.end = file, end
        self._buffer_start, self._buffer = 0, b""

    def get(self, offset: int, count: int) -> bytes:
        """Return at most `count` bytes from an offset."""
        count = min(count, self.end - offset)
        if count <= 0:
            return b""
        if not self._buffer_start <= offset <= offset + count <= self._buffer_start + len(self._buffer):
            self.file.seek(offset)
            self._buffer_start, self._buffer = offset, self.file.read(max(count, BUFFER_BYTES))
        return self._buffer[offset - self._buffer_start : offset - self._buffer_start + count]


def find_bytes(file: ReadableFile, pattern: bytes, offset: int, size: int) -> int | None:
    """Return the offset of the first occurrence of a byte string, or None.

    Args:
        file: a file open for reading.
        pattern: the bytes to find.
        offset: where the search starts, in bytes.
        size: the size of the file, in bytes.
    """
    while offset < size:
        file.seek(offset)
        block = file.read(SEARCH_BLOCK_BYTES)
        position = block.find(pattern)
        if position >= 0:
            return offset + position
        if len(block) < len(pattern):
            return None
        offset += len(block) - len(pattern) + 1
    return None
