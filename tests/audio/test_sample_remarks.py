"""Remarks on decoded samples: another scale, and channels that cancel."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from seenet.audio.reading import read_audio
from support.audio_files import tones


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_integers_in_a_float_file_are_remarked(tmp_path: Path, subtype: str, bits: int):
    wave = np.round(tones(16000).astype(np.float64) * 3 * 2 ** (bits - 1))
    soundfile.write(tmp_path / "x", wave, 16000, subtype=subtype, format="WAV")
    found = read_audio(tmp_path / "x", 6.0)
    assert found.clipped == 0
    ((kind, line),) = found.remarks
    assert kind == "integers"
    assert f"divide them by {2 ** (bits - 1)}" in line


def test_floats_of_another_scale_are_remarked(tmp_path: Path):
    soundfile.write(tmp_path / "x", 20000 * tones(16000), 16000, subtype="FLOAT", format="WAV")
    assert [kind for kind, _ in read_audio(tmp_path / "x", 6.0).remarks] == ["scale"]
    soundfile.write(tmp_path / "x", 6 * tones(16000), 16000, subtype="FLOAT", format="WAV")
    found = read_audio(tmp_path / "x", 6.0)
    assert found.remarks == ()
    assert found.clipped > 0.3


@pytest.mark.parametrize(
    ("gains", "is_remarked"),
    [((1, -1), True), ((1, -0.8), True), ((1, 1), False), ((1, 0), False), ((1, 0, 0, 0, 0, 0), False)],
)
def test_channels_that_cancel_are_remarked(tmp_path: Path, gains: tuple[float, ...], is_remarked: bool):
    wave = tones(16000)[:, None] * np.array(gains)
    soundfile.write(tmp_path / "x", wave, 16000, format="WAV")
    assert [kind for kind, _ in read_audio(tmp_path / "x", 6.0).remarks] == ["channels"] * is_remarked


def test_channels_with_different_noise_do_not_cancel(tmp_path: Path):
    noise = np.random.default_rng(0).normal(0, 0.1, (16000, 6))
    soundfile.write(tmp_path / "x", noise, 16000, format="WAV")
    assert read_audio(tmp_path / "x", 6.0).remarks == ()
