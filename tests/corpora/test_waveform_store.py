"""Waveform store: conversion to 16 kHz mono, content keys, resumption and repair."""

import multiprocessing
import os
import pickle
import struct
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from seenet.audio.defects import UnreadableAudioError
from seenet.audio.reading import read_audio
from seenet.core.errors import SeenetError
from seenet.corpora import clip_decoder, store_builder
from seenet.corpora.joining import join_corpora
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.waveform_store import open_store
from support.console import HANG


def find_peak_hertz(wave: np.ndarray, rate: int = 16000) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(wave))) * rate / len(wave))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24414, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_read_audio_converts_rate_and_channels(write_tone, tmp_path: Path, rate: int, channels: int):
    wave = read_audio(write_tone(tmp_path / "a.wav", rate=rate, channels=channels), 6.0)
    assert (wave.rate, wave.channels, wave.seconds) == (rate, channels, pytest.approx(1.0, abs=1e-4))
    wave = wave.waveform
    assert wave.dtype == np.float32
    assert len(wave) == pytest.approx(16000, abs=1)
    assert find_peak_hertz(wave) == pytest.approx(440, abs=1.1)
    assert np.sqrt(np.mean(wave[2000:-2000] ** 2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.01)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        *(("a.wav", s) for s in ("PCM_16", "PCM_24", "FLOAT", "ULAW", "PCM_U8")),
        *(("a.flac", "PCM_16"), ("a.ogg", "VORBIS"), ("a.mp3", "MPEG_LAYER_III")),
    ],
)
def test_read_audio_reads_common_formats(write_tone, tmp_path: Path, name: str, subtype: str):
    wave = read_audio(write_tone(tmp_path / name, subtype=subtype), 6.0).waveform
    assert find_peak_hertz(wave) == pytest.approx(440, abs=2)


def test_read_audio_crops(write_tone, tmp_path: Path):
    path = write_tone(tmp_path / "a.wav", seconds=2.0, rate=48000)
    short, long = (read_audio(path, seconds) for seconds in (0.5, 6.0))
    assert len(short.waveform) == 8000
    assert short.seconds == long.seconds == 2.0, "of the complete file"
    np.testing.assert_allclose(short.waveform, long.waveform[:8000], atol=1e-5)


def test_store_keeps_16_khz_pcm_bit_exact(tmp_path: Path):
    samples = np.random.default_rng(0).integers(-32768, 32768, 5000).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", samples, 16000)
    store = open_store(Manifest("x", tmp_path, [Utterance("a", "a.wav", "sad")]), 6.0)
    assert (store.waveform(0) * 32768 == samples).all()


def test_store_does_not_clip_peaks_above_full_scale(tmp_path: Path):
    soundfile.write(tmp_path / "a.wav", np.array([0.0, 2.5, -1.0, 0.5] * 100), 16000, subtype="FLOAT")
    store = open_store(Manifest("x", tmp_path, [Utterance("a", "a.wav", "sad")]), 6.0)
    np.testing.assert_allclose(store.waveform(0)[:4], [0.0, 2.5, -1.0, 0.5], atol=1e-4)


def test_read_audio_accepts_extra_chunks_and_unknown_sizes(write_tone, tmp_path: Path):
    data = write_tone(tmp_path / "a.wav").read_bytes()
    extra = data[:36] + b"LIST" + struct.pack("<I", 5) + b"hello\0" + data[36:]
    (tmp_path / "b.wav").write_bytes(extra)
    assert len(read_audio(tmp_path / "b.wav", 6.0).waveform) == 16000
    streamed = data[:40] + struct.pack("<I", 0xFFFFFFFF) + data[44:]
    (tmp_path / "c.wav").write_bytes(streamed)
    assert len(read_audio(tmp_path / "c.wav", 6.0).waveform) == 16000


def write_corpus(folder: Path, count: int = 6) -> Manifest:
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        soundfile.write(folder / f"{k}.wav", rng.normal(0, 0.1, 4000), 16000)
    return Manifest("x", folder, [Utterance(str(k), f"{k}.wav", "sad") for k in range(count)])


