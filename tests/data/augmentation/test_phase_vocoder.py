"""Time stretch and pitch shift against librosa; the phase vocoder against torchaudio."""

import math

import librosa
import numpy as np
import pytest
import torch
import torchaudio

from seenet.core.errors import SeenetError
from seenet.data.augmentation import phase_vocoder, pitch_shift, time_stretch
from support.batches import batch_of

RATE = 16000
SEMITONES = torch.linspace(-4, 4, 9, dtype=torch.float64)
RATES = torch.tensor([0.9, 0.93, 0.98, 1.03, 1.07, 1.1], dtype=torch.float64)


def make_voice(hertz: float, samples: int = 24000, highest: float = 3000) -> torch.Tensor:
    """Synthesize harmonics with amplitudes that fall with their number, as those of a voice."""
    time = torch.arange(samples, dtype=torch.float64) / RATE
    waves = (torch.sin(2 * math.pi * hertz * k * time + k * k) / k for k in range(1, int(highest // hertz) + 1))
    return 0.1 * sum(waves).float()


def semitones_between(waveform: torch.Tensor, hertz: float) -> float:
    """Measure the pitch of the middle of a clip above a frequency, with librosa."""
    middle = waveform[4000:-4000].numpy()
    pitch = np.median(librosa.yin(middle, fmin=50, fmax=600, sr=RATE, frame_length=2048))
    return 12 * math.log2(pitch / hertz)


def decibels_between(changed: torch.Tensor, clip: torch.Tensor) -> float:
    """Compute the level of the middle of one clip above that of another."""
    return 10 * math.log10(float(changed[4000:-4000].square().mean() / clip[4000:-4000].square().mean()))


@pytest.mark.parametrize("hertz", [95.0, 140.0, 210.0, 330.0])
def test_pitch_shift_realises_the_drawn_shift(hertz: float):
    clip = make_voice(hertz)
    batch = batch_of([clip] * len(SEMITONES))
    shifted = pitch_shift.PitchShift().apply(batch, pitch_shift.Draws(SEMITONES))
    assert torch.equal(shifted.lengths, batch.lengths)
    for waveform, wanted in zip(shifted.waveform, SEMITONES.tolist(), strict=True):
        assert semitones_between(waveform, hertz) == pytest.approx(wanted, abs=0.1)
        assert decibels_between(waveform, clip) == pytest.approx(0, abs=1)


@pytest.mark.parametrize("hertz", [95.0, 140.0, 210.0, 330.0])
def test_time_stretch_keeps_pitch_and_level(hertz: float):
    clip = make_voice(hertz)
    stretched = time_stretch.TimeStretch().apply(batch_of([clip] * len(RATES)), time_stretch.Draws(RATES))
    for waveform, rate in zip(stretched.waveform, RATES.tolist(), strict=True):
        length = min(round(len(clip) / rate), len(clip))
        assert semitones_between(waveform[:length], hertz) == pytest.approx(0, abs=0.1)
        assert decibels_between(waveform[:length], clip) == pytest.approx(0, abs=1)


def test_time_stretch_keeps_the_length():
    """A slower clip is cropped and a faster one padded with silence, as in the original."""
    clips = [make_voice(140.0, size) for size in (32000, 20000, 9000)]
    for rate in (0.9, 1.07, 1.1):
        batch = batch_of(clips)
        stretched = time_stretch.TimeStretch().apply(
            batch, time_stretch.Draws(torch.full((3,), rate, dtype=torch.float64))
        )
        assert torch.equal(stretched.lengths, batch.lengths)
        assert stretched.waveform.shape == batch.waveform.shape
        for waveform, clip in zip(stretched.waveform, clips, strict=True):
            end = min(round(len(clip) / rate), len(clip))
            assert not waveform[end:].any()
            assert waveform[end - 400 : end].abs().max() > 0.01, "speech up to the end"


SWELLS = [0.5, 1.25, 2.0, 2.75]  # seconds


def make_swells() -> torch.Tensor:
    """Synthesize a 440 Hz tone that swells and fades within 0.3 s at each of `SWELLS`."""
    time = torch.arange(52000) / RATE
    return 0.3 * sum(torch.exp(-0.5 * ((time - t) / 0.08) ** 2) for t in SWELLS) * torch.sin(880 * math.pi * time)


def energy_centres(waveform: torch.Tensor, around: np.ndarray) -> np.ndarray:
    """Compute the centre of energy within 0.3 s of each given time, in seconds."""
    energy = waveform.double().square().numpy()
    time = np.arange(len(energy)) / RATE
    near = [np.abs(time - t) < 0.3 for t in around]
    return np.array([(energy[n] * time[n]).sum() / energy[n].sum() for n in near])


def test_time_stretch_scales_all_times_and_pitch_shift_none():
    """Every distance in time is correct within 1 %."""
    clip, constant = make_swells(), np.ones(len(SEMITONES))
    stretched = time_stretch.TimeStretch().apply(batch_of([clip] * len(RATES)), time_stretch.Draws(RATES)).waveform
    shifted = pitch_shift.PitchShift().apply(batch_of([clip] * len(SEMITONES)), pitch_shift.Draws(SEMITONES)).waveform
    for waveform, rate in zip([*stretched, *shifted], [*RATES.numpy(), *constant], strict=True):
        wanted = np.array(SWELLS) / rate
        found = energy_centres(waveform, wanted)
        np.testing.assert_allclose(found, wanted, atol=0.012, rtol=0)
        assert found[-1] - found[0] == pytest.approx(wanted[-1] - wanted[0], rel=0.01)


@pytest.mark.parametrize("rate", [0.9, 1.07])
def test_time_stretch_equals_librosa(rate: float):
    clip = make_swells() + 0.1 * make_voice(140.0, 52000)
    ours = time_stretch.TimeStretch().apply(
        batch_of([clip]), time_stretch.Draws(torch.tensor([rate], dtype=torch.float64))
    )
    theirs = librosa.effects.time_stretch(clip.numpy(), rate=rate, n_fft=phase_vocoder.N_FFT)
    size = min(int(ours.lengths[0]), len(theirs))
    np.testing.assert_allclose(ours.waveform[0, : size - 1024], theirs[: size - 1024], atol=2e-3)


def test_pitch_shift_does_not_alias():
    """7 kHz up 4 semitones exceeds the Nyquist frequency and is removed; down 4 it stays."""
    time = torch.arange(16000, dtype=torch.float64) / RATE
    clip = (0.1 * torch.sin(2 * math.pi * 7000 * time)).float()
    up, down = (
        pitch_shift.PitchShift().apply(batch_of([clip, clip]), pitch_shift.Draws(torch.tensor([4.0, -4.0]))).waveform
    )
    assert decibels_between(up, clip) < -50
    assert decibels_between(down, clip) == pytest.approx(0, abs=1)
    spectrum = torch.fft.rfft(down[4000:12000] * torch.hann_window(8000)).abs()
    assert int(spectrum.argmax()) * RATE / 8000 == pytest.approx(7000 * 2 ** (-4 / 12), abs=4)


@pytest.mark.parametrize("rate", [0.8, 0.9, 1.07, 1.25])
def test_phase_vocoder_equals_torchaudio(rate: float):
    clip = make_voice(140.0)
    spectra = phase_vocoder.analyse(clip[None])
    advance = torch.linspace(0, math.pi * phase_vocoder.HOP, spectra.shape[2], dtype=torch.float64)[:, None]
    theirs = torchaudio.functional.phase_vocoder(spectra[0].T.to(torch.complex128), rate, advance).T
    ours = phase_vocoder.stretch(spectra, torch.tensor([rate], dtype=torch.float64), len(theirs))[0]
    torch.testing.assert_close(ours.to(torch.complex128), theirs, atol=1e-3, rtol=0)
    assert theirs.abs().max() > 10


def test_synthesise_inverts_analyse():
    clip = make_voice(140.0, 5001)
    spectra = phase_vocoder.analyse(clip[None])
    torch.testing.assert_close(phase_vocoder.synthesise(spectra, 5001)[0], clip, atol=1e-5, rtol=0)
    doubled = phase_vocoder.synthesise(spectra, 5001, oversampling=2)[0]
    torch.testing.assert_close(doubled[::2], clip, atol=1e-4, rtol=0)
    time = torch.arange(10002, dtype=torch.float64) / (2 * RATE)
    between = 0.1 * sum(torch.sin(2 * math.pi * 140 * k * time + k * k) / k for k in range(1, 22)).float()
    torch.testing.assert_close(doubled[1200:-1200], between[1200:-1200], atol=1e-4, rtol=0)


def test_interpolate_is_exact_for_a_cubic():
    """It is exact at the samples and zero after the end."""
    time = torch.arange(50, dtype=torch.float64)
    cubic = 0.001 * (time - 20) ** 3 - 0.02 * (time - 7) ** 2
    wanted = torch.tensor([[3.0, 7.25, 20.5, 40.99, 48.0]], dtype=torch.float64)
    exact = 0.001 * (wanted - 20) ** 3 - 0.02 * (wanted - 7) ** 2
    torch.testing.assert_close(
        phase_vocoder.interpolate(cubic[None].float(), wanted), exact.float(), atol=1e-4, rtol=1e-5
    )
    assert phase_vocoder.interpolate(cubic[None].float(), torch.tensor([[53.0, 1e6]])).tolist() == [[0, 0]]


@pytest.mark.parametrize("length", [1, 2, 100, 1023])
def test_vocoder_augmentations_accept_clips_shorter_than_a_window(length: int):
    batch = batch_of([make_voice(200.0, length + 50)[50:]])
    fast = time_stretch.TimeStretch().apply(batch, time_stretch.Draws(torch.tensor([1.1], dtype=torch.float64)))
    assert fast.lengths.tolist() == [length]
    high = pitch_shift.PitchShift().apply(batch, pitch_shift.Draws(torch.tensor([3.0], dtype=torch.float64)))
    for waveform in (fast.waveform, high.waveform):
        assert torch.isfinite(waveform).all()
        assert waveform.any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: time_stretch.TimeStretch(rate=(1.1, 0.9)),
            r"speed.rate=\[1.1, 0.9\]: expected the lower number first",
        ),
        (lambda: time_stretch.TimeStretch(rate=(0.1, 1)), "between 0.5 and 2"),
        (lambda: time_stretch.TimeStretch(probability=1.5), "aug.speed.probability=1.5: expected 0 to 1"),
        (lambda: pitch_shift.PitchShift(semitones=(-4, 0, 4)), "aug.pitch.semitones=.*expected two numbers"),
    ],
)
def test_vocoder_augmentations_raise_when_settings_are_invalid(make, words: str):
    with pytest.raises(SeenetError, match=words):
        make()
