"""Sound that libsndfile does not read, or whose length it guesses, through FFmpeg's libraries (PyAV)."""

import itertools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from seenet.audio.containers import Remark, UnreadableAudioError, Window, is_streamed

FORMATS = (
    *(
        "aac",
        "ac3",
        "eac3",
        "aiff",
        "amr",
        "ape",
        "asf",
        "au",
        "avi",
        "caf",
        "dsf",
        "dts",
        "flac",
        "flv",
        "kux",
        "loas",
    ),
    *(
        "matroska",
        "webm",
        "mov",
        "mp4",
        "m4a",
        "3gp",
        "3g2",
        "mj2",
        "mpc",
        "mpc8",
        "mpeg",
        "mpegts",
        "mxf",
        "nut",
        "ogg",
    ),
    *("nistsphere", "oma", "rm", "shn", "tak", "truehd", "tta", "voc", "w64", "wav", "wtv", "wv", "xwma"),
)
"""FFmpeg's readers that may be used: of containers of sound, and of nothing that names other files (playlists)."""

SEEKABLE = ("mov", "matroska")
"""Containers in which a sought place is known by its time; others are decoded from their beginning."""

CLOCKED = ("mov", "matroska", "flv")
"""Containers whose packets have times of their own; in others a jump between packets need not be a gap."""

FORGETFUL = ("aac", "ac3", "alac", "eac3", "flac", "mp3", "opus", "pcm")
"""Codecs, by the beginning of their names, whose decoders soon depend no more on where they began."""

TOLERANCE = 0.2
"""Seconds by which a header's duration may exceed the sound: writers round, and count the last packet whole."""

GAP = 0.05
"""Seconds from which a jump of the time between two packets is a gap."""

LONGEST_GAP = 10.0
"""Seconds up to which a gap is filled with silence; a longer jump is a change of the clock."""

LEAD = 1.0
"""Seconds that are decoded before a place that is sought."""


def _scaled(frame: Any) -> NDArray[np.float32]:
    """A frame's samples, full scale at 1. Shape (samples, channels)."""
    wave = frame.to_ndarray()
    wave = wave.T if frame.format.is_planar else wave.reshape(-1, frame.layout.nb_channels)
    if wave.dtype.kind == "f":
        return wave.astype(np.float32, copy=False)
    bits = 8 * wave.dtype.itemsize
    middle = 1 << (bits - 1) if wave.dtype.kind == "u" else 0
    return ((wave.astype(np.float64) - middle) / (1 << (bits - 1))).astype(np.float32)


def _packets(container: Any, *streams: Any) -> Iterator[Any]:
    """The packets of some streams, or of all that the beginning of a file tells."""
    while True:
        try:
            yield from container.demux(*streams)
            return
        except IndexError:  # a packet of a stream that began later, which PyAV does not know
            continue


