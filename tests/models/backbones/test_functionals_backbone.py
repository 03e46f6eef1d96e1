"""Acoustic functionals: known tones and levels, padding, degenerate clips."""

import numpy as np
import pytest
import torch

from seenet.core.errors import SeenetError
from seenet.models.backbones.functionals_backbone import FUNCTIONALS, GROUPS, RATE, FunctionalsBackbone
from seenet.models.backbones.pretrained_weights import Weights
from support.backbones import make_clips
from support.batches import pad


def make_backbone(*features: str) -> FunctionalsBackbone:
    return FunctionalsBackbone("functionals", Weights(None), list(features or GROUPS))


def describe(backbone: FunctionalsBackbone, clip: np.ndarray) -> torch.Tensor:
    waveform = torch.from_numpy(clip.astype(np.float32))[None]
    return backbone(waveform, torch.tensor([len(clip)]))[0][0, 0]


def test_padded_equals_alone():
    backbone = make_backbone()
    frames, mask = backbone(*pad(make_clips()))
    assert frames.shape == (len(make_clips()), 1, backbone.dim)
    assert mask.all()
    for row, clip in zip(frames, make_clips(), strict=True):
        torch.testing.assert_close(row[0], describe(backbone, clip.numpy()), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("hertz", [110.0, 220.0, 330.0])
def test_pitch_of_a_tone_is_its_frequency(hertz: float):
    time = np.arange(RATE) / RATE
    tone = sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, 6))
    mean, deviation = describe(make_backbone("pitch"), 0.1 * tone)[:2].tolist()
    assert mean == pytest.approx(12 * np.log2(hertz / 27.5), abs=0.2)
    assert deviation < 0.5


def test_gain_moves_the_level_alone():
    rng = np.random.default_rng(0)
    clip = 0.02 * rng.normal(size=RATE) * (1 + np.sin(np.arange(RATE) / 900))
    quiet, loud = (describe(make_backbone("loudness"), gain * clip) for gain in (1.0, 2.0))
    gain_db = 20 * np.log10(2)
    expected = quiet + torch.tensor([gain_db, 0, 0, gain_db, gain_db, gain_db])
    torch.testing.assert_close(loud, expected.float(), atol=1e-2, rtol=0)
    quiet, loud = (describe(make_backbone("pitch", "spectral"), gain * clip) for gain in (1.0, 2.0))
    torch.testing.assert_close(quiet, loud, atol=1e-2, rtol=1e-3)


@pytest.mark.parametrize("samples", [1, 160, 1023, 4000])
def test_degenerate_clips_have_finite_values(samples: int):
    for clip in (np.zeros(samples), np.full(samples, 0.5), np.ones(samples) * 1e-7):
        assert torch.isfinite(describe(make_backbone(), clip)).all()


def test_width_follows_the_groups():
    for name, (count, _) in GROUPS.items():
        assert make_backbone(name).dim == FUNCTIONALS * count == len(describe(make_backbone(name), np.ones(5000)))


@pytest.mark.parametrize("features", [[], ["mfcc", "mfcc"], ["timbre"]])
def test_wrong_groups_are_named(features: list[str]):
    with pytest.raises(SeenetError, match=r"backbone\.features=.*loudness, pitch, mfcc, spectral"):
        FunctionalsBackbone("functionals", Weights(None), features)
