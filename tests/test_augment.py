"""Augmentation: exact values with frozen draws, physics, and what must stay as it was."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from conftest import pad
from seenet.augment import ebm, mixup
from seenet.augment.base import integers
from seenet.augment.none import Identity
from seenet.data.batch import Batch
from seenet.noise.clean import Clean
from seenet.noise.white import White


def make_batch(lengths: list[int], partner_lengths: list[int], seed: int = 0, noise: float = 0.1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    clips = [noise * torch.randn(n, generator=generator) for n in lengths]
    partners = [3 * noise * torch.randn(n, generator=generator) for n in partner_lengths]
    waveform, sizes = pad(clips)
    partner, partner_sizes = pad(partners)
    zeros = torch.zeros(len(clips), dtype=torch.long)
    labels = torch.arange(len(clips)) % 4
    return Batch(waveform, sizes, labels, zeros, zeros, torch.arange(len(clips)), partner, partner_sizes)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ebm_loop(batch: Batch, draws: ebm.Draws) -> np.ndarray:
    """EBM of Li et al. 2025, one clip at a time, from the formula, in float64."""
    out = batch.waveform.double().numpy().copy()
    for i in range(len(batch)):
        clip = batch.waveform[i, : batch.lengths[i]].double().numpy()
        partner = batch.partner[i, : batch.partner_lengths[i]].double().numpy()
        r, length = int(draws.ratio_db[i]), int(draws.length[i])
        start, partner_start = int(draws.start[i]), int(draws.partner_start[i])
        power, partner_power = np.mean(clip**2), np.mean(partner**2)
        if power > 0 and partner_power > 0:
            s = math.sqrt(power / (10 ** (r / 10) * partner_power))
            out[i, start : start + length] += s * partner[partner_start : partner_start + length]
    return out


LENGTHS = [16000, 9000, 24000, 4001, 1, 700, 12000, 800]
PARTNERS = [8000, 30000, 500, 4001, 50, 1, 12000, 20000]


@pytest.mark.parametrize("seed", range(5))
def test_ebm_equals_the_plain_loop(seed: int):
    batch = make_batch(LENGTHS, PARTNERS, seed)
    augmentation = ebm.EnergyBasedMixup()
    draws = augmentation.draw(batch, generator(seed))
    mixed = augmentation.apply(batch, draws)
    np.testing.assert_allclose(mixed.waveform.numpy(), ebm_loop(batch, draws), atol=1e-5, rtol=0)
    assert mixed.labels is batch.labels


def test_ebm_outside_the_piece_every_bit_stays():
    batch = make_batch(LENGTHS, PARTNERS)
    augmentation = ebm.EnergyBasedMixup()
    draws = augmentation.draw(batch, generator())
    mixed = augmentation.apply(batch, draws).waveform
    changed = 0
    for i in range(len(batch)):
        start, end = int(draws.start[i]), int(draws.start[i] + draws.length[i])
        assert torch.equal(mixed[i, :start], batch.waveform[i, :start])
        assert torch.equal(mixed[i, end:], batch.waveform[i, end:])
        assert not mixed[i, batch.lengths[i] :].any(), "the padding stays zero"
        changed += int(not torch.equal(mixed[i], batch.waveform[i]))
    assert changed >= 5


@pytest.mark.parametrize("ratio", range(-5, 6))
def test_ebm_realises_the_ratio(ratio: int):
    """A stationary partner (a sine over whole periods): clip power over the piece's power is r dB."""
    length = 16000
    time = torch.arange(length) / 16000
    clip = 0.2 * torch.sin(2 * torch.pi * 300 * time)
    partner = 0.05 * torch.sin(2 * torch.pi * 500 * time)
    batch = replace(make_batch([length], [length]), waveform=clip[None], partner=partner[None])
    draws = ebm.Draws(*(torch.tensor([v]) for v in (ratio, 6400, 1234, 3200)))
    piece = (ebm.EnergyBasedMixup().apply(batch, draws).waveform - clip)[0, 1234 : 1234 + 6400]
    realised = 10 * math.log10(float(clip.square().mean() / piece.square().mean()))
    assert realised == pytest.approx(ratio, abs=0.01)


