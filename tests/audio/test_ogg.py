"""Ogg files without a last page, and with missing or damaged pages."""

from pathlib import Path

import pytest

from seenet.audio.defects import UnreadableAudioError
from seenet.audio.reading import read_audio


def test_ogg_without_last_page_is_remarked(made, tmp_path: Path):
    """The file ends between two pages, but no page marks the end of the stream."""
    data = made("opus").read_bytes()
    (tmp_path / "truncated").write_bytes(data[: data.rindex(b"OggS")])
    (kind, line), *_ = read_audio(tmp_path / "truncated", 1000.0).remarks
    assert (kind, "cut off" in line) == ("length", True)


def test_ogg_with_lost_or_damaged_page_is_rejected(made, tmp_path: Path):
    data = made("flac in ogg").read_bytes()
    *_, first, second, _ = (at for at in range(len(data)) if data.startswith(b"OggS", at))
    lost = data[:first] + data[second:]
    damaged = data[: first + 100] + bytes([data[first + 100] ^ 1]) + data[first + 101 :]
    for content in (lost, damaged):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(UnreadableAudioError, match="damaged: 1 Ogg page"):
            read_audio(tmp_path / "bad", 1000.0)