class SoundTrack:
    """The first sound track of a container that can be decoded.

    Args:
        path: the file.
        start: where the container begins in it, in bytes.
        end: where it ends, in bytes; None is the file's end.
        most: samples that the track holds at most, where the container's pages tell; at 48 kHz for Opus.

    Attributes:
        rate: in Hz.
        frames: samples of each channel, by the container's times.
        claimed: seconds that the header promises; 0 where it promises none.
        exact: False, times are rounded.
        remarks: what is worth knowing of the file.

    Raises:
        UnreadableAudioError: no sound track, one that cannot be decoded, or one that is shorter than the header says.
    """

    exact = False

    def __init__(self, path: Path, start: int = 0, end: int | None = None, most: int | None = None):
        self.path, self.start, self.size = path, start, None if end is None else end - start
        self.most, self.remarks = most, list[Remark]()
        self._examine()

    @contextmanager
    def _opened(self) -> Iterator[tuple[Any, Any]]:
        """The container and its sound track; what FFmpeg says against it is the reason why the file is bad."""
        options = {"format_whitelist": ",".join(FORMATS)}
        try:
            with (
                Window(self.path, self.start, self.size) as file,
                av.open(file, container_options=options, metadata_errors="replace") as container,
            ):
                if not container.streams.audio:
                    raise UnreadableAudioError("a video without a sound track")
                track = next((track for track in container.streams.audio if track.codec_context), None)
                if track is None:
                    raise UnreadableAudioError("its sound is coded in a way that FFmpeg does not know")
                yield container, track
        except (av.FFmpegError, ValueError) as error:
            raise UnreadableAudioError(f"cannot be decoded ({getattr(error, 'strerror', None) or error})") from error

    def _begin(self) -> None:
        """Decode the first frames: the rate, when the track begins, and the length of its frames."""
        with self._opened() as (container, track):
            self.kind = container.format.name.split(",")[0]
            codec = track.codec_context.name
        first = list(itertools.islice(self._decoded(0.0), 3))
        if not first:
            raise UnreadableAudioError("empty: no samples")
        wave, time, self.rate = first[0]
        self.origin, self.opening = time or 0.0, len(wave)
        # Frames of one length stand on a grid, which undoes the rounding of times; 0 where they do not.
        sizes = {len(wave) for wave, _, _ in first[1:]} if codec.startswith(FORGETFUL) else set()
        self.step = sizes.pop() if len(sizes) == 1 else 0
        # MP4 tells a gap as a packet that lasts longer than a frame.
        longer = self.kind == "mov" and self.step and not codec.startswith("pcm")
        self.usual = self.step / self.rate if longer else math.inf

    def _examine(self) -> None:
        """Read the time of every packet, and compare the header with it."""
        self._begin()
        seconds, gaps = 0.0, []
        earliest = latest = 0.0
        before, origin = math.nan, None
        with self._opened() as (container, track):
            whole = self.kind in ("matroska", "asf", "avi", "flv")  # their durations are those of the longest stream
            for packet in _packets(container, *(() if whole else (track,))):
                stamp = packet.dts if packet.pts is None else packet.pts
                if stamp is None or packet.time_base is None:
                    continue
                time, length = float(stamp * packet.time_base), float((packet.duration or 0) * packet.time_base)
                earliest, latest = min(earliest, time), max(latest, time + length)
                if packet.stream.index != track.index:
                    continue
                if origin is None:
                    origin = time
                jump = time - before if self.kind in CLOCKED else 0.0
                gap = jump if jump > GAP else length - self.usual
                if GAP < gap < LONGEST_GAP:
                    gaps.append(gap)
                seconds += length + (jump if GAP < jump < LONGEST_GAP else 0.0)
                before = time + length if length else math.nan
            claimed = 0.0 if self._is_streamed() else self._claimed(container, track)
        present = max(seconds, latest - earliest)
        if claimed > present + TOLERANCE:
            raise UnreadableAudioError(f"truncated: {claimed:.2f} s promised, {present:.2f} s present")
        if gaps:
            text = f"{len(gaps)} gap(s) of {sum(gaps):.2f} s in all between its packets, filled with silence"
            self.remarks.append(("gap", text))
        self.claimed = claimed
        self.frames = round((seconds - max(0.0, self.origin - (origin or 0.0))) * self.rate)
        if self.most is not None:
            near = abs(self.frames - self.most) < TOLERANCE * self.rate
            self.frames = self.most if near else min(self.frames, self.most)

    def _is_streamed(self) -> bool:
        with Window(self.path, self.start, self.size) as file:
            return is_streamed(file)

    def _claimed(self, container: Any, track: Any) -> float:
        """Seconds that the header promises; 0 where it promises none."""
        if self.kind in ("mov", "avi"):
            return float((track.duration or 0) * track.time_base)
        if self.kind in ("matroska", "asf", "flv"):
            return (container.duration or 0) / av.time_base
        return 0.0

    def _decoded(self, start: float) -> Iterator[tuple[NDArray[np.float32], float | None, int]]:
        """Frames from a place on, or from a little before it: samples, time in seconds, rate in Hz."""
        with self._opened() as (container, track):
            if start > 0:
                container.seek(round(start / track.time_base), stream=track)
            failed, decoded = 0, False
            for packet in _packets(container, track):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:
                    failed += decoded  # what precedes the first key frame cannot be decoded
                    continue
                for frame in frames:
                    if failed:  # in the middle: a torn packet at the end is not followed by others
                        raise UnreadableAudioError(f"damaged: {failed} packet(s) cannot be decoded")
                    decoded = True
                    yield _scaled(frame), frame.time, frame.sample_rate

    def read(self, first: int, count: int) -> NDArray[np.float32]:
        """Decode a stretch.

        Args:
            first: its first sample, counted from the first one of the track.
            count: of samples of each channel.

        Returns:
            Shape (samples, channels); fewer samples where the track ends.

        Raises:
            UnreadableAudioError: a packet that cannot be decoded, or a change of the rate.
        """
        seconds = first / self.rate - LEAD
        sought = self.kind in SEEKABLE and self.step > 0 and seconds > LEAD
        pieces: list[NDArray[np.float32]] = []
        have, at, ended = 0, None, math.nan
        for wave, time, rate in self._decoded(self.origin + seconds if sought else 0.0):
            if rate != self.rate:
                raise UnreadableAudioError(
                    f"its sampling rate changes from {self.rate} to {rate} Hz: convert it to WAV"
                )
            if at is None:
                if sought and time is None:
                    raise UnreadableAudioError("damaged: packets without a time")
                at = self._position(time, len(wave)) if sought else 0
            elif self.kind in CLOCKED and time is not None and GAP < time - ended < LONGEST_GAP:
                wave = np.concatenate([np.zeros((round((time - ended) * rate), wave.shape[1]), np.float32), wave])
                time -= time - ended
            ended = math.nan if time is None else time + len(wave) / rate
            if pieces and wave.shape[1] != pieces[0].shape[1]:
                wave = np.repeat(wave.mean(axis=1, keepdims=True), pieces[0].shape[1], axis=1)
            piece = wave[max(0, first - at) : max(0, first + count - at)]
            at += len(wave)
            if len(piece):
                pieces.append(piece)
                have += len(piece)
            if have >= count:
                break
        if not pieces:
            return np.zeros((0, 1), np.float32)
        most = count if self.most is None else max(0, min(count, self.most - first))
        return np.concatenate(pieces)[:most]

    def _position(self, time: float, length: int) -> int:
        """The place of a frame in the track: its end stands on the grid of frames, from which rounded times differ."""
        end = (time - self.origin) * self.rate + length
        return self.opening + round((end - self.opening) / self.step) * self.step - length
