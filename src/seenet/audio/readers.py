"""Interface of audio readers, and the reader for concatenated files."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from seenet.audio.defects import Remark, UnreadableAudioError


class AudioReader(Protocol):
    """A file that was examined and can be decoded.

    Attributes:
        rate: the sampling rate, in Hz.
        frames: the number of samples per channel.
        is_exact: whether `frames` is exact; otherwise it comes from the times of packets.
        remarks: defects that do not make the file unusable.
    """

    rate: int
    frames: int
    is_exact: bool
    remarks: list[Remark]

    def read(self, first: int, count: int) -> NDArray[np.float32]:
        """Decode an excerpt.

        Args:
            first: the first sample of the excerpt.
            count: the maximum number of samples per channel.

        Returns:
            Shape (samples, channels); fewer samples at the end of the file.
        """
        ...


class ConcatenatedReader:
    """Reader of files that were appended to each other byte by byte.

    Args:
        parts: the readers of the files, in order.

    Raises:
        UnreadableAudioError: the parts have different sampling rates.
    """

    is_exact = False

    def __init__(self, parts: Sequence[AudioReader]):
        self.parts, self.rate = parts, require_one_rate(part.rate for part in parts)
        self.frames = sum(part.frames for part in parts)
        self.remarks = [remark for part in parts for remark in part.remarks]

    def read(self, first: int, count: int) -> NDArray[np.float32]:
        """Decode an excerpt; see `AudioReader.read`."""
        pieces, offset = [], 0
        for part in self.parts:
            low, high = max(first, offset), min(first + count, offset + part.frames)
            if low < high:
                pieces.append(part.read(low - offset, high - low))
            offset += part.frames
        return concatenate_pieces(pieces)


def require_one_rate(rates: Iterable[int]) -> int:
    """Return the sampling rate that all parts share.

    Raises:
        UnreadableAudioError: the parts have different rates.
    """
    different = sorted(set(rates))
    if len(different) > 1:
        stated = " and ".join(map(str, different))
        raise UnreadableAudioError(f"concatenated from parts at {stated} Hz: convert it to WAV")
    return different[0]


def concatenate_pieces(pieces: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Concatenate pieces, as mono if their channel counts differ. Shape (samples, channels)."""
    if len({piece.shape[1] for piece in pieces}) > 1:
        pieces = [piece.mean(axis=1, keepdims=True) for piece in pieces]
    return np.concatenate(pieces) if pieces else np.zeros((0, 1), np.float32)
