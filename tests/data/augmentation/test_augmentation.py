"""Augmentations: exact values with fixed draws, physical ratios, and invariants."""

import math
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from scipy.stats import chisquare, kstest

from seenet.core.errors import SeenetError
from seenet.core.paths import conf_dir
from seenet.data.augmentation import ebm, gaussian_noise, mixup, pitch_shift, time_stretch
from seenet.data.augmentation.base import draw_integers
from seenet.data.augmentation.chain import Chain, build_augmentation
from seenet.data.augmentation.identity import Identity
from seenet.data.batch import Batch, length_mask
from support.batches import batch_of
from support.device_guards import no_waiting


def make_batch(lengths: list[int], partner_lengths: list[int], seed: int = 0, noise: float = 0.1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    clips = [noise * torch.randn(n, generator=generator) for n in lengths]
    partners = [3 * noise * torch.randn(n, generator=generator) for n in partner_lengths]
    return batch_of(clips, partners)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def compute_ebm_plainly(batch: Batch, draws: ebm.EbmDraws) -> np.ndarray:
    """Compute EBM of Li et al. 2025 clip by clip, from the formula, in float64."""
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
def test_ebm_equals_the_formula(seed: int):
    batch = make_batch(LENGTHS, PARTNERS, seed)
    augmentation = ebm.EnergyBasedMixup()
    draws = augmentation.draw(batch, generator(seed))
    mixed = augmentation.apply(batch, draws)
    np.testing.assert_allclose(mixed.waveform.numpy(), compute_ebm_plainly(batch, draws), atol=1e-5, rtol=0)
    assert mixed.labels is batch.labels


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_ebm_equals_bit_by_bit_on_cpu_and_gpu_code_paths(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch):
    """A CPU mixes clip by clip, a GPU all at once; the batch has silent clips and partners."""
    batch = make_batch(LENGTHS, PARTNERS)
    batch.waveform[2], batch.partner[3] = 0, 0
    batch = replace(batch, waveform=batch.waveform.to(dtype), partner=batch.partner.to(dtype))
    augmentation = ebm.EnergyBasedMixup()
    draws = augmentation.draw(batch, generator())
    clip_by_clip = augmentation.apply(batch, draws).waveform
    monkeypatch.setattr(ebm, "_mix_clip_by_clip", ebm._mix_vectorized)
    assert torch.equal(augmentation.apply(batch, draws).waveform, clip_by_clip)


def test_ebm_changes_no_bit_outside_the_segment():
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
def test_ebm_realises_the_drawn_ratio(ratio: int):
    """For a stationary partner, clip power over segment power is r dB."""
    length = 16000
    time = torch.arange(length) / 16000
    clip = 0.2 * torch.sin(2 * torch.pi * 300 * time)
    partner = 0.05 * torch.sin(2 * torch.pi * 500 * time)
    batch = replace(make_batch([length], [length]), waveform=clip[None], partner=partner[None])
    draws = ebm.EbmDraws(*(torch.tensor([v]) for v in (ratio, 6400, 1234, 3200)))
    segment = (ebm.EnergyBasedMixup().apply(batch, draws).waveform - clip)[0, 1234 : 1234 + 6400]
    realised = 10 * math.log10(float(clip.square().mean() / segment.square().mean()))
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
    is_empty = draws.length == 0
    assert chisquare(torch.bincount(draws.start[is_empty] // 17, minlength=6).numpy()).pvalue > 1e-3


def test_ebm_uses_a_short_partner_entirely():
    batch = make_batch([1000] * 500, [3] * 500)
    draws = ebm.EnergyBasedMixup().draw(batch, generator())
    assert draws.length.max() == 3
    assert (draws.partner_start[draws.length == 3] == 0).all()
    assert torch.isfinite(ebm.EnergyBasedMixup().apply(batch, draws).waveform).all()


def test_ebm_keeps_clips_when_clip_or_partner_is_silent():
    batch = make_batch([1000, 1000, 1000], [1000, 1000, 1000])
    waveform, partner = batch.waveform.clone(), batch.partner.clone()
    waveform[0], partner[1] = 0, 0
    waveform[2], partner[2] = 1e-30, 1e-30  # their power underflows in float32
    silent = replace(batch, waveform=waveform, partner=partner)
    mixed = ebm.EnergyBasedMixup()(silent, generator()).waveform
    assert torch.isfinite(mixed).all()
    assert torch.equal(mixed[:2], waveform[:2])


def test_draw_integers_includes_both_bounds():
    drawn = draw_integers(torch.full((6000,), 2), generator())
    assert chisquare(torch.bincount(drawn).numpy()).pvalue > 1e-3
    assert draw_integers(torch.zeros(10, dtype=torch.long), generator()).tolist() == [0] * 10


def test_mixup_equals_the_formula():
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


def test_mixup_draws_follow_the_settings():
    draws = mixup.Mixup().draw(make_batch([10] * 4000, [10] * 4000), generator())
    changed = draws.ratio > 0
    assert changed.float().mean().item() == pytest.approx(0.5, abs=0.03)
    assert draws.ratio.max() <= 0.3
    assert draws.ratio[changed].mean().item() == pytest.approx(0.15, abs=0.005)


def test_gaussian_noise_realises_the_drawn_ratio():
    """The ratio holds over the valid samples of each clip, for all lengths and levels."""
    lengths = [32000, 9000, 300, 16000, 20000]
    batch = make_batch(lengths, lengths)
    batch = replace(batch, waveform=batch.waveform * torch.tensor([1.0, 0.01, 3.0, 0.1, 1.0])[:, None])
    snr = torch.tensor([0.0, 7.3, 20.0, 12.5, torch.inf])
    noise = torch.randn(batch.waveform.shape, generator=generator())
    noisy = gaussian_noise.GaussianSNR().apply(batch, gaussian_noise.Draws(snr, noise)).waveform
    for i, length in enumerate(lengths[:4]):
        added = (noisy - batch.waveform)[i, :length].double()
        realised = 10 * math.log10(float(batch.waveform[i, :length].double().square().mean() / added.square().mean()))
        assert realised == pytest.approx(float(snr[i]), abs=0.05)
    assert torch.equal(noisy[4], batch.waveform[4])


def test_gaussian_noise_is_white_and_gaussian():
    batch = make_batch([64000], [1])
    draws = gaussian_noise.GaussianSNR(probability=1).draw(batch, generator())
    added = (gaussian_noise.GaussianSNR().apply(batch, draws).waveform - batch.waveform)[0].double().numpy()
    assert kstest(added / added.std(), "norm").pvalue > 1e-3
    lagged = [np.corrcoef(added[:-k], added[k:])[0, 1] for k in (1, 2, 3, 10)]
    assert np.abs(lagged).max() < 4 / math.sqrt(len(added))


@pytest.mark.parametrize(
    ("augmentation", "field", "low", "high", "unchanged"),
    [
        (gaussian_noise.GaussianSNR(), "snr_db", 0, 20, math.inf),
        (time_stretch.TimeStretch(), "rate", 0.9, 1.1, 1),
        (pitch_shift.PitchShift(), "semitones", -4, 4, 0),
    ],
)
def test_draws_are_uniform_and_change_half_of_the_clips(
    augmentation, field: str, low: float, high: float, unchanged: float
):
    drawn = getattr(augmentation.draw(make_batch([10] * 4000, [1]), generator()), field)
    changed = drawn[drawn != unchanged]
    assert len(changed) / 4000 == pytest.approx(0.5, abs=0.03)
    assert kstest((changed.numpy() - low) / (high - low), "uniform").pvalue > 1e-3


EVERY = [
    ebm.EnergyBasedMixup(),
    mixup.Mixup(),
    gaussian_noise.GaussianSNR(),
    time_stretch.TimeStretch(),
    pitch_shift.PitchShift(),
    Chain([time_stretch.TimeStretch(), ebm.EnergyBasedMixup(), pitch_shift.PitchShift()]),
    Identity(),
]


def test_every_shipped_augmentation_is_in_the_contract_tests(config):
    files = {path.stem for path in (conf_dir() / "aug").glob("*.yaml")}
    assert {type(build_augmentation(config(f"aug={name}").aug)) for name in files} == {type(a) for a in EVERY} - {Chain}


@pytest.mark.parametrize("augmentation", EVERY, ids=lambda a: type(a).__name__)
def test_augmentation_obeys_the_contract(augmentation):
    """Equal seeds give equal batches, labels stay, padding is zero, partners are dropped."""
    batch = make_batch(LENGTHS, PARTNERS)
    first, second = augmentation(batch, generator(3)), augmentation(batch, generator(3))
    assert torch.equal(first.waveform, second.waveform)
    assert first.partner is None
    assert first.labels is batch.labels
    assert torch.isfinite(first.waveform).all()
    assert not first.waveform[~length_mask(first.lengths, first.waveform.shape[1])].any()
    is_unchanged = first.waveform.shape == batch.waveform.shape and torch.equal(first.waveform, batch.waveform)
    assert is_unchanged == isinstance(augmentation, Identity)
    assert torch.equal(batch.waveform, make_batch(LENGTHS, PARTNERS).waveform), "the input batch is not changed"


def select_draws(draws: Any, row: int, length: int) -> Any:
    """Return the draws of one clip."""
    values = {f.name: getattr(draws, f.name)[row : row + 1] for f in fields(draws)}
    return type(draws)(**{name: value[..., :length] if value.dim() > 1 else value for name, value in values.items()})


@pytest.mark.parametrize("augmentation", EVERY[:5], ids=lambda a: type(a).__name__)
def test_augmented_clip_does_not_depend_on_its_batch(augmentation):
    batch = make_batch(LENGTHS, PARTNERS)
    draws = augmentation.draw(batch, generator(1))
    together = augmentation.apply(batch, draws)
    for i, (length, partner) in enumerate(zip(LENGTHS, PARTNERS, strict=True)):
        single = batch_of([batch.waveform[i, :length]], [batch.partner[i, :partner]])
        alone = augmentation.apply(single, select_draws(draws, i, length))
        assert alone.lengths[0] == together.lengths[i]
        size = int(alone.lengths[0])
        torch.testing.assert_close(alone.waveform[0, :size], together.waveform[i, :size], atol=1e-5, rtol=0)


@pytest.mark.parametrize("augmentation", EVERY[2:5], ids=lambda a: type(a).__name__)
def test_unchanged_clips_keep_every_bit(augmentation):
    batch = make_batch(LENGTHS, PARTNERS)
    changed = augmentation(batch, generator(4))
    size = batch.waveform.shape[1]
    is_kept = [torch.equal(old, new[:size]) for old, new in zip(batch.waveform, changed.waveform, strict=True)]
    draws = augmentation.draw(batch, generator(4))
    drawn = next(getattr(draws, f.name) for f in fields(draws))
    unchanged = {"snr_db": math.inf, "rate": 1, "semitones": 0}[fields(draws)[0].name]
    assert is_kept == (drawn == unchanged).tolist()
    assert 0 < sum(is_kept) < len(is_kept)
    never = type(augmentation)(probability=0)(batch, generator())
    assert torch.equal(never.waveform[:, :size], batch.waveform)
    assert torch.equal(never.lengths, batch.lengths)


@pytest.mark.parametrize("augmentation", EVERY, ids=lambda a: type(a).__name__)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_augmentation_supports_half_precision(augmentation, dtype: torch.dtype):
    batch = make_batch([20000] * 4, [20000] * 4)
    half = replace(batch, waveform=batch.waveform.to(dtype), partner=batch.partner.to(dtype))
    low, full = augmentation(half, generator()).waveform, augmentation(batch, generator()).waveform
    assert low.dtype == dtype
    torch.testing.assert_close(low.float(), full, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("augmentation", EVERY, ids=lambda a: type(a).__name__)
def test_augmentation_keeps_silence(augmentation):
    batch = make_batch(LENGTHS, PARTNERS, noise=0)
    assert not augmentation(batch, generator()).waveform.any(), "any() is also true for NaN"


WINDOW = torch.hann_window(64)


@pytest.mark.parametrize("augmentation", EVERY, ids=lambda a: type(a).__name__)
def test_augmentation_does_not_synchronise_with_the_device(augmentation, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ebm, "_mix_clip_by_clip", ebm._mix_vectorized)  # the code path of a GPU
    batch, random = make_batch(LENGTHS, PARTNERS), generator()
    with no_waiting():
        augmentation(batch, random)


@pytest.mark.parametrize(
    "waiting",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).any()),
        lambda x: x[x > 0],
        lambda x: x.sum(1).tolist(),
        lambda x: x.cpu(),
        lambda x: torch.bincount(x[0].abs().long()),
        lambda x: torch.istft(torch.stft(x, 64, window=WINDOW, return_complex=True), 64, window=WINDOW),
    ],
)
def test_no_waiting_raises_when_code_synchronises(waiting):
    with pytest.raises(AssertionError), no_waiting():
        waiting(torch.randn(2, 4000))


class Halve(Identity):
    """An augmentation that keeps the first half of each clip."""

    def apply(self, batch: Batch, draws: None) -> Batch:
        lengths = batch.lengths // 2
        waveform = torch.where(length_mask(lengths, batch.waveform.shape[1]), batch.waveform, 0)
        return replace(batch, waveform=waveform, lengths=lengths)


def test_chain_applies_its_steps_in_order():
    """The second step draws for the halved lengths that the first step returns."""
    batch = make_batch([4000] * 50, [9000] * 50)
    first, second = Halve(), ebm.EnergyBasedMixup()
    chain = Chain([first, second])
    assert chain.needs_partner
    assert not Chain([first, pitch_shift.PitchShift()]).needs_partner
    random = generator()
    expected = second(first.draw_and_apply(batch, random), random)
    augmented = chain(batch, generator())
    assert torch.equal(augmented.waveform, expected.waveform)
    assert augmented.lengths.tolist() == [2000] * 50
    draws = chain.draw(batch, generator())
    assert torch.equal(chain.apply(batch, draws).waveform, expected.waveform)
    assert (draws[1].start + draws[1].length <= 2000).all()


def test_build_augmentation_composes_chains(config):
    augmentation = build_augmentation(config("aug=[speed,ebm]", "aug.ebm.ratio_db=[3,3]").aug)
    assert [type(step) for step in augmentation.steps] == [time_stretch.TimeStretch, ebm.EnergyBasedMixup]
    assert augmentation.steps[1].low == 3
    assert isinstance(build_augmentation(config("aug=pitch").aug), pitch_shift.PitchShift), (
        "a single step needs no chain"
    )


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"_target_": "mine.Mine", "name": "mine"}, "conf/aug/mine.yaml nests its settings under its name, 'mine:'"),
        ({"mine": {"strength": 3}}, "aug.mine={'strength': 3}: expected an augmentation with a _target_"),
        ({}, "aug=none"),
    ],
)
def test_build_augmentation_raises_when_the_node_is_invalid(node: dict, words: str):
    with pytest.raises(SeenetError, match=words):
        build_augmentation(OmegaConf.create(node))
