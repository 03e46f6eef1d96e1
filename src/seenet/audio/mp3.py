"""Decoding of MPEG audio (MP3, MP2, MP1) frame by frame.

All frames are located before decoding; length headers, tags and bytes between frames do not count as audio. Therefore
concatenated files, variable bit rates without a length header, and excerpts are exact.
"""

from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from seenet.audio.defects import Remark, UnreadableAudioError
from seenet.audio.mpeg_frames import Segment, parse_frame_header, read_segments
from seenet.audio.readers import concatenate_pieces, require_one_rate

DECODERS = {1: "mp1float", 2: "mp2float", 3: "mp3float"}
"""FFmpeg's decoders by layer."""

PREROLL_FRAMES = 32
"""Number of frames to decode before an excerpt; a frame may use bits of earlier frames."""

TOLERATED_MISSING_FRAMES = 2
TOLERATED_BAD_FRAMES = 1


class MpegReader:
    """Reader of MPEG audio in a file or in a part of one.

    Args:
        path: the file.
        start: the offset of the part, in bytes.
        end: the end of the part, in bytes.

    Attributes:
        rate: the sampling rate, in Hz.
        frames: the number of samples per channel.
        is_exact: True, the length is known.
        remarks: defects that do not make the file unusable.

    Raises:
        UnreadableAudioError: the file is truncated, or its parts have different sampling rates.
    """

    is_exact = True

    def __init__(self, path: Path, start: int, end: int):
        self.path, self.remarks = path, list[Remark]()
        with path.open("rb") as file:
            self.segments, lacking = read_segments(file, start, end)
        if not self.segments:
            raise UnreadableAudioError("empty: no samples")
        self.rate = require_one_rate(segment.header.rate for segment in self.segments)
        self.frames = sum(segment.samples for segment in self.segments)
        self._check_completeness(lacking)

    def _check_completeness(self, lacking: int) -> None:
        """Compare the frames present with the length headers.

        Args:
            lacking: the number of bytes that the last frame lacks.
        """
        for segment in self.segments:
            present, stated = len(segment.offsets), segment.stated_frames
            missing = stated - present
            if missing > TOLERATED_MISSING_FRAMES:
                raise UnreadableAudioError(f"truncated: {stated} frames expected, {present} present")
            if missing > 0:
                self.remarks.append(("length", f"the header states {missing} frame(s) more than the file contains"))
        last = self.segments[-1]
        if lacking and not last.stated_frames:
            raise UnreadableAudioError(f"truncated: the last frame lacks {lacking} bytes")
        if lacking and len(last.offsets) < last.stated_frames:
            self.remarks.append(("length", f"the last frame lacks {lacking} bytes"))

    def read(self, first: int, count: int) -> NDArray[np.float32]:
        """Decode an excerpt; see `AudioReader.read`.

        Raises:
            UnreadableAudioError: some frames cannot be decoded.
        """
        pieces: list[NDArray[np.float32]] = []
        offset = 0
        for segment in self.segments:
            low, high = max(first, offset), min(first + count, offset + segment.samples)
            if low < high:
                pieces.append(self._decode(segment, low - offset, high - offset))
            offset += segment.samples
        return concatenate_pieces(pieces)

    def _decode(self, segment: Segment, low: int, high: int) -> NDArray[np.float32]:
        """Decode samples of one segment, counted without those that the encoder added."""
        size, channels = segment.header.samples, segment.header.channels
        low, high = low + segment.lead, high + segment.lead
        begin, end = low // size, min(-(-high // size), len(segment.offsets))
        decoder = av.CodecContext.create(DECODERS[segment.header.layer], "r")
        failed, pieces = 0, []
        with self.path.open("rb") as file:
            for number in range(max(0, begin - PREROLL_FRAMES), end):
                file.seek(segment.offsets[number])
                head = file.read(4)
                header = parse_frame_header(head)
                assert header is not None
                try:
                    packet = av.Packet(head + file.read(header.length - 4))
                    decoded = decoder.decode(packet)  # type: ignore[attr-defined]  # PyAV's types know encoders only
                except av.FFmpegError:
                    decoded = []
                if number < begin:
                    continue
                wave = decoded[0].to_ndarray().T if decoded else np.zeros((size, channels), np.float32)
                failed += not decoded
                if wave.shape[1] != channels:
                    wave = np.repeat(wave.mean(axis=1, keepdims=True), channels, axis=1)
                pieces.append(wave)
        if failed > TOLERATED_BAD_FRAMES:
            raise UnreadableAudioError(f"damaged: {failed} of {len(pieces)} frames cannot be decoded")
        return np.concatenate(pieces)[low - begin * size : high - begin * size]
