"""Mixup of waveforms that keeps the label: the baseline of EBM (Li et al. 2025, ablation)."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seenet.data.augmentation.base import Augmentation, require_fraction, sample_with_probability
from seenet.data.batch import Batch, length_mask


@dataclass(frozen=True)
class Draws:
    """Weight of the partner in each clip; 0 for an unchanged clip. Shape (batch,), float."""

    ratio: Tensor


class Mixup(Augmentation):
    """Mixup x ← (1 − r)·x + r·x', with x' cropped or padded with its mean to the length of x.

    Args:
        max_ratio: highest r; r is uniform between 0 and this.
        probability: probability of changing a clip.
    """

    needs_partner = True

    def __init__(self, max_ratio: float = 0.3, probability: float = 0.5):
        require_fraction("aug.mixup.max_ratio", max_ratio)
        require_fraction("aug.mixup.probability", probability)
        self.max_ratio, self.probability = max_ratio, probability

    def draw(self, batch: Batch, generator: torch.Generator) -> Draws:
        """Draw the weight of each partner."""
        return Draws(sample_with_probability(len(batch), self.probability, (0.0, self.max_ratio), 0.0, generator))

    def apply(self, batch: Batch, draws: Draws) -> Batch:
        """Mix the valid samples."""
        size = batch.waveform.shape[1]
        partner, lengths = batch.require_partners()
        partner = partner.float()
        mean = partner.sum(dim=1) / lengths
        partner = torch.where(length_mask(lengths, partner.shape[1]), partner, mean[:, None])[:, :size]
        if partner.shape[1] < size:
            rest = mean[:, None].expand(-1, size - partner.shape[1])
            partner = torch.cat([partner, rest], dim=1)
        ratio = draws.ratio[:, None].float()
        mixed = ((1 - ratio) * batch.waveform.float() + ratio * partner).to(batch.waveform.dtype)
        is_changed = length_mask(batch.lengths, size) & (ratio > 0)
        return replace(batch, waveform=torch.where(is_changed, mixed, batch.waveform))