def test_ebm_draws_follow_the_paper():
    count = 4000
    augmentation = ebm.EnergyBasedMixup()
    batch = make_batch([101] * count, [60] * count)
    draws = augmentation.draw(batch, generator())
    assert chisquare(torch.bincount(draws.ratio_db + 5).numpy()).pvalue > 1e-3
    assert chisquare(torch.bincount(draws.length, minlength=51).numpy()).pvalue > 1e-3, "0 to 50, both included"
    assert (draws.start >= 0).all()
    assert (draws.start + draws.length <= 101).all()
    assert (draws.partner_start + draws.length <= 60).all()
    whole = draws.length == 0
    assert chisquare(torch.bincount(draws.start[whole] // 17, minlength=6).numpy()).pvalue > 1e-3


def test_ebm_uses_a_short_partner_whole():
    batch = make_batch([1000] * 500, [3] * 500)
    draws = ebm.EnergyBasedMixup().draw(batch, generator())
    assert draws.length.max() == 3
    assert (draws.partner_start[draws.length == 3] == 0).all()
    assert torch.isfinite(ebm.EnergyBasedMixup().apply(batch, draws).waveform).all()


def test_ebm_leaves_silence_alone():
    batch = make_batch([1000, 1000, 1000], [1000, 1000, 1000])
    waveform, partner = batch.waveform.clone(), batch.partner.clone()
    waveform[0], partner[1] = 0, 0
    waveform[2], partner[2] = 1e-30, 1e-30  # their powers vanish in float32
    silent = replace(batch, waveform=waveform, partner=partner)
    mixed = ebm.EnergyBasedMixup()(silent, generator()).waveform
    assert torch.isfinite(mixed).all()
    assert torch.equal(mixed[:2], waveform[:2])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_ebm_is_safe_in_half_precision(dtype: torch.dtype):
    batch = make_batch([48000] * 4, [48000] * 4)
    augmentation = ebm.EnergyBasedMixup()
    draws = augmentation.draw(batch, generator())
    half = replace(batch, waveform=batch.waveform.to(dtype), partner=batch.partner.to(dtype))
    mixed = augmentation.apply(half, draws).waveform
    assert mixed.dtype == dtype
    torch.testing.assert_close(mixed.float(), augmentation.apply(batch, draws).waveform, atol=0.02, rtol=0.02)


def test_integers_reach_both_ends():
    drawn = integers(torch.full((6000,), 2), generator())
    assert chisquare(torch.bincount(drawn).numpy()).pvalue > 1e-3
    assert integers(torch.zeros(10, dtype=torch.long), generator()).tolist() == [0] * 10


def test_mixup_equals_the_plain_loop():
    batch = make_batch(LENGTHS, PARTNERS)
    ratio = torch.tensor([0.3, 0.1, 0.2, 0.0, 0.25, 0.05, 0.15, 0.3])
    mixed = mixup.Mixup().apply(batch, mixup.Draws(ratio)).waveform
    for i, length in enumerate(LENGTHS):
        clip = batch.waveform[i, :length].double()
        partner = batch.partner[i, : PARTNERS[i]].double()[:length]
        mean = batch.partner[i, : PARTNERS[i]].double().mean()
        partner = torch.cat([partner, mean.expand(length - len(partner))])
        r = float(ratio[i])
        np.testing.assert_allclose(mixed[i, :length].double(), (1 - r) * clip + r * partner, atol=1e-6)
        assert not mixed[i, length:].any()
    assert torch.equal(mixed[3], batch.waveform[3])


def test_mixup_draws():
    draws = mixup.Mixup().draw(make_batch([10] * 4000, [10] * 4000), generator())
    changed = draws.ratio > 0
    assert changed.float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert draws.ratio.max() <= 0.3
    assert draws.ratio[changed].mean().item() == pytest.approx(0.15, abs=0.005)


@pytest.mark.parametrize("augmentation", [ebm.EnergyBasedMixup(), mixup.Mixup(), Identity()])
def test_the_contract(augmentation):
    """Same generator, same batch; partners are dropped; only Identity is the identity."""
    batch = make_batch(LENGTHS, PARTNERS)
    first, second = augmentation(batch, generator(3)), augmentation(batch, generator(3))
    assert torch.equal(first.waveform, second.waveform)
    assert first.partner is None
    assert torch.equal(first.waveform, batch.waveform) == isinstance(augmentation, Identity)
    assert torch.equal(batch.waveform, make_batch(LENGTHS, PARTNERS).waveform), "the batch given is not changed"


@pytest.mark.parametrize("snr", [20.0, 0.0, -5.0])
def test_white_noise_has_the_stated_ratio_whatever_the_batch(snr: float):
    batch = make_batch([16000, 9000, 300], [1, 1, 1])
    noisy = White(snr)(batch).waveform
    for i, length in enumerate([16000, 9000, 300]):
        noise = (noisy - batch.waveform)[i, :length]
        realised = 10 * math.log10(float(batch.waveform[i, :length].square().mean() / noise.square().mean()))
        assert realised == pytest.approx(snr, abs=0.01)
        assert not noisy[i, length:].any()
    alone = replace(batch, waveform=batch.waveform[1:2, :9000], lengths=batch.lengths[1:2], indices=batch.indices[1:2])
    assert torch.equal(White(snr)(alone).waveform[0], noisy[1, :9000])
    silent = replace(batch, waveform=torch.zeros_like(batch.waveform))
    assert not White(snr)(silent).waveform.any()
    assert Clean()(batch) is batch
