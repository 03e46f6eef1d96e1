"""Pitch shift that keeps the duration: a baseline of the paper's ablation (Li et al. 2025)."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seenet.data.augmentation import phase_vocoder
from seenet.data.augmentation.base import Augmentation, require_fraction, require_interval, sample_with_probability
from seenet.data.batch import Batch, length_mask

OVERSAMPLING = 2  # factor; the cubic interpolation is inaccurate near the Nyquist frequency


@dataclass(frozen=True)
class Draws:
    """Shift of each clip in semitones; 12 is an octave up, 0 no change. Shape (batch,), float."""

    semitones: Tensor


class PitchShift(Augmentation):
    """Time stretch by f = 2^(semitones / 12), resampled to the original duration.

    Frequencies that would alias are removed before resampling. The formants move with the pitch.

    Args:
        semitones: lowest and highest shift; drawn uniformly between them.
        probability: probability of changing a clip.
    """

    def __init__(self, semitones: tuple[float, float] = (-4.0, 4.0), probability: float = 0.5):
        self.semitones = require_interval("aug.pitch.semitones", semitones, -12, 12)
        require_fraction("aug.pitch.probability", probability)
        self.probability = probability

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        """Draw the shift of each clip."""
        return Draws(sample_with_probability(len(batch), self.probability, self.semitones, 0.0, generator))

    def apply(self, batch: Batch, draws: Draws) -> Batch:
        """Shift the valid samples."""
        waveform, size = batch.waveform, batch.waveform.shape[1]
        factor = 2.0 ** (draws.semitones / 12)
        longest = math.ceil(size * 2 ** (self.semitones[1] / 12))
        spectra = phase_vocoder.stretch(
            phase_vocoder.analyse(waveform), 1 / factor, phase_vocoder.count_frames(longest)
        )
        bins = torch.arange(spectra.shape[2], device=factor.device)
        is_kept = bins < (spectra.shape[2] - 1) / factor.clamp(min=1)[:, None]  # (batch, bins)
        stretched = phase_vocoder.synthesise(spectra * is_kept[:, None], longest, OVERSAMPLING)
        times = torch.arange(size, device=factor.device) * factor[:, None]
        shifted = phase_vocoder.interpolate(stretched, OVERSAMPLING * times).to(waveform.dtype)
        is_changed = (draws.semitones != 0)[:, None] & length_mask(batch.lengths, size)
        return replace(batch, waveform=torch.where(is_changed, shifted, waveform))
