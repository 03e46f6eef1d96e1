"""Synthetic corpus: deterministic, cached, complete, with the requested acoustics."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seenet.core.errors import SeenetError
from seenet.corpora.synthetic.corpus import read
from seenet.corpora.synthetic.synthesizer import CUES, EMOTION_CUES, RATE, synthesize_sentence
from seenet.corpora.vocabulary import CLASS_SETS


def digests(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.wav")}


def test_same_seed_generates_the_same_bytes():
    manifest = read(speakers=2, clips=1)
    first = digests(manifest.root)
    shutil.rmtree(manifest.root)
    assert digests(read(speakers=2, clips=1).root) == first
    assert digests(read(speakers=2, clips=1, seed=1).root) != first
    more = digests(read("eight", speakers=3, clips=2).root)
    assert all(more[name] == digest for name, digest in first.items()), "a larger corpus contains the smaller one"


def test_read_reuses_the_cached_corpus():
    manifest = read(speakers=2, clips=1)
    times = {p: p.stat().st_mtime_ns for p in manifest.root.rglob("*")}
    assert {p: p.stat().st_mtime_ns for p in read(speakers=2, clips=1).root.rglob("*")} == times


def test_synthetic_corpus_fills_fields_and_declares_itself():
    manifest = read("eight", speakers=3, clips=2)
    assert len(manifest) == 3 * 8 * 2
    assert {row.emotion for row in manifest} == set(CLASS_SETS["eight"])
    assert {(row.speaker, row.gender) for row in manifest} == {
        ("speaker01", "male"),
        ("speaker02", "female"),
        ("speaker03", "male"),
    }
    assert manifest.synthetic
    assert "SYNTHETIC" in (manifest.root / "README.md").read_text()
    for i in range(len(manifest)):
        wave, rate = soundfile.read(manifest.audio_path(i))
        assert rate == RATE
        assert 0.5 < len(wave) / rate < 4
        assert 0.01 < np.abs(wave).max() < 1


def estimate_f0(wave: np.ndarray) -> float:
    """Return the frequency of the strongest autocorrelation between 60 and 400 Hz."""
    middle = wave[len(wave) // 3 : 2 * len(wave) // 3]
    correlation = np.correlate(middle, middle, "full")[len(middle) :]
    low, high = RATE // 400, RATE // 60
    return RATE / (low + 1 + int(np.argmax(correlation[low:high])))


def test_synthesizer_follows_its_cues():
    """F0 and energy have the requested values, tilt increases brightness, rate shortens the clip."""
    plain = dict(zip(CUES, EMOTION_CUES["neutral"], strict=True)) | {
        "range": 0.0, "slope": 0.0, "final": 0.0, "jitter": 0.0, "shimmer": 0.0, "breath": 0.0,
    }  # fmt: skip

    def voice(**cues: float) -> np.ndarray:
        vector = np.array(list((plain | cues).values()))
        return synthesize_sentence("aaaaaaaaaaaa", vector, 120.0, 1.0, np.random.default_rng(0))

    assert estimate_f0(voice()) == pytest.approx(120, rel=0.03)
    assert estimate_f0(voice(level=7)) == pytest.approx(120 * 2 ** (7 / 12), rel=0.03)
    assert np.sqrt(np.mean(voice(energy=6) ** 2) / np.mean(voice() ** 2)) == pytest.approx(10 ** (6 / 20), rel=1e-6)
    assert len(voice(rate=0.3)) < 0.85 * len(voice())

    def brightness(wave: np.ndarray) -> float:
        power = np.abs(np.fft.rfft(wave)) ** 2
        return power[len(power) // 4 :].sum() / power.sum()

    assert brightness(voice(tilt=3)) > 2 * brightness(voice(tilt=0))


@pytest.mark.parametrize("wrong", [{"speakers": 0}, {"clips": 0}, {"seed": -1}, {"emotions": ["happy", "bored"]}])
def test_read_rejects_invalid_settings(wrong):
    with pytest.raises(SeenetError):
        read(**wrong)
