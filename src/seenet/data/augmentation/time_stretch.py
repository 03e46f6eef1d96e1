"""Time stretch that keeps the pitch: a baseline of the paper's ablation (Li et al. 2025)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seenet.data.augmentation import phase_vocoder
from seenet.data.augmentation.base import Augmentation, require_fraction, require_interval, sample_with_probability
from seenet.data.batch import Batch, length_mask


@dataclass(frozen=True)
class Draws:
    """Rate of each clip; 1.1 is 10 % faster, 1 no change. Shape (batch,), float."""

    rate: Tensor


class TimeStretch(Augmentation):
    """A change of tempo that keeps pitch and length, as in the original.

    A slower clip is cropped to its former length. A faster clip is padded to it with silence, which counts as valid.

    Args:
        rate: lowest and highest rate; drawn uniformly between them.
        probability: probability of changing a clip.
    """

    def __init__(self, rate: tuple[float, float] = (0.9, 1.1), probability: float = 0.5):
        self.rate = require_interval("aug.speed.rate", rate, 0.5, 2)
        require_fraction("aug.speed.probability", probability)
        self.probability = probability

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        """Draw the rate of each clip."""
        return Draws(sample_with_probability(len(batch), self.probability, self.rate, 1.0, generator))

    def apply(self, batch: Batch, draws: Draws) -> Batch:
        """Stretch with the phase vocoder, then crop or pad."""
        rate, size = draws.rate, batch.waveform.shape[1]
        spectra = phase_vocoder.stretch(phase_vocoder.analyse(batch.waveform), rate, phase_vocoder.count_frames(size))
        stretched = phase_vocoder.synthesise(spectra, size).to(batch.waveform.dtype)
        ends = torch.minimum((batch.lengths / rate).round().long(), batch.lengths)
        stretched = torch.where(length_mask(ends, size), stretched, 0)
        return replace(batch, waveform=torch.where((rate != 1)[:, None], stretched, batch.waveform))
