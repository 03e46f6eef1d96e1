"""MPEG audio: concatenated files, tags, other bytes and variable bit rates."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seenet.audio.defects import UnreadableAudioError
from seenet.audio.reading import read_audio
from support.audio_files import ID3V1_TAG, ID3V2_TAG, SECONDS, strongest_hertz

APE_TAG = b"APETAGEX" + struct.pack("<III", 2000, 64, 0) + struct.pack("<I", 0) + bytes(8)


def test_concatenated_mp3_is_read_to_its_end(made, tmp_path: Path):
    first, second = made("mp3").read_bytes(), made("mp3 of libsndfile").read_bytes()
    for between in (b"", ID3V1_TAG, ID3V1_TAG + ID3V2_TAG, bytes(1000), b"\xff\xfbnot a frame" * 20):
        (tmp_path / "x").write_bytes(first + between + second)
        found = read_audio(tmp_path / "x", 1000.0)
        assert found.seconds == pytest.approx(2 * SECONDS, abs=0.05)
        assert found.remarks == ()
        excerpt = read_audio(tmp_path / "x", 1000.0, SECONDS + 2.1, SECONDS + 2.9)
        assert strongest_hertz(excerpt.waveform) == pytest.approx(700, abs=2)


def test_mp3_concatenated_from_several_rates_is_rejected(made, tmp_path: Path):
    (tmp_path / "x").write_bytes(made("mp3").read_bytes() + made("mp3 16 kHz").read_bytes())
    with pytest.raises(UnreadableAudioError, match="concatenated from parts at 16000 and 44100 Hz"):
        read_audio(tmp_path / "x", 1000.0)


@pytest.mark.parametrize("kind", ["mp3", "mp3 without a header"])
def test_mp3_tags_are_not_decoded(made, tmp_path: Path, kind: str):
    data, expected = made(kind).read_bytes(), read_audio(made(kind), 1000.0)
    lyrics = b"LYRICSBEGIN" + b"IND00002" + b"10" + b"000021LYRICS200"
    ape_at_both_ends = struct.pack("<8sIIII8x", b"APETAGEX", 2000, 96, 1, 0xA0000000) + bytes(64)
    for before, behind in (
        (ID3V2_TAG, b""),
        (ID3V2_TAG * 2, ID3V1_TAG),
        (ape_at_both_ends, APE_TAG + ID3V1_TAG),
        (b"", lyrics + ID3V1_TAG),
    ):
        (tmp_path / "x").write_bytes(before + data + behind)
        found = read_audio(tmp_path / "x", 1000.0)
        assert found.seconds == expected.seconds
        np.testing.assert_array_equal(found.waveform, expected.waveform)


@pytest.mark.parametrize("before", [bytes(200_000), b"\xff\xfb\xff\xf3" * 500, ID3V2_TAG[:6] + b"\x7f\x7f\x7f\x7f"])
def test_mp3_after_other_bytes_is_found(made, tmp_path: Path, before: bytes):
    """Zeros, invalid frame headers, and a tag that states a length beyond the end of the file."""
    (tmp_path / "x").write_bytes(before + made("mp3").read_bytes())
    assert read_audio(tmp_path / "x", 1000.0).seconds == pytest.approx(SECONDS, abs=0.05)


def test_mp3_with_variable_bit_rate_is_read_to_its_end_without_a_length_header(tmp_path: Path):
    """Silence needs few bits and noise many: an estimate from the first frames is wrong."""
    rate = 44100
    wave = np.r_[np.zeros(8 * rate), np.random.default_rng(0).normal(0, 0.2, 4 * rate).clip(-1, 1)]
    soundfile.write(tmp_path / "x", wave, rate, format="MP3", bitrate_mode="VARIABLE")
    data = (tmp_path / "x").read_bytes()
    assert data[21:25] == b"Xing"
    (tmp_path / "x").write_bytes(data[data.index(data[:2], 2) :])  # the first frame is the header
    assert read_audio(tmp_path / "x", 1000.0).seconds == pytest.approx(12, abs=0.06)
