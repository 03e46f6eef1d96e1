"""Selection of the reader for a file by its content.

libsndfile reads formats with an exact length in the header, `mp3` reads MPEG audio frame by frame, and FFmpeg's
libraries (`video`) read the rest.
"""

from functools import lru_cache
from pathlib import Path

import soundfile

from seenet.audio.byte_access import FileWindow, ReadableFile, find_bytes
from seenet.audio.containers import count_missing_bytes, find_appended_file, has_index
from seenet.audio.defects import TOLERATED_BYTES, UnreadableAudioError
from seenet.audio.file_types import (
    HEAD_BYTES,
    MP4_NAME,
    describe_unreadable_content,
    has_frame_sync,
    looks_like_audio,
    name_container,
)
from seenet.audio.libsndfile import SoundFileReader, make_length_remarks
from seenet.audio.mp3 import MpegReader
from seenet.audio.mpeg_frames import find_first_frame, measure_tag
from seenet.audio.ogg import read_ogg_streams
from seenet.audio.readers import AudioReader, ConcatenatedReader
from seenet.audio.uncompressed import SampleRegion, find_samples, make_wav_header
from seenet.audio.video import TrackReader

_MPEG_FORMAT_TAGS = (b"\x50\0", b"\x55\0")  # MPEG audio in a WAV file
_FLAC_HEADER_BYTES = 26


@lru_cache(maxsize=32)
def open_reader(path: str, size: int, modified: int) -> AudioReader:
    """Return the reader of a file; clips from the same file share it.

    Args:
        path: the file.
        size: the size of the file, in bytes.
        modified: the modification time; a changed file gets a new reader.

    Raises:
        UnreadableAudioError: the file is unusable.
        soundfile.SoundFileError: libsndfile finds the file damaged.
    """
    source = Path(path)
    with source.open("rb") as file:
        if size == 0:
            raise UnreadableAudioError(describe_unreadable_content(file))
        try:
            return _select_reader(source, file, size)
        except soundfile.SoundFileError as error:
            content = describe_unreadable_content(file)
            cause = str(error).rsplit(": ", 1)[-1].rstrip(".")
            raise UnreadableAudioError(f"{content} ({cause})" if content.endswith("damaged") else content) from error


def _skip_tags(file: ReadableFile, size: int) -> tuple[int, bytes]:
    """Return the offset after ID3 tags at the beginning, and the first bytes from there."""
    file.seek(0)
    head, start = file.read(HEAD_BYTES), 0
    while head.startswith(b"ID3") and 0 < (length := measure_tag(head)) < size - start:
        start += length
        file.seek(start)
        head = file.read(HEAD_BYTES)
    return start, head


def _select_reader(path: Path, whole_file: ReadableFile, whole_size: int) -> AudioReader:
    start, head = _skip_tags(whole_file, whole_size)
    file, size = (FileWindow(path, start), whole_size - start) if start else (whole_file, whole_size)
    if head.startswith(b"OggS"):
        return _open_ogg(path, file, start, size)
    if head.startswith(b"fLaC") and len(head) >= _FLAC_HEADER_BYTES:
        return _open_flac(path, file, start, size)
    if samples := find_samples(file, size):
        return _open_uncompressed(path, file, start, size, samples)
    if container := name_container(head):
        return _open_track(path, file, start, size, container)
    if find_first_frame(whole_file, start, whole_size) is not None:
        return MpegReader(path, start, whole_size)
    if start or head.startswith(b"\xff"):  # AAC, MPEG audio with a free bit rate, or text in UTF-16
        content = "an audio file" if has_frame_sync(head) else describe_unreadable_content(whole_file)
        return _open_track(path, file, start, size, content)
    return _open_unknown(path, head)