def test_store_key_depends_on_content(tmp_path: Path):
    manifest = write_corpus(tmp_path / "a")
    key = open_store(manifest, 6.0).key
    assert open_store(write_corpus(tmp_path / "b"), 6.0).key == key, "the location does not matter"
    assert open_store(manifest, 0.1).key != key, "the crop matters"
    wave, rate = soundfile.read(tmp_path / "a" / "3.wav")
    stat = (tmp_path / "a" / "3.wav").stat()
    soundfile.write(tmp_path / "a" / "3.wav", wave[::-1], rate)
    os.utime(tmp_path / "a" / "3.wav", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    changed = open_store(manifest, 6.0)
    assert changed.key != key, "a file of the same size, changed"
    np.testing.assert_allclose(changed.waveform(3), wave[::-1], atol=1e-4)


def test_store_names_a_missing_file(tmp_path: Path):
    manifest = write_corpus(tmp_path / "gone")
    (tmp_path / "gone" / "2.wav").unlink()
    store = open_store(manifest, 6.0)
    assert store.bad == {2: "No such file or directory"}
    assert store.lengths.tolist() == [4000, 4000, 0, 4000, 4000, 4000]


def test_open_store_rejects_a_corpus_without_readable_files(tmp_path: Path):
    manifest = write_corpus(tmp_path / "none", 2)
    for path in (tmp_path / "none").iterdir():
        path.write_bytes(b"")
    with pytest.raises(SeenetError, match=r"no audio file of x can be used.*0\.wav': empty"):
        open_store(manifest, 6.0)


COUNT = 400


def _build_manifest(folder: Path) -> Manifest:
    return Manifest("x", folder, [Utterance(str(k), f"{k}.wav", "sad") for k in range(COUNT)])


def _prepare_some(folder: Path, clips: int) -> None:
    """Decode a number of clips, write complete blocks, then wait for a kill."""
    decoded, left = clip_decoder.decode_clip, iter(range(clips))

    def stalling(*arguments: object):
        if next(left, None) is None:
            threading.Event().wait()
        return decoded(*arguments)

    clip_decoder.decode_clip = stalling
    open_store(_build_manifest(folder), 6.0)


def read_store(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_preparation_resumes_after_a_kill(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    """After several SIGKILLs the bytes of the store equal those of an uninterrupted one."""
    write_corpus(tmp_path / "killed", COUNT)
    (tmp_path / "killed" / "77.wav").write_bytes(b"no audio")
    with monkeypatch.context() as patch:
        patch.setenv("SEENET_CACHE", str(tmp_path / "other cache"))
        expected = open_store(_build_manifest(tmp_path / "killed"), 6.0)
    sizes, hang = [0], time.monotonic() + HANG
    for _ in range(3):
        process = multiprocessing.get_context("spawn").Process(target=_prepare_some, args=(tmp_path / "killed", 100))
        process.start()
        while (size := sum(p.stat().st_size for p in (cache / "stores").glob("x-*.part/journal.jsonl"))) <= sizes[-1]:
            assert process.is_alive()
            assert time.monotonic() < hang
            time.sleep(0.005)
        process.kill()
        process.join()
        sizes.append(size)
    capsys.readouterr()
    store = open_store(_build_manifest(tmp_path / "killed"), 6.0)
    assert "resuming the interrupted preparation of x" in capsys.readouterr().out
    assert store.key == expected.key
    assert read_store(store.folder) == read_store(expected.folder)
    assert store.bad.keys() == {77}
    assert not list((cache / "stores").glob("*.part"))


@pytest.mark.parametrize("cut", ["journal", "audio", "both"])
def test_preparation_repeats_an_incomplete_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: str):
    manifest = write_corpus(tmp_path / "cut", 200)
    expected = read_store(open_store(manifest, 6.0).folder)
    monkeypatch.setenv("SEENET_CACHE", str(tmp_path / "cache"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_builder, "_write_index", killed)
        with pytest.raises(KeyboardInterrupt):
            open_store(manifest, 6.0)
    part = next((tmp_path / "cache/stores").glob("*.part"))
    for name, size in (("journal.jsonl", 9001), ("audio.i16", 1000001)):
        if cut == "both" or name.startswith(cut):
            os.truncate(part / name, size)
    assert read_store(open_store(manifest, 6.0).folder) == expected


def _prepare_in_process(folder: Path, queue: multiprocessing.Queue) -> None:
    manifest = Manifest("x", folder, [Utterance(str(k), f"{k}.wav", "sad") for k in range(200)])
    store = open_store(manifest, 6.0)
    queue.put((store.key, int(store.audio[0].astype(np.int64).sum())))


def test_two_processes_build_one_store(tmp_path: Path, cache: Path):
    write_corpus(tmp_path / "two", 200)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=_prepare_in_process, args=(tmp_path / "two", queue)) for _ in range(2)]
    for process in processes:
        process.start()
    results = [queue.get(timeout=HANG) for _ in processes]
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert results[0] == results[1]
    assert len([p for p in (cache / "stores").glob(f"x-{results[0][0]}*") if p.is_dir()]) == 1


@pytest.mark.parametrize("corpora", [1, 2])
def test_pickled_store_maps_its_files(tmp_path: Path, corpora: int):
    """A pickled store contains file names, not samples."""
    parts = {str(k): write_corpus(tmp_path / str(k), 20 + k) for k in range(corpora)}
    for name, part in parts.items():
        part.name = name
    store = open_store(join_corpora("both", parts) if corpora > 1 else parts["0"], 6.0)
    samples = sum(array.nbytes for array in store.audio)
    pickled = pickle.dumps(store)
    assert len(pickled) < samples / 4 + store.index.nbytes
    again = pickle.loads(pickled)
    assert all(isinstance(array, np.memmap) and not array.flags.writeable for array in again.audio)
    np.testing.assert_array_equal(again.index, store.index)
    np.testing.assert_array_equal(again.padded([3, 1, 19]), store.padded([3, 1, 19]))


def test_store_keeps_the_order_of_the_manifest(tmp_path: Path):
    """The manifest has more clips than a block."""
    manifest = write_corpus(tmp_path / "order", 300)
    store = open_store(manifest, 6.0)
    assert threading.active_count() < 20
    for k in (0, 255, 256, 299):
        wave, _ = soundfile.read(tmp_path / "order" / f"{k}.wav", dtype="float32")
        np.testing.assert_allclose(store.waveform(k), wave, atol=1e-6)


def test_store_reads_excerpts_of_a_long_file(tmp_path: Path):
    rng = np.random.default_rng(0)
    wave = rng.integers(-9000, 9000, 32000).astype(np.int16)
    soundfile.write(tmp_path / "long.flac", wave, 16000)
    excerpts = {"a": (0.5, 1.0), "b": (1.0, float("nan")), "c": (float("nan"), 0.25), "d": (1.5, 2.1), "e": (1.0, 1.0)}
    rows = [Utterance(n, "long.flac", "sad", start=start, end=end) for n, (start, end) in excerpts.items()]
    store = open_store(Manifest("cut", tmp_path, rows), 0.75)
    for row, (first, last) in enumerate([(8000, 16000), (16000, 28000), (0, 4000)]):
        assert (store.waveform(row) * 32768 == wave[first:last]).all()
    assert store.index["seconds"][:3].tolist() == [0.5, 1.0, 0.25]
    assert store.bad.keys() == {3, 4}
    assert store.bad[3] == "no excerpt from 1.5 to 2.1 s in a file of 2.00 s"
    moved = [Utterance(r.utterance, r.path, r.emotion, start=r.start, end=1.9) for r in rows]
    assert open_store(Manifest("cut", tmp_path, moved), 0.75).key != store.key


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two seconds of a 440 Hz tone, stereo, as AAC in an mp4 file."""
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(88200) / 44100)).astype(np.float32)
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
        frame.rate = 44100
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return tmp_path / "clip.mp4"


def test_read_audio_reads_the_sound_track_of_a_video(video: Path):
    recording = read_audio(video, 6.0)
    assert (recording.rate, recording.channels) == (44100, 2)
    assert recording.seconds == pytest.approx(2.0, abs=0.05)
    assert find_peak_hertz(recording.waveform) == pytest.approx(440, abs=1)
    assert len(read_audio(video, 0.5).waveform) == 8000
    cut = read_audio(video, 6.0, start=0.5, end=1.0)
    assert len(cut.waveform) == 8000
    assert cut.seconds == 0.5


def test_bad_file_is_read_when_it_becomes_readable(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A change of permissions changes neither size nor time of the file."""
    soundfile.write(tmp_path / "a.wav", np.full(1000, 0.1), 16000)
    manifest = Manifest("films", tmp_path, [Utterance("a", "a.wav", "sad"), Utterance("b", video.name, "happy")])

    def refused(path: Path, *arguments: float):
        if path.name == video.name:
            raise UnreadableAudioError("Permission denied")
        return read_audio(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(clip_decoder, "read_audio", refused)
        assert open_store(manifest, 6.0).bad.keys() == {1}
        assert open_store(manifest, 6.0).bad.keys() == {1}
    assert open_store(manifest, 6.0).bad == {}


def damage(path: Path, how: str) -> None:
    size = path.stat().st_size
    if how == "removed":
        path.unlink()
    elif how == "emptied":
        path.write_bytes(b"")
    elif how == "cut":
        os.truncate(path, size // 3)
    else:
        path.write_bytes({"zeroed": bytes(size), "garbage": np.random.default_rng(0).bytes(size)}[how])


@pytest.mark.parametrize("how", ["removed", "emptied", "cut", "zeroed", "garbage"])
@pytest.mark.parametrize("name", ["audio.i16", "index.npy", "bad_files.csv", "remarks.json", "link"])
def test_damaged_store_is_rebuilt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, name: str, how: str):
    manifest = write_corpus(tmp_path / "x", 5)
    (tmp_path / "x/3.wav").write_bytes(b"")
    soundfile.write(tmp_path / "x/4.wav", np.array([[1, -1]] * 4000) * 0.1, 16000)  # with a remark
    monkeypatch.setenv("SEENET_CACHE", str(tmp_path / "cache"))
    store = open_store(manifest, 6.0)
    assert (store.bad.keys(), store.remarks.keys()) == ({3}, {4})
    expected = read_store(store.folder)
    path = next((tmp_path / "cache/stores").glob("*.link")) if name == "link" else store.folder / name
    damage(path, how)
    capsys.readouterr()
    again = open_store(manifest, 6.0)
    assert read_store(again.folder) == expected
    assert (again.key, again.bad, again.remarks) == (store.key, store.bad, store.remarks)
    # without the link the store is built again and found to be equal
    assert ("rebuilding the damaged store of x" in capsys.readouterr().out) == ((name, how) != ("link", "removed"))


@pytest.mark.parametrize("how", ["emptied", "cut", "zeroed", "garbage"])
@pytest.mark.parametrize("name", ["journal.jsonl", "audio.i16"])
def test_damaged_preparation_resumes_from_its_valid_part(tmp_path: Path, monkeypatch, name: str, how: str):
    manifest = write_corpus(tmp_path / "x", 100)
    expected = read_store(open_store(manifest, 6.0).folder)
    monkeypatch.setenv("SEENET_CACHE", str(tmp_path / "cache"))
    with monkeypatch.context() as patch:
        patch.setattr(store_builder, "_write_index", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            open_store(manifest, 6.0)
    damage(next((tmp_path / "cache/stores").glob("*.part")) / name, how)
    assert read_store(open_store(manifest, 6.0).folder) == expected


@pytest.mark.parametrize("moment", ["finished", "linked", "renamed"])
def test_kill_at_the_end_decodes_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str):
    manifest = write_corpus(tmp_path / "late", 5)
    expected = read_store(open_store(manifest, 6.0).folder)
    monkeypatch.setenv("SEENET_CACHE", str(tmp_path / "cache"))
    function = {"finished": "atomic_write_text", "linked": "hold_lock", "renamed": "_remove_abandoned"}[moment]
    original, calls = getattr(store_builder, function), []

    def killed(*arguments: object):
        calls.append(arguments)
        if moment == "linked" and len(calls) == 1:  # the first lock is that of the preparation
            return original(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_builder, function, killed)
        with pytest.raises(KeyboardInterrupt):
            open_store(manifest, 6.0)

    def never(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(clip_decoder, "decode_clip", never)
    assert read_store(open_store(manifest, 6.0).folder) == expected


def test_read_audio_reads_stream_headers_and_ignores_the_name(write_tone, tmp_path: Path):
    data = write_tone(tmp_path / "a.wav").read_bytes()
    (tmp_path / "sox.wav").write_bytes(data[:40] + struct.pack("<I", 0x7FFFF000) + data[44:])
    assert len(read_audio(tmp_path / "sox.wav", 6.0).waveform) == 16000
    (tmp_path / "a.raw").write_bytes(data)
    assert len(read_audio(tmp_path / "a.raw", 6.0).waveform) == 16000, "the content decides, not the name"
    assert len(read_audio(tmp_path / "a.wav", 6.0, start=0.5, end=1.004).waveform) == 8000, "a table rounds"


@pytest.mark.parametrize(("start", "end"), [(-1.0, 1.0), (0.5, 60.0), (1.0, 0.5), (5.0, 6.0)])
def test_read_audio_rejects_excerpts_outside_a_video(video: Path, start: float, end: float):
    with pytest.raises(UnreadableAudioError, match="no excerpt|no samples"):
        read_audio(video, 6.0, start=start, end=end)


def test_read_audio_seeks_an_excerpt_of_a_video(tmp_path: Path):
    """Four tones of one second; reading seeks to the third."""
    tones = [0.3 * np.sin(2 * np.pi * hertz * np.arange(44100) / 44100) for hertz in (300, 500, 700, 900)]
    wave = np.concatenate(tones).astype(np.float32)
    with av.open(str(tmp_path / "tones.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
        frame.rate = 44100
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    cut = read_audio(tmp_path / "tones.mp4", 6.0, start=2.05, end=2.95).waveform
    assert len(cut) == 14400
    assert find_peak_hertz(cut) == pytest.approx(700, abs=2)
    spectrum = np.abs(np.fft.rfft(cut * np.hanning(len(cut))))
    assert spectrum[np.abs(np.fft.rfftfreq(len(cut), 1 / 16000) - 700) > 30].max() < 0.02 * spectrum.max()
