"""The reader: every container whole, cut off, streamed and in stretches; the content decides, never the name."""

import contextlib
import io
import itertools
import os
import struct
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from seenet.audio.reading import UnreadableAudioError, read_audio
from seenet.corpora.parsers._files import find_audio

SECONDS = 6
HERTZ = [300, 500, 700, 900, 1100, 1300]
"""The tone of each second, by which a stretch is known."""


def tones(rate: int) -> np.ndarray:
    time = np.arange(SECONDS * rate) / rate
    return (0.3 * np.sin(2 * np.pi * np.repeat(HERTZ, rate) * time)).astype(np.float32)


def strongest_hertz(wave: np.ndarray) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(wave * np.hanning(len(wave))))) * 16000 / len(wave))


class Pipe:
    """A file that cannot be sought in: sizes in its header stay placeholders.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path):
        self.write = path.open("wb", buffering=0).write


def encode(
    path: Path, container: str, codec: str, rate: int, options: dict[str, str] | None = None, piped: bool = False
) -> Path:
    """Write the tones through FFmpeg's libraries."""
    with av.open(Pipe(path) if piped else str(path), "w", format=container, options=options or {}) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        stream.bit_rate = 12200 if codec == "libopencore_amrnb" else 96000
        frame = av.AudioFrame.from_ndarray(tones(rate)[None], format="fltp", layout="mono")
        frame.rate, frame.pts = rate, 0
        stream.codec_context.open()
        size = stream.codec_context.frame_size or 1024
        cut = av.AudioResampler(stream.codec_context.format.name, "mono", rate, frame_size=size)
        for piece in (*cut.resample(frame), *cut.resample(None)):
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return path


def sound_file(**options: object) -> Callable[[Path], Path]:
    """Write the tones through libsndfile."""

    def write(path: Path) -> Path:
        rate = int(options.get("rate", 16000))
        named = {name: value for name, value in options.items() if name != "rate"}
        soundfile.write(path, tones(rate), rate, **named)
        return path

    return write


def packets(container: str, codec: str, rate: int = 44100, **options: str) -> Callable[[Path], Path]:
    return lambda path: encode(path, container, codec, rate, options)


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov", "frag_duration": "500000"}
CONTAINERS: dict[str, Callable[[Path], Path]] = {
    "m4a": packets("ipod", "aac"),
    "m4a 16 kHz": packets("ipod", "aac", 16000),
    "alac": packets("ipod", "alac"),
    "mp4, index in front": packets("mp4", "aac", movflags="faststart"),
    "mp4 in fragments": packets("mp4", "aac", **FRAGMENTS),
    "mov": packets("mov", "pcm_s16le"),
    "3gp": packets("3gp", "libopencore_amrnb", 8000),
    "wma": packets("asf", "wmav2"),
    "avi": packets("avi", "pcm_s16le"),
    "avi of mp3": packets("avi", "libmp3lame"),
    "flv": packets("flv", "aac"),
    "flv of mp3": packets("flv", "libmp3lame"),
    "mkv": packets("matroska", "aac"),
    "mkv of flac": packets("matroska", "flac"),
    "webm": packets("webm", "libopus", 48000),
    "webm of a stream": packets("webm", "libopus", 48000, live="1"),
    "opus": packets("ogg", "libopus", 48000),
    "flac in ogg": packets("oga", "flac"),
    "vorbis": sound_file(format="OGG", subtype="VORBIS"),
    "opus of libsndfile": sound_file(format="OGG", subtype="OPUS", rate=48000),
    "mp3": packets("mp3", "libmp3lame"),
    "mp3 16 kHz": packets("mp3", "libmp3lame", 16000),
    "mp3 of libsndfile": sound_file(format="MP3", rate=44100),
    "mp3 without a header": packets("mp3", "libmp3lame", write_xing="0"),
    "mp3 in wav": packets("wav", "libmp3lame"),
    "mp2": packets("mp2", "mp2"),
    "flac": sound_file(format="FLAC"),
    "wavpack": packets("wv", "wavpack"),
    "tta": packets("tta", "tta"),
    "wav": sound_file(format="WAV"),
    "wav of floats": sound_file(format="WAV", subtype="DOUBLE"),
    "wav extensible": sound_file(format="WAVEX", subtype="PCM_24"),
    "wav A-law": sound_file(format="WAV", subtype="ALAW", rate=8000),
    "wav µ-law": sound_file(format="WAV", subtype="ULAW", rate=8000),
    "wav IMA ADPCM": sound_file(format="WAV", subtype="IMA_ADPCM"),
    "wav MS ADPCM": sound_file(format="WAV", subtype="MS_ADPCM", rate=8000),
    "wav GSM": sound_file(format="WAV", subtype="GSM610", rate=8000),
    "rf64": sound_file(format="RF64"),
    "w64": sound_file(format="W64"),
    "aiff": sound_file(format="AIFF"),
    "caf": sound_file(format="CAF"),
    "caf of alac": sound_file(format="CAF", subtype="ALAC_16"),
    "au": sound_file(format="AU"),
    "sphere": sound_file(format="NIST"),
}
"""Files that tell where they end."""

