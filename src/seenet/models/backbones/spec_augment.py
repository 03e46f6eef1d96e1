"""SpecAugment of speech models, drawn where the frames are; transformers' own waits for a GPU three times."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seenet.data.batch import length_mask


def draw_spans(lengths: Tensor, size: int, share: float, span: int, least: int) -> Tensor:
    """Spans of an axis, as wav2vec 2.0 masks them (Baevski et al., NeurIPS 2020, section 3.1).

    A clip gets as many as would cover `share` of it if none overlapped, rounded up or down by chance, and at least
    `least`; but no more than lie in it side by side. They start at different places, drawn uniformly.

    Args:
        lengths: what can be masked. Shape (batch,).
        size: of the axis.
        share: from 0 to 1.
        span: how long each is.
        least: how many there are at least.

    Returns:
        True where masked. Shape (batch, size).
    """
    count = (share * lengths / span + torch.rand((), device=lengths.device)).long().clamp(min=least)
    starts = length_mask(lengths - span + 1, size)  # where a span fits
    chance = torch.rand(starts.shape, device=lengths.device).masked_fill(~starts, 2.0)
    begun = (chance.argsort(1).argsort(1) < torch.minimum(count, lengths // span)[:, None]).cumsum(1)
    return begun > F.pad(begun, (span, 0))[:, :size]


def mask_spans(hidden: Tensor, lengths: Tensor, config: Any, vector: nn.Parameter | None) -> Tensor:
    """Mask spans of frames and of channels by the shares that a configuration of transformers names.

    Args:
        hidden: shape (batch, frames, dim).
        lengths: valid frames. Shape (batch,).
        config: of the model.
        vector: what stands in masked frames, shape (dim,), or None where none are masked; masked channels are zero.
    """
    if config.mask_time_prob > 0:
        settings = config.mask_time_prob, config.mask_time_length, config.mask_time_min_masks
        masked = draw_spans(lengths, hidden.shape[1], *settings)
        hidden = torch.where(masked[..., None], vector.to(hidden.dtype), hidden)
    if config.mask_feature_prob > 0:
        least = getattr(config, "mask_feature_min_masks", 0)  # which WavLM's lacks
        settings = config.mask_feature_prob, config.mask_feature_length, least
        masked = draw_spans(torch.full_like(lengths, hidden.shape[2]), hidden.shape[2], *settings)
        hidden = hidden.masked_fill(masked[:, None], 0)
    return hidden
