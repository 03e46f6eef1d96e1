"""Decoding of audio tracks in containers through FFmpeg's libraries (PyAV)."""

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from seenet.audio.byte_access import FileWindow
from seenet.audio.containers import is_streamed
from seenet.audio.defects import Remark, UnreadableAudioError

DEMUXERS = (
    "aac,ac3,eac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,flac,flv,kux,loas,"
    "matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,mpc,mpc8,mpeg,mpegts,mxf,nut,ogg,"
    "nistsphere,oma,rm,shn,tak,truehd,tta,voc,w64,wav,wtv,wv,xwma"
)
"""FFmpeg's demuxers that may be used; playlists, which refer to other files, are excluded."""

SEEKABLE_CONTAINERS = ("mov", "matroska")
"""Containers in which times identify the position after a seek; others are decoded from the beginning."""

TIMESTAMPED_CONTAINERS = ("mov", "matroska", "flv")
"""Containers with a time for each packet; in others a jump between packets need not be a gap."""

LONGEST_STREAM_DURATION_CONTAINERS = ("matroska", "asf", "avi", "flv")
"""Containers with a duration of the longest stream in the header."""

SHORT_MEMORY_CODECS = ("aac", "ac3", "alac", "eac3", "flac", "mp3", "opus", "pcm")
"""Prefixes of codec names; the output of these decoders soon becomes independent of the start position."""

TOLERATED_SECONDS = 0.2
"""Duration by which a header may exceed the audio; programs round and count the last packet in full."""

MIN_GAP_SECONDS = 0.05
"""Duration from which a jump in time between two packets is a gap."""

MAX_GAP_SECONDS = 10.0
"""Duration up to which a gap is filled with silence; a longer jump is a change of the clock."""

PREROLL_SECONDS = 1.0
"""Duration that is decoded before the target of a seek."""


def _scale_samples(frame: av.AudioFrame) -> NDArray[np.float32]:
    """Return the samples of a frame, scaled to a full scale of 1. Shape (samples, channels)."""
    wave = frame.to_ndarray()
    wave = wave.T if frame.format.is_planar else wave.reshape(-1, frame.layout.nb_channels)
    if wave.dtype.kind == "f":
        return wave.astype(np.float32, copy=False)
    bits = 8 * wave.dtype.itemsize
    offset = 1 << (bits - 1) if wave.dtype.kind == "u" else 0
    return ((wave.astype(np.float64) - offset) / (1 << (bits - 1))).astype(np.float32)


def _demux(container: Any, *streams: Any) -> Iterator[Any]:
    """Yield the packets of some streams, or of all streams declared at the beginning."""
    while True:
        try:
            yield from container.demux(*streams)
            return
        except IndexError:  # a packet of a stream that starts later, which PyAV does not know
            continue


@dataclass
class _PacketTimes:
    """Times of the packets of a container, in seconds.

    Attributes:
        duration: the sum of packet durations of the audio track, including its gaps.
        span: the time between the first and the last packet of all examined streams.
        origin: the time of the first packet of the audio track; None without packets.
        gaps: the durations of the gaps between the packets of the audio track.
    """

    duration: float = 0.0
    span: float = 0.0
    origin: float | None = None
    gaps: list[float] = field(default_factory=list)


