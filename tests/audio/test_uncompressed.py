"""Headers of WAV and similar files: placeholder sizes, wrong sizes, and chunks around the samples."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seenet.audio.defects import UnreadableAudioError
from seenet.audio.reading import read_audio
from support.audio_files import ID3V2_TAG, SECONDS, strongest_hertz


def with_sizes(data: bytes, size: int, riff: int | None = None) -> bytes:
    """Return a WAV file with other sizes in its header."""
    at = data.index(b"data") + 4
    riff = min(size + at - 4, 0xFFFFFFFF) if riff is None else riff
    return data[:4] + struct.pack("<I", riff) + data[8:at] + struct.pack("<I", size) + data[at + 4 :]


@pytest.mark.parametrize(
    "size", [0, 0xFFFFFFFF, 0x7FFF0000, 0x80000000, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFDB, 0x7FFFFFDA]
)
@pytest.mark.parametrize("riff", [0, 0xFFFFFFFF, None])
@pytest.mark.parametrize("kind", ["wav", "wav GSM", "wav extensible"])
def test_wav_with_placeholder_sizes_is_read_to_its_end(made, tmp_path: Path, kind: str, size: int, riff: int | None):
    (tmp_path / "x").write_bytes(with_sizes(made(kind).read_bytes(), size, riff))
    found = read_audio(tmp_path / "x", 1000.0)
    assert found.seconds == pytest.approx(SECONDS, abs=0.05)
    assert found.remarks == ()
    assert strongest_hertz(read_audio(tmp_path / "x", 1000.0, 4.1, 4.9).waveform) == pytest.approx(1100, abs=2)


@pytest.mark.parametrize("sizes", [bytes(24), b"\xff" * 24])
def test_rf64_with_placeholder_sizes_is_read_to_its_end(made, tmp_path: Path, sizes: bytes):
    data = made("rf64").read_bytes()
    at = data.index(b"ds64") + 8
    (tmp_path / "x").write_bytes(data[:at] + sizes + data[at + 24 :])
    assert read_audio(tmp_path / "x", 1000.0).seconds == SECONDS


@pytest.mark.parametrize("kind", ["caf", "au", "aiff"])
def test_other_formats_with_placeholder_sizes_are_read_to_their_end(made, tmp_path: Path, kind: str):
    data = made(kind).read_bytes()
    mark, width = {"caf": (b"data", 8), "au": (b".snd\0\0\0\x18", 4), "aiff": (b"SSND", 4)}[kind]
    at = data.index(mark) + len(mark)
    unknown = bytes(width) if kind == "aiff" else b"\xff" * width
    (tmp_path / "x").write_bytes(data[:at] + unknown + data[at + width :])
    assert read_audio(tmp_path / "x", 1000.0).seconds == SECONDS


def test_flac_of_unknown_length_is_read_to_its_end(made, tmp_path: Path):
    data = bytearray(made("flac").read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    (tmp_path / "x").write_bytes(data)
    assert read_audio(tmp_path / "x", 1000.0).seconds == SECONDS
    assert strongest_hertz(read_audio(tmp_path / "x", 1000.0, 4.1, 4.9).waveform) == pytest.approx(1100, abs=2)


@pytest.mark.parametrize("extra", [1, 44, 60])
@pytest.mark.parametrize("kind", ["wav", "wav GSM", "aiff", "au"])
def test_header_that_overstates_a_few_bytes_is_remarked(made, tmp_path: Path, kind: str, extra: int):
    data = made(kind).read_bytes()
    mark, order = {"aiff": (b"SSND", ">I"), "au": (b".snd\0\0\0\x18", ">I")}.get(kind, (b"data", "<I"))
    at = data.index(mark) + len(mark)
    size = struct.unpack_from(order, data, at)[0]
    (tmp_path / "x").write_bytes(data[:at] + struct.pack(order, size + extra) + data[at + 4 :])
    found = read_audio(tmp_path / "x", 1000.0)
    assert found.seconds == pytest.approx(SECONDS, abs=0.05)
    assert found.remarks == (("length", f"the header states {extra} bytes of samples more than the file contains"),)


def test_chunks_around_the_samples_of_a_wav_are_skipped(made, tmp_path: Path):
    data = made("wav").read_bytes()
    at = data.index(b"data")
    even, odd = b"bext" + struct.pack("<I", 602) + bytes(602), b"LIST" + struct.pack("<I", 5) + b"INFO\1"
    behind = b"id3 " + struct.pack("<I", 8) + b"ID3junk!"
    for extra in (even, odd + b"\0", odd, even + odd):  # some programs omit the padding byte
        (tmp_path / "x").write_bytes(data[:at] + extra + data[at:] + behind)
        found = read_audio(tmp_path / "x", 1000.0)
        assert (found.seconds, found.remarks) == (SECONDS, ())
        assert strongest_hertz(found.waveform[1600:14400]) == pytest.approx(300, abs=2)


def test_wav_with_bytes_after_its_samples_is_remarked(made, tmp_path: Path):
    """Of two concatenated files only the first is read, and `check` lists this."""
    data = made("wav").read_bytes()
    (tmp_path / "x").write_bytes(data + data)
    found = read_audio(tmp_path / "x", 1000.0)
    assert found.seconds == SECONDS
    assert found.remarks == (("unread", f"{len(data)} bytes after the samples that the header states are not read"),)


@pytest.mark.parametrize("size", [10, 96000])
def test_wav_that_understates_its_samples_is_read_to_its_end(made, tmp_path: Path, size: int):
    """A recorder crashed before it updated the header."""
    (tmp_path / "x").write_bytes(with_sizes(made("wav").read_bytes(), size))
    found = read_audio(tmp_path / "x", 1000.0)
    assert found.seconds == SECONDS
    more = 2 * 16000 * SECONDS - size
    assert found.remarks == (("length", f"{more} bytes of samples more than the header states are read"),)


@pytest.mark.parametrize("kind", ["wav", "flac", "m4a", "opus", "adts", "mp3"])
def test_tag_at_the_beginning_of_a_file_is_skipped(made, tmp_path: Path, kind: str):
    (tmp_path / "x").write_bytes(ID3V2_TAG + made(kind).read_bytes())
    found, expected = read_audio(tmp_path / "x", 1000.0), read_audio(made(kind), 1000.0)
    np.testing.assert_array_equal(found.waveform, expected.waveform)


def test_wav_without_samples_is_empty_when_other_chunks_follow(tmp_path: Path):
    data = io.BytesIO()
    soundfile.write(data, np.zeros(0), 16000, format="WAV")
    (tmp_path / "x").write_bytes(data.getvalue() + b"LIST" + struct.pack("<I", 4) + b"INFO")
    with pytest.raises(UnreadableAudioError, match="empty: no samples"):
        read_audio(tmp_path / "x", 6.0)
