"""Time stretch, pitch kept: a baseline of the paper's ablation (Li et al. 2025)."""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from seenet.augment import vocoder
from seenet.augment.base import Augmentation, require_interval, require_share, sometimes
from seenet.data.batch import Batch, valid_mask


@dataclass(frozen=True)
class Draws:
    """How fast each clip goes, 1.1 for a tenth faster; 1 where it is left alone. Shape (batch,), float."""

    rate: Tensor


class Speed(Augmentation):
    """A clip of L samples becomes one of round(L / rate), faster or slower at the same pitch.

    The padded size becomes that of the slowest possible rate, whatever is drawn: asking for the longest clip would
    wait for the device.

    Args:
        rate: the lowest and the highest; drawn uniformly between them.
        probability: of changing a clip.
    """

    def __init__(self, rate: tuple[float, float] = (0.9, 1.1), probability: float = 0.5):
        self.rate = require_interval("aug.speed.rate", rate, 0.5, 2)
        require_share("aug.speed.probability", probability)
        self.probability = probability

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        """Which clips are changed, and their rates."""
        return Draws(sometimes(len(batch), self.probability, self.rate, 1.0, generator))

    def apply(self, batch: Batch, draws: Draws) -> Batch:
        """Stretch, with a phase vocoder."""
        rate, size = draws.rate, batch.waveform.shape[1]
        longest = math.ceil(size / min(self.rate[0], 1))
        spectra = vocoder.stretch(vocoder.analyse(batch.waveform), rate, vocoder.frames_for(longest))
        stretched = vocoder.synthesise(spectra, longest).to(batch.waveform.dtype)
        changed = rate != 1
        lengths = torch.where(changed, (batch.lengths / rate).round().long().clamp(min=1), batch.lengths)
        waveform = torch.where(changed[:, None], stretched, F.pad(batch.waveform, (0, longest - size)))
        waveform = torch.where(valid_mask(lengths, longest), waveform, 0)
        return replace(batch, waveform=waveform, lengths=lengths)