class TrackReader:
    """Reader of the first audio track of a container that can be decoded.

    Args:
        path: the file.
        start: the offset of the container in the file, in bytes.
        end: the end of the container, in bytes; None is the end of the file.
        max_frames: the maximum number of samples per channel, if the pages of the container state it; at 48 kHz for
            Opus.

    Attributes:
        rate: the sampling rate, in Hz.
        frames: the number of samples per channel, by the times of the container.
        stated_seconds: the duration in the header, or 0 without one.
        is_exact: False, times are rounded.
        remarks: defects that do not make the file unusable.

    Raises:
        UnreadableAudioError: no audio track, one that cannot be decoded, or one that is shorter than the header states.
    """

    is_exact = False

    def __init__(self, path: Path, start: int = 0, end: int | None = None, max_frames: int | None = None):
        self.path, self.start, self.size = path, start, None if end is None else end - start
        self.max_frames, self.remarks = max_frames, list[Remark]()
        self._examine_first_frames()
        self._examine_packets()

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        """Yield the container and its audio track; convert FFmpeg's errors."""
        options = {"format_whitelist": DEMUXERS}
        try:
            with (
                FileWindow(self.path, self.start, self.size) as file,
                av.open(file, container_options=options, metadata_errors="replace") as container,
            ):
                if not container.streams.audio:
                    raise UnreadableAudioError("a video without an audio track")
                track = next((track for track in container.streams.audio if track.codec_context), None)
                if track is None:
                    raise UnreadableAudioError("FFmpeg has no decoder for the audio track")
                yield container, track
        except (av.FFmpegError, ValueError) as error:
            raise UnreadableAudioError(f"cannot be decoded ({getattr(error, 'strerror', None) or error})") from error

    def _examine_first_frames(self) -> None:
        """Decode the first frames to find the rate, the start time and the frame length."""
        with self._open() as (container, track):
            self._format = container.format.name.split(",")[0]
            codec = track.codec_context.name
        first_frames = list(itertools.islice(self._decode(0.0), 3))
        if not first_frames:
            raise UnreadableAudioError("empty: no samples")
        wave, time, self.rate = first_frames[0]
        self._start_seconds, self._first_frame_size = time or 0.0, len(wave)
        # Frames of equal length define a grid, which corrects the rounding of times; 0 without such a grid.
        sizes = {len(wave) for wave, _, _ in first_frames[1:]} if codec.startswith(SHORT_MEMORY_CODECS) else set()
        self._frame_size = sizes.pop() if len(sizes) == 1 else 0
        # MP4 represents a gap as a packet with a duration longer than a frame.
        has_long_packets = self._format == "mov" and self._frame_size and not codec.startswith("pcm")
        self._packet_seconds = self._frame_size / self.rate if has_long_packets else math.inf

    def _examine_packets(self) -> None:
        """Compare the duration in the header with the times of all packets."""
        with self._open() as (container, track):
            times = self._measure_packets(container, track)
            self.stated_seconds = 0.0 if self._is_streamed() else self._read_stated_seconds(container, track)
        present = max(times.duration, times.span)
        if self.stated_seconds > present + TOLERATED_SECONDS:
            raise UnreadableAudioError(f"truncated: {self.stated_seconds:.2f} s expected, {present:.2f} s present")
        if times.gaps:
            text = f"{len(times.gaps)} gap(s) of {sum(times.gaps):.2f} s in total between packets, filled with silence"
            self.remarks.append(("gap", text))
        skipped = max(0.0, self._start_seconds - (times.origin or 0.0))
        self.frames = round((times.duration - skipped) * self.rate)
        if self.max_frames is not None:
            is_close = abs(self.frames - self.max_frames) < TOLERATED_SECONDS * self.rate
            self.frames = self.max_frames if is_close else min(self.frames, self.max_frames)

    def _measure_packets(self, container: Any, track: Any) -> _PacketTimes:
        times = _PacketTimes()
        earliest = latest = 0.0
        previous_end = math.nan
        needs_all_streams = self._format in LONGEST_STREAM_DURATION_CONTAINERS
        for packet in _demux(container, *(() if needs_all_streams else (track,))):
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is None or packet.time_base is None:
                continue
            time, length = float(stamp * packet.time_base), float((packet.duration or 0) * packet.time_base)
            earliest, latest = min(earliest, time), max(latest, time + length)
            if packet.stream.index != track.index:
                continue
            if times.origin is None:
                times.origin = time
            jump = time - previous_end if self._format in TIMESTAMPED_CONTAINERS else 0.0
            gap = jump if jump > MIN_GAP_SECONDS else length - self._packet_seconds
            if MIN_GAP_SECONDS < gap < MAX_GAP_SECONDS:
                times.gaps.append(gap)
            times.duration += length + (jump if MIN_GAP_SECONDS < jump < MAX_GAP_SECONDS else 0.0)
            previous_end = time + length if length else math.nan
        times.span = latest - earliest
        return times

    def _is_streamed(self) -> bool:
        with FileWindow(self.path, self.start, self.size) as file:
            return is_streamed(file)

    def _read_stated_seconds(self, container: Any, track: Any) -> float:
        """Return the duration in the header, in seconds, or 0 without one."""
        if self._format in ("mov", "avi"):
            return float((track.duration or 0) * track.time_base)
        if self._format in ("matroska", "asf", "flv"):
            return (container.duration or 0) / av.time_base
        return 0.0

    def _decode(self, start: float) -> Iterator[tuple[NDArray[np.float32], float | None, int]]:
        """Yield samples, time (s) and rate (Hz) of each frame, from `start` or shortly before."""
        with self._open() as (container, track):
            if start > 0:
                container.seek(round(start / track.time_base), stream=track)
            failed, has_decoded = 0, False
            for packet in _demux(container, track):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:
                    failed += has_decoded  # packets before the first key frame cannot be decoded
                    continue
                for frame in frames:
                    if failed:  # only an incomplete packet at the end is not followed by others
                        raise UnreadableAudioError(f"damaged: {failed} packet(s) cannot be decoded")
                    has_decoded = True
                    yield _scale_samples(frame), frame.time, frame.sample_rate

    def read(self, first: int, count: int) -> NDArray[np.float32]:
        """Decode an excerpt; see `AudioReader.read`.

        Raises:
            UnreadableAudioError: a packet cannot be decoded, or the sampling rate changes.
        """
        preroll_start = first / self.rate - PREROLL_SECONDS
        is_seeking = self._format in SEEKABLE_CONTAINERS and self._frame_size > 0 and preroll_start > PREROLL_SECONDS
        pieces: list[NDArray[np.float32]] = []
        kept, position, previous_end = 0, None, math.nan
        for wave, time, rate in self._decode(self._start_seconds + preroll_start if is_seeking else 0.0):
            if rate != self.rate:
                raise UnreadableAudioError(
                    f"the sampling rate changes from {self.rate} to {rate} Hz: convert it to WAV"
                )
            if position is None:
                position = self._locate_frame(time, len(wave)) if is_seeking else 0
            elif self._format in TIMESTAMPED_CONTAINERS and time is not None:
                gap = time - previous_end
                if MIN_GAP_SECONDS < gap < MAX_GAP_SECONDS:
                    wave = np.concatenate([np.zeros((round(gap * rate), wave.shape[1]), np.float32), wave])
                    time -= gap
            previous_end = math.nan if time is None else time + len(wave) / rate
            if pieces and wave.shape[1] != pieces[0].shape[1]:
                wave = np.repeat(wave.mean(axis=1, keepdims=True), pieces[0].shape[1], axis=1)
            piece = wave[max(0, first - position) : max(0, first + count - position)]
            position += len(wave)
            if len(piece):
                pieces.append(piece)
                kept += len(piece)
            if kept >= count:
                break
        if not pieces:
            return np.zeros((0, 1), np.float32)
        limit = count if self.max_frames is None else max(0, min(count, self.max_frames - first))
        return np.concatenate(pieces)[:limit]

    def _locate_frame(self, time: float | None, length: int) -> int:
        """Return the first sample of a frame in the track; its end is rounded to the grid of frames."""
        if time is None:
            raise UnreadableAudioError("damaged: packets without a time")
        end = (time - self._start_seconds) * self.rate + length
        frames_after_first = round((end - self._first_frame_size) / self._frame_size)
        return self._first_frame_size + frames_after_first * self._frame_size - length
