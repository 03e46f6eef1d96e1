"""White noise at a drawn ratio: a baseline of the paper's ablation (Li et al. 2025)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seenet.data.augmentation.base import (
    Augmentation,
    mean_power,
    require_fraction,
    require_interval,
    sample_with_probability,
)
from seenet.data.batch import Batch, length_mask


@dataclass(frozen=True)
class Draws:
    """Draws for each clip.

    Attributes:
        snr_db: power of the clip over power of the noise, in dB; inf for an unchanged clip. Shape (batch,).
        noise: white noise of unit variance. Shape (batch, samples).
    """

    snr_db: Tensor
    noise: Tensor


class GaussianSNR(Augmentation):
    """White Gaussian noise at a uniformly drawn ratio.

    Both powers are means over the valid samples of the clip; the power of the noise is the realised one. A silent clip
    stays silent. `torchaudio.functional.add_noise` is equal, but returns NaN for silence.

    Args:
        snr_db: lowest and highest ratio, in dB; drawn uniformly between them.
        probability: probability of changing a clip.
    """

    def __init__(self, snr_db: tuple[float, float] = (0.0, 20.0), probability: float = 0.5):
        self.snr_db = require_interval("aug.gaussian_snr.snr_db", snr_db, -100, 100)
        require_fraction("aug.gaussian_snr.probability", probability)
        self.probability = probability

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        """Draw the ratio of each clip, and the noise."""
        snr_db = sample_with_probability(len(batch), self.probability, self.snr_db, torch.inf, generator)
        return Draws(snr_db, torch.randn(batch.waveform.shape, generator=generator, device=generator.device))

    def apply(self, batch: Batch, draws: Draws) -> Batch:
        """Add the scaled noise to the valid samples."""
        waveform, lengths = batch.waveform, batch.lengths
        noise = draws.noise * length_mask(lengths, waveform.shape[1])
        ratio = mean_power(waveform, lengths) / mean_power(noise, lengths)
        scale = ratio.sqrt() * 10.0 ** (-draws.snr_db.float() / 20)
        noisy = (waveform.float() + scale[:, None] * noise).to(waveform.dtype)
        return replace(batch, waveform=torch.where(draws.snr_db[:, None] < torch.inf, noisy, waveform))
