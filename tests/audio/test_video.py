"""Containers: streams, videos longer than their audio, lost packets and concatenated files."""

from pathlib import Path

import pytest

from seenet.audio.defects import UnreadableAudioError
from seenet.audio.reading import read_audio
from support.audio_files import SECONDS, TONES_HZ, encode, strongest_hertz, write_film

FILMS = {
    "mp4": ("mp4", "mpeg4", "aac"),
    "mkv": ("matroska", "mpeg4", "aac"),
    "avi": ("avi", "mpeg4", "libmp3lame"),
    "flv": ("flv", "flv", "aac"),
    "wmv": ("asf", "wmv2", "wmav2"),
    "ts": ("mpegts", "mpeg2video", "mp2"),
}


def test_webm_of_a_browser_is_read_and_rejected_when_truncated(made, tmp_path: Path):
    """The file has no duration and clusters of unknown size, because the recorder never seeks back."""
    first, *clusters = made("webm of a stream").read_bytes().split(b"\x1f\x43\xb6\x75")
    assert len(clusters) >= 1
    data = first
    for cluster in clusters:
        width = 9 - cluster[0].bit_length()
        data += b"\x1f\x43\xb6\x75\x01" + b"\xff" * 7 + cluster[width:]
    (tmp_path / "x").write_bytes(data)
    found = read_audio(tmp_path / "x", 1000.0)
    assert (found.seconds, found.remarks) == (pytest.approx(SECONDS, abs=0.05), ())
    for share in (0.3, 0.5, 0.9):
        (tmp_path / f"{share}").write_bytes(data[: int(share * len(data))])
        with pytest.raises(UnreadableAudioError, match="truncated"):
            read_audio(tmp_path / f"{share}", 1000.0)


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("avi", "libmp3lame"),
        ("asf", "wmav2"),
        ("flv", "aac"),
        ("matroska", "aac"),
        ("webm", "libopus"),
        ("mp3", "libmp3lame"),
    ],
)
def test_streamed_container_is_read_to_its_end(tmp_path: Path, container: str, codec: str):
    """The header of AVI and ASF then states minutes or terabytes."""
    recording = read_audio(encode(tmp_path / "x", container, codec, 48000, piped=True), 60.0)
    assert recording.seconds == pytest.approx(SECONDS, abs=0.06)


@pytest.mark.parametrize("kind", FILMS)
def test_video_longer_than_its_audio_is_not_truncated(tmp_path: Path, kind: str):
    container, video, audio = FILMS[kind]
    found = read_audio(write_film(tmp_path / "x", container, video, audio), 1000.0)
    assert found.seconds == pytest.approx(SECONDS, abs=0.05)
    assert found.remarks == ()


@pytest.mark.parametrize("kind", ["mkv", "mp4", "flv"])
def test_lost_packets_are_replaced_by_silence_and_remarked(tmp_path: Path, kind: str):
    """An excerpt after the gap is at the time of its packets."""
    container, video, audio = FILMS[kind]
    path = write_film(tmp_path / "x", container, video, audio, lost=range(60, 100))  # 1.39 to 2.32 s
    found = read_audio(path, 1000.0)
    assert found.seconds == pytest.approx(SECONDS, abs=0.05)
    assert [kind for kind, _ in found.remarks] == ["gap"]
    assert not found.waveform[16000 * 150 // 100 : 16000 * 225 // 100].any()
    for start in (2.4, 4.1):
        hertz = strongest_hertz(read_audio(path, 1000.0, start, start + 0.5).waveform)
        assert hertz == pytest.approx(TONES_HZ[int(start)], abs=4)


@pytest.mark.parametrize("kind", ["vorbis", "opus", "flac", "adts", "ac3", "mpeg-ts"])
def test_concatenated_files_are_read_to_their_end(made, tmp_path: Path, kind: str):
    (tmp_path / "x").write_bytes(2 * made(kind).read_bytes())
    found = read_audio(tmp_path / "x", 1000.0)
    assert found.seconds == pytest.approx(2 * SECONDS, abs=0.1)
    assert strongest_hertz(read_audio(tmp_path / "x", 9.0, 8.1, 8.9).waveform) == pytest.approx(700, abs=2)


@pytest.mark.parametrize("kind", ["m4a", "flv", "aiff", "wav"])
def test_unread_appended_file_is_remarked(made, tmp_path: Path, kind: str):
    (tmp_path / "x").write_bytes(2 * made(kind).read_bytes())
    found = read_audio(tmp_path / "x", 1000.0)
    assert found.seconds == pytest.approx(SECONDS, abs=0.05)
    assert [kind for kind, _ in found.remarks] == ["unread"]