def _open_uncompressed(path: Path, file: ReadableFile, start: int, size: int, samples: SampleRegion) -> AudioReader:
    """Return the reader of a file with a WAV header or a similar header."""
    first, last = start + samples.start, start + samples.start + samples.size
    is_mpeg = samples.chunks.get(b"fmt ", b"")[:2] in _MPEG_FORMAT_TAGS
    if is_mpeg and find_first_frame(file, samples.start, samples.start + samples.size) is not None:
        if samples.missing:
            raise UnreadableAudioError(f"truncated: {samples.missing} bytes of samples are missing")
        return MpegReader(path, first, last)
    header = make_wav_header(samples) if samples.needs_new_header or samples.trailing or start else None
    window = None if header is None else (first, samples.size, header)
    try:
        return SoundFileReader(path, window, samples)
    except soundfile.SoundFileError:
        track = _open_track(path, file, start, size, "an audio file, damaged")
        track.remarks += make_length_remarks(samples, TOLERATED_BYTES)
        return track


def _open_unknown(path: Path, head: bytes) -> AudioReader:
    """Return the reader of a file without a known signature."""
    try:
        return SoundFileReader(path, (0, None, b""), None)  # without the name, from which libsndfile guesses
    except soundfile.SoundFileError as error:
        try:
            return TrackReader(path)
        except UnreadableAudioError as refusal:
            if not str(refusal).startswith("cannot be decoded"):
                raise
            if looks_like_audio(head):
                raise UnreadableAudioError(f"an audio or video file, damaged or cut off: {refusal}") from refusal
            raise error from refusal


def _open_track(path: Path, file: ReadableFile, start: int, size: int, kind: str) -> TrackReader:
    """Return the reader of a container for FFmpeg, unless bytes are missing at its end.

    Args:
        path: the file.
        file: the container, open for reading.
        start: the offset of the container in the file, in bytes.
        size: the size of the container, in bytes.
        kind: the name of the format, for messages.
    """
    missing = count_missing_bytes(file, size)
    if missing > TOLERATED_BYTES:
        raise UnreadableAudioError(f"truncated: {missing} bytes or more are missing at the end of the file")
    try:
        track = TrackReader(path, start)
    except UnreadableAudioError as error:
        lacks_index = kind == MP4_NAME and not has_index(file, size)
        reason = "no index (moov): the recording was not finished" if lacks_index else error
        raise UnreadableAudioError(f"{kind}: {reason}") from error
    if missing and not track.stated_seconds:
        raise UnreadableAudioError("truncated: the last packet is incomplete")
    if (appended := find_appended_file(file, size)) is not None:
        track.remarks.append(("unread", f"another file is appended: {size - appended} bytes are not read"))
    if missing:
        track.remarks.append(("length", f"the file lacks {missing} bytes at its end"))
    return track


def _open_flac(path: Path, file: ReadableFile, start: int, size: int) -> AudioReader:
    """Return the reader of concatenated FLAC files; FFmpeg reads those of unknown length."""
    parts: list[AudioReader] = []
    begin: int | None = 0
    while begin is not None:
        next_begin = find_bytes(file, b"fLaC\0\0\0\x22", begin + 4, size)
        file.seek(begin)
        frame_count = int.from_bytes(file.read(_FLAC_HEADER_BYTES)[21:], "big") & 0xFFFFFFFFF
        first, last = start + begin, start + (size if next_begin is None else next_begin)
        window = None if (first, next_begin) == (0, None) else (first, last - first, b"")
        parts.append(SoundFileReader(path, window, None) if frame_count else TrackReader(path, first, last))
        begin = next_begin
    return parts[0] if len(parts) == 1 else ConcatenatedReader(parts)


def _open_ogg(path: Path, file: ReadableFile, start: int, size: int) -> AudioReader:
    """Return the reader of the audio streams of an Ogg file."""
    streams, lacking = read_ogg_streams(file, size)
    audio_streams = [stream for stream in streams if stream.codec]
    if lacking:
        raise UnreadableAudioError(f"truncated: the last page lacks {lacking} bytes or more")
    if not audio_streams:
        return _open_track(path, file, start, size, "an Ogg file")
    lost_pages = sum(stream.lost_pages for stream in audio_streams)
    if lost_pages:
        raise UnreadableAudioError(f"damaged: {lost_pages} Ogg page(s) are missing or damaged")
    parts = [TrackReader(path, start + s.start, start + s.end, s.samples or None) for s in audio_streams]
    if not all(stream.is_finished for stream in audio_streams):
        parts[-1].remarks.append(("length", "no page marks the end of the audio: the file may be cut off"))
    return parts[0] if len(parts) == 1 else ConcatenatedReader(parts)