ENDLESS: dict[str, Callable[[Path], Path]] = {
    "adts": packets("adts", "aac"),
    "amr": packets("amr", "libopencore_amrnb", 8000),
    "ac3": packets("ac3", "ac3", 48000),
    "mpeg-ts": packets("mpegts", "mp2"),
    "mpeg-ts of aac": packets("mpegts", "aac", 48000),
    "mpeg-ps": packets("mpeg", "mp2"),
}
"""Files that cannot tell whether they were cut off."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A file of each kind, all under a name that says nothing."""
    folder = tmp_path_factory.mktemp("sounds")
    numbers = itertools.count()
    files: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in files:
            files[kind] = (CONTAINERS | ENDLESS)[kind](folder / f"file{next(numbers)}.dat")
        return files[kind]

    return make


def test_every_kind_is_recognised_by_its_content(made):
    for kind in CONTAINERS | ENDLESS:
        made(kind)
    files, passed_over = find_audio(made("wav").parent)
    assert (len(files), passed_over) == (len(CONTAINERS | ENDLESS), [])


@pytest.mark.parametrize("kind", CONTAINERS | ENDLESS)
def test_reader_decodes_all_of_a_file(made, kind: str):
    found = read_audio(made(kind), 1000.0)
    assert found.seconds == pytest.approx(SECONDS, abs=0.05)
    assert len(found.waveform) == pytest.approx(16000 * found.seconds, abs=2)
    assert found.remarks == ()
    for second, hertz in enumerate(HERTZ):
        wave = found.waveform[16000 * second + 1600 : 16000 * second + 14400]
        assert strongest_hertz(wave) == pytest.approx(hertz, abs=2)
        assert np.sqrt(np.mean(np.square(wave))) == pytest.approx(0.3 / np.sqrt(2), rel=0.35)  # AMR damps tones


@pytest.mark.parametrize("kind", CONTAINERS | ENDLESS)
def test_reader_decodes_the_samples_of_a_stretch(made, kind: str):
    whole = read_audio(made(kind), 1000.0).waveform
    for start, end in ((0.0, 1.0), (2.15, 2.9), (4.3, 5.85), (4.3, float("nan"))):
        found = read_audio(made(kind), 1000.0, start, end)
        first, length = round(start * 16000), len(found.waveform)
        assert length == pytest.approx((end - start) * 16000 if end == end else len(whole) - first, abs=2)
        # away from the ends, where the resampler lacks neighbours; a lossy codec starts anew
        ours, theirs = found.waveform[800:-800], whole[first + 800 : first + length - 800]
        shared = min(len(ours), len(theirs))
        assert np.abs(ours[:shared] - theirs[:shared]).max() < 0.01
    assert len(read_audio(made(kind), 0.5, 2.0, 5.0).waveform) == 8000
    with pytest.raises(UnreadableAudioError, match="no stretch"):
        read_audio(made(kind), 1000.0, 1.0, 60.0)
    with pytest.raises(UnreadableAudioError, match="no stretch"):
        read_audio(made(kind), 1000.0, 2.0, 1.0)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", CONTAINERS)
