"""Files that are not audio: playlists, videos without audio, pipes."""

import os
from pathlib import Path

import av
import pytest

from seenet.audio.defects import UnreadableAudioError
from seenet.audio.reading import read_audio
from seenet.corpora.parsers._files import find_audio


def test_playlist_entries_are_not_opened(tmp_path: Path, made, monkeypatch: pytest.MonkeyPatch):
    """FFmpeg would open the files that a playlist names."""
    monkeypatch.chdir(made("wav").parent)
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:6,\n{}\n#EXT-X-ENDLIST\n"
    for text in ("ffconcat version 1.0\nfile {}\n", playlist):
        (tmp_path / "x").write_text(text.format(made("wav").name))
        with pytest.raises(UnreadableAudioError, match="text, not audio"):
            read_audio(tmp_path / "x", 6.0)


def test_video_without_audio_track_is_rejected(tmp_path: Path):
    with av.open(str(tmp_path / "x.mp4"), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            output.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        output.mux(stream.encode(None))
    with pytest.raises(UnreadableAudioError, match="a video without an audio track"):
        read_audio(tmp_path / "x.mp4", 6.0)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_pipe_is_rejected_without_blocking(tmp_path: Path):
    os.mkfifo(tmp_path / "x.mp4")
    with pytest.raises(UnreadableAudioError, match="not a file"):
        read_audio(tmp_path / "x.mp4", 6.0)
    os.mkfifo(tmp_path / "pipe")
    files, skipped = find_audio(tmp_path)
    assert ([path.name for path in files], skipped) == (["x.mp4"], [("pipe", "not audio")])


def test_mp4_without_index_is_rejected(made, tmp_path: Path):
    """A recorder lost power: the sample box has no size, and the index is missing."""
    data = made("m4a").read_bytes()
    at = data.index(b"mdat") - 4
    (tmp_path / "x").write_bytes(data[:at] + bytes(4) + data[at + 4 : data.rindex(b"moov") - 4])
    with pytest.raises(UnreadableAudioError, match="the recording was not finished"):
        read_audio(tmp_path / "x", 1000.0)