def test_reader_refuses_a_file_that_was_cut_off(made, tmp_path: Path, kind: str, share: float):
    data = made(kind).read_bytes()
    (tmp_path / "cut").write_bytes(data[: int(share * len(data)) - 7])
    with pytest.raises(UnreadableAudioError, match=r"truncated|damaged or cut off"):
        read_audio(tmp_path / "cut", 1000.0)


@pytest.mark.parametrize("kind", CONTAINERS | ENDLESS)
def test_damaged_file_is_read_or_bad_and_nothing_else(made, tmp_path: Path, kind: str):
    """Bytes at random, most of them in the head, where sizes and kinds are."""
    rng = np.random.default_rng(len(kind))
    for number, reach in enumerate((64, 64, 200, 200, 10**9)):
        data = bytearray(made(kind).read_bytes())
        for at in rng.integers(0, min(reach, len(data)), 1 + number):
            data[at] = rng.integers(256)
        (tmp_path / f"{number}").write_bytes(data)
        with contextlib.suppress(UnreadableAudioError):
            assert np.isfinite(read_audio(tmp_path / f"{number}", 1000.0).waveform).all()


@pytest.mark.parametrize("kind", ENDLESS)
def test_reader_decodes_what_is_left_of_a_file_that_cannot_tell(made, tmp_path: Path, kind: str):
    data = made(kind).read_bytes()
    (tmp_path / "cut").write_bytes(data[: len(data) // 2])
    assert read_audio(tmp_path / "cut", 1000.0).seconds == pytest.approx(SECONDS / 2, rel=0.1)


def test_webm_of_a_browser_is_read_and_found_to_be_cut_off(made, tmp_path: Path):
    """No duration, and clusters of unknown size: a recorder that never returns to what it wrote."""
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


def test_ogg_without_an_end_is_remarked(made, tmp_path: Path):
    """Cut between two pages: nothing is torn, but no page says that the stream ends."""
    data = made("opus").read_bytes()
    (tmp_path / "cut").write_bytes(data[: data.rindex(b"OggS")])
    (kind, line), *_ = read_audio(tmp_path / "cut", 1000.0).remarks
    assert (kind, "cut off" in line) == ("length", True)


def test_ogg_with_a_lost_or_damaged_page_is_refused(made, tmp_path: Path):
    data = made("flac in ogg").read_bytes()
    *_, first, second, _ = (at for at in range(len(data)) if data.startswith(b"OggS", at))
    lost = data[:first] + data[second:]
    damaged = data[: first + 100] + bytes([data[first + 100] ^ 1]) + data[first + 101 :]
    for content in (lost, damaged):
        (tmp_path / "bad").write_bytes(content)
        with pytest.raises(UnreadableAudioError, match="damaged: 1 Ogg page"):
            read_audio(tmp_path / "bad", 1000.0)


# --- WAV -----------------------------------------------------------------------------------------------------------


def resized(data: bytes, size: int, riff: int | None = None) -> bytes:
    """A WAV file with other sizes in its header."""
    at = data.index(b"data") + 4
    riff = min(size + at - 4, 0xFFFFFFFF) if riff is None else riff
    return data[:4] + struct.pack("<I", riff) + data[8:at] + struct.pack("<I", size) + data[at + 4 :]


@pytest.mark.parametrize(
    "size", [0, 0xFFFFFFFF, 0x7FFF0000, 0x80000000, 0x7FFFFFFF, 0x7FFFF000, 0xFFFFFFDB, 0x7FFFFFDA]
)
@pytest.mark.parametrize("riff", [0, 0xFFFFFFFF, None])
@pytest.mark.parametrize("kind", ["wav", "wav GSM", "wav extensible"])
def test_wav_of_a_stream_is_read_to_its_end(made, tmp_path: Path, kind: str, size: int, riff: int | None):
    (tmp_path / "x").write_bytes(resized(made(kind).read_bytes(), size, riff))
    found = read_audio(tmp_path / "x", 1000.0)
    assert found.seconds == pytest.approx(SECONDS, abs=0.05)
    assert found.remarks == ()
    assert strongest_hertz(read_audio(tmp_path / "x", 1000.0, 4.1, 4.9).waveform) == pytest.approx(1100, abs=2)


@pytest.mark.parametrize("sizes", [bytes(24), b"\xff" * 24])
def test_rf64_of_a_stream_is_read_to_its_end(made, tmp_path: Path, sizes: bytes):
    data = made("rf64").read_bytes()
    at = data.index(b"ds64") + 8
    (tmp_path / "x").write_bytes(data[:at] + sizes + data[at + 24 :])
    assert read_audio(tmp_path / "x", 1000.0).seconds == SECONDS


@pytest.mark.parametrize("kind", ["caf", "au", "aiff"])
def test_other_headers_of_streams_are_read_to_their_end(made, tmp_path: Path, kind: str):
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
def test_header_that_claims_a_few_bytes_too_many_is_a_remark(made, tmp_path: Path, kind: str, extra: int):
    data = made(kind).read_bytes()
    mark, order = {"aiff": (b"SSND", ">I"), "au": (b".snd\0\0\0\x18", ">I")}.get(kind, (b"data", "<I"))
    at = data.index(mark) + len(mark)
    size = struct.unpack_from(order, data, at)[0]
    (tmp_path / "x").write_bytes(data[:at] + struct.pack(order, size + extra) + data[at + 4 :])
    found = read_audio(tmp_path / "x", 1000.0)
    assert found.seconds == pytest.approx(SECONDS, abs=0.05)
    assert found.remarks == (("length", f"the header promises {extra} bytes of samples more than there are"),)


def test_chunks_around_the_samples_of_a_wav_are_passed_over(made, tmp_path: Path):
    data = made("wav").read_bytes()
    at = data.index(b"data")
    even, odd = b"bext" + struct.pack("<I", 602) + bytes(602), b"LIST" + struct.pack("<I", 5) + b"INFO\1"
    behind = b"id3 " + struct.pack("<I", 8) + b"ID3junk!"
    for extra in (even, odd + b"\0", odd, even + odd):  # some writers forget the padding byte
        (tmp_path / "x").write_bytes(data[:at] + extra + data[at:] + behind)
        found = read_audio(tmp_path / "x", 1000.0)
        assert (found.seconds, found.remarks) == (SECONDS, ())
        assert strongest_hertz(found.waveform[1600:14400]) == pytest.approx(300, abs=2)


def test_wav_with_bytes_behind_its_samples_is_remarked(made, tmp_path: Path):
    """Two files joined byte by byte: only the first is read, and `check` says so."""
    data = made("wav").read_bytes()
    (tmp_path / "x").write_bytes(data + data)
    found = read_audio(tmp_path / "x", 1000.0)
    assert found.seconds == SECONDS
    assert found.remarks == (("unread", f"{len(data)} bytes behind the samples that the header promises are not read"),)


@pytest.mark.parametrize("size", [10, 96000])
def test_wav_that_promises_too_few_samples_is_read_to_its_end(made, tmp_path: Path, size: int):
    """A recorder that crashed before it brought its header up to date."""
    (tmp_path / "x").write_bytes(resized(made("wav").read_bytes(), size))
    found = read_audio(tmp_path / "x", 1000.0)
    assert found.seconds == SECONDS
    more = 2 * 16000 * SECONDS - size
    assert found.remarks == (("length", f"{more} bytes of samples more than the header promises are read"),)


@pytest.mark.parametrize("kind", ["wav", "flac", "m4a", "opus", "adts", "mp3"])
def test_tag_in_front_of_any_file_is_passed_over(made, tmp_path: Path, kind: str):
    (tmp_path / "x").write_bytes(ID3V2 + made(kind).read_bytes())
    found, truth = read_audio(tmp_path / "x", 1000.0), read_audio(made(kind), 1000.0)
    np.testing.assert_array_equal(found.waveform, truth.waveform)


def test_wav_without_samples_before_other_chunks_is_empty(tmp_path: Path):
    data = io.BytesIO()
    soundfile.write(data, np.zeros(0), 16000, format="WAV")
    (tmp_path / "x").write_bytes(data.getvalue() + b"LIST" + struct.pack("<I", 4) + b"INFO")
    with pytest.raises(UnreadableAudioError, match="empty: no samples"):
        read_audio(tmp_path / "x", 6.0)


# --- MP3 -----------------------------------------------------------------------------------------------------------

ID3V2 = b"ID3\4\0\0" + bytes([0, 0, 2, 16]) + bytes(272)
ID3V1 = b"TAG" + b"x" * 125
APE = b"APETAGEX" + struct.pack("<III", 2000, 64, 0) + struct.pack("<I", 0) + bytes(8)


def test_mp3_joined_byte_by_byte_is_read_to_its_end(made, tmp_path: Path):
    first, second = made("mp3").read_bytes(), made("mp3 of libsndfile").read_bytes()
    for between in (b"", ID3V1, ID3V1 + ID3V2, bytes(1000), b"\xff\xfbnot a frame" * 20):
        (tmp_path / "x").write_bytes(first + between + second)
        found = read_audio(tmp_path / "x", 1000.0)
        assert found.seconds == pytest.approx(2 * SECONDS, abs=0.05)
        assert found.remarks == ()
        cut = read_audio(tmp_path / "x", 1000.0, SECONDS + 2.1, SECONDS + 2.9)
        assert strongest_hertz(cut.waveform) == pytest.approx(700, abs=2)


def test_mp3_joined_of_several_rates_is_refused(made, tmp_path: Path):
    (tmp_path / "x").write_bytes(made("mp3").read_bytes() + made("mp3 16 kHz").read_bytes())
    with pytest.raises(UnreadableAudioError, match="joined of parts at 16000 and 44100 Hz"):
        read_audio(tmp_path / "x", 1000.0)


@pytest.mark.parametrize("kind", ["mp3", "mp3 without a header"])
def test_tags_of_an_mp3_are_no_sound(made, tmp_path: Path, kind: str):
    data, truth = made(kind).read_bytes(), read_audio(made(kind), 1000.0)
    lyrics = b"LYRICSBEGIN" + b"IND00002" + b"10" + b"000021LYRICS200"
    ape_at_both_ends = struct.pack("<8sIIII8x", b"APETAGEX", 2000, 96, 1, 0xA0000000) + bytes(64)
    for before, behind in ((ID3V2, b""), (ID3V2 * 2, ID3V1), (ape_at_both_ends, APE + ID3V1), (b"", lyrics + ID3V1)):
        (tmp_path / "x").write_bytes(before + data + behind)
        found = read_audio(tmp_path / "x", 1000.0)
        assert found.seconds == truth.seconds
        np.testing.assert_array_equal(found.waveform, truth.waveform)


@pytest.mark.parametrize("before", [bytes(200_000), b"\xff\xfb\xff\xf3" * 500, ID3V2[:6] + b"\x7f\x7f\x7f\x7f"])
def test_mp3_behind_other_bytes_is_found(made, tmp_path: Path, before: bytes):
    """Zeros, what looks like a frame, and a tag that claims to be longer than the file."""
    (tmp_path / "x").write_bytes(before + made("mp3").read_bytes())
    assert read_audio(tmp_path / "x", 1000.0).seconds == pytest.approx(SECONDS, abs=0.05)


def test_mp3_of_variable_rate_without_a_header_is_read_to_its_end(tmp_path: Path):
    """A silent beginning of few bits, then noise of many: any guess from the first frames is wrong."""
    rate = 44100
    wave = np.r_[np.zeros(8 * rate), np.random.default_rng(0).normal(0, 0.2, 4 * rate).clip(-1, 1)]
    soundfile.write(tmp_path / "x", wave, rate, format="MP3", bitrate_mode="VARIABLE")
    data = (tmp_path / "x").read_bytes()
    assert data[21:25] == b"Xing"
    (tmp_path / "x").write_bytes(data[data.index(data[:2], 2) :])  # the first frame is the header
    assert read_audio(tmp_path / "x", 1000.0).seconds == pytest.approx(12, abs=0.06)


# --- What is wrong with samples ------------------------------------------------------------------------------------


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_integers_in_a_float_file_are_named(tmp_path: Path, subtype: str, bits: int):
    wave = np.round(tones(16000).astype(np.float64) * 3 * 2 ** (bits - 1))
    soundfile.write(tmp_path / "x", wave, 16000, subtype=subtype, format="WAV")
    found = read_audio(tmp_path / "x", 6.0)
    assert found.clipped == 0
    ((kind, line),) = found.remarks
    assert kind == "integers"
    assert f"divide them by {2 ** (bits - 1)}" in line


def test_floats_of_another_scale_are_named(tmp_path: Path):
    soundfile.write(tmp_path / "x", 20000 * tones(16000), 16000, subtype="FLOAT", format="WAV")
    assert [kind for kind, _ in read_audio(tmp_path / "x", 6.0).remarks] == ["scale"]
    soundfile.write(tmp_path / "x", 6 * tones(16000), 16000, subtype="FLOAT", format="WAV")
    found = read_audio(tmp_path / "x", 6.0)
    assert found.remarks == ()
    assert found.clipped > 0.3


@pytest.mark.parametrize(
    ("gains", "named"),
    [((1, -1), True), ((1, -0.8), True), ((1, 1), False), ((1, 0), False), ((1, 0, 0, 0, 0, 0), False)],
)
def test_channels_that_cancel_are_named(tmp_path: Path, gains: tuple[float, ...], named: bool):
    wave = tones(16000)[:, None] * np.array(gains)
    soundfile.write(tmp_path / "x", wave, 16000, format="WAV")
    assert [kind for kind, _ in read_audio(tmp_path / "x", 6.0).remarks] == ["channels"] * named


def test_channels_of_different_noise_do_not_cancel(tmp_path: Path):
    noise = np.random.default_rng(0).normal(0, 0.1, (16000, 6))
    soundfile.write(tmp_path / "x", noise, 16000, format="WAV")
    assert read_audio(tmp_path / "x", 6.0).remarks == ()


# --- What is no file ------------------------------------------------------------------------------------------------


def test_playlists_are_not_followed(tmp_path: Path, made, monkeypatch: pytest.MonkeyPatch):
    """FFmpeg would open the files that a text names."""
    monkeypatch.chdir(made("wav").parent)
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:6,\n{}\n#EXT-X-ENDLIST\n"
    for text in ("ffconcat version 1.0\nfile {}\n", playlist):
        (tmp_path / "x").write_text(text.format(made("wav").name))
        with pytest.raises(UnreadableAudioError, match="text, not audio"):
            read_audio(tmp_path / "x", 6.0)


def test_video_without_sound_is_named(tmp_path: Path):
    with av.open(str(tmp_path / "x.mp4"), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 16
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            output.mux(stream.encode(av.VideoFrame(16, 16, "yuv420p")))
        output.mux(stream.encode(None))
    with pytest.raises(UnreadableAudioError, match="a video without a sound track"):
        read_audio(tmp_path / "x.mp4", 6.0)


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
    """The header of AVI and ASF then promises minutes or terabytes."""
    recording = read_audio(encode(tmp_path / "x", container, codec, 48000, piped=True), 60.0)
    assert recording.seconds == pytest.approx(SECONDS, abs=0.06)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_pipe_is_refused_without_waiting(tmp_path: Path):
    os.mkfifo(tmp_path / "x.mp4")
    with pytest.raises(UnreadableAudioError, match="not a file"):
        read_audio(tmp_path / "x.mp4", 6.0)
    os.mkfifo(tmp_path / "pipe")
    files, passed_over = find_audio(tmp_path)
    assert ([path.name for path in files], passed_over) == (["x.mp4"], [("pipe", "not audio")])


# --- Video, joined files, lost packets -----------------------------------------------------------------------------


def film(path: Path, container: str, video: str, audio: str, rate: int = 44100, lost: range = range(0)) -> Path:
    """Twice as long a film as its sound; without the packets of sound that are lost."""
    with av.open(str(path), "w", format=container) as output:
        pictures = output.add_stream(video, rate=25)
        pictures.width, pictures.height, pictures.pix_fmt = 32, 32, "yuv420p"
        sound = output.add_stream(audio, rate=rate, layout="mono")
        wave = av.AudioFrame.from_ndarray(tones(rate)[None], format="fltp", layout="mono")
        wave.rate, wave.pts, sound.bit_rate = rate, 0, 96000
        sound.codec_context.open()
        cut = av.AudioResampler(sound.codec_context.format.name, "mono", rate, frame_size=sound.frame_size or 1024)
        packets = [p for piece in (*cut.resample(wave), *cut.resample(None)) for p in sound.encode(piece)]
        packets = [p for number, p in enumerate(packets) if number not in lost] + sound.encode(None)
        for number in range(2 * SECONDS * 25):
            picture = av.VideoFrame(32, 32, "yuv420p")
            picture.pts = number
            packets += pictures.encode(picture)
        packets += pictures.encode(None)
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            output.mux(packet)
    return path


FILMS = {
    "mp4": ("mp4", "mpeg4", "aac"),
    "mkv": ("matroska", "mpeg4", "aac"),
    "avi": ("avi", "mpeg4", "libmp3lame"),
    "flv": ("flv", "flv", "aac"),
    "wmv": ("asf", "wmv2", "wmav2"),
    "ts": ("mpegts", "mpeg2video", "mp2"),
}


@pytest.mark.parametrize("kind", FILMS)
def test_film_that_is_longer_than_its_sound_is_not_cut_off(tmp_path: Path, kind: str):
    container, video, audio = FILMS[kind]
    found = read_audio(film(tmp_path / "x", container, video, audio), 1000.0)
    assert found.seconds == pytest.approx(SECONDS, abs=0.05)
    assert found.remarks == ()


@pytest.mark.parametrize("kind", ["mkv", "mp4", "flv"])
def test_lost_packets_are_silence_in_their_place_and_named(tmp_path: Path, kind: str):
    """A stretch behind the gap is where the clock says."""
    container, video, audio = FILMS[kind]
    path = film(tmp_path / "x", container, video, audio, lost=range(60, 100))  # 1.39 to 2.32 s
    found = read_audio(path, 1000.0)
    assert found.seconds == pytest.approx(SECONDS, abs=0.05)
    assert [kind for kind, _ in found.remarks] == ["gap"]
    assert not found.waveform[16000 * 150 // 100 : 16000 * 225 // 100].any()
    for start in (2.4, 4.1):
        hertz = strongest_hertz(read_audio(path, 1000.0, start, start + 0.5).waveform)
        assert hertz == pytest.approx(HERTZ[int(start)], abs=4)


@pytest.mark.parametrize("kind", ["vorbis", "opus", "flac", "adts", "ac3", "mpeg-ts"])
def test_files_joined_byte_by_byte_are_read_to_their_end(made, tmp_path: Path, kind: str):
    (tmp_path / "x").write_bytes(2 * made(kind).read_bytes())
    found = read_audio(tmp_path / "x", 1000.0)
    assert found.seconds == pytest.approx(2 * SECONDS, abs=0.1)
    assert strongest_hertz(read_audio(tmp_path / "x", 9.0, 8.1, 8.9).waveform) == pytest.approx(700, abs=2)


@pytest.mark.parametrize("kind", ["m4a", "flv", "aiff", "wav"])
def test_files_of_which_only_the_first_is_read_are_named(made, tmp_path: Path, kind: str):
    (tmp_path / "x").write_bytes(2 * made(kind).read_bytes())
    found = read_audio(tmp_path / "x", 1000.0)
    assert found.seconds == pytest.approx(SECONDS, abs=0.05)
    assert [kind for kind, _ in found.remarks] == ["unread"]


def test_mp4_without_its_index_is_named(made, tmp_path: Path):
    """A recorder that lost power: the box of samples has no size, and the index was never written."""
    data = made("m4a").read_bytes()
    at = data.index(b"mdat") - 4
    (tmp_path / "x").write_bytes(data[:at] + bytes(4) + data[at + 4 : data.rindex(b"moov") - 4])
    with pytest.raises(UnreadableAudioError, match="the recording was not finished"):
        read_audio(tmp_path / "x", 1000.0)
