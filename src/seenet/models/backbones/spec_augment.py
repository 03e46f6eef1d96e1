"""SpecAugment without device synchronisation; that of transformers has three."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from seenet.data.batch import length_mask


def draw_spans(lengths: Tensor, size: int, share: float, span: int, min_spans: int) -> Tensor:
    """Draw masked spans of an axis as wav2vec 2.0 (Baevski et al., NeurIPS 2020, section 3.1).

    The number of spans is `share` of the clip over `span`, randomly rounded, and at least `min_spans`. It never exceeds
    the number of spans that fit without overlap. Starts are distinct and uniform.

    Args:
        lengths: valid positions of the axis. Shape (batch,).
        size: size of the axis.
        share: masked share, 0 to 1.
        span: length of a span.
        min_spans: minimum number of spans.

    Returns:
        True if masked. Shape (batch, size).
    """
    count = (share * lengths / span + torch.rand((), device=lengths.device)).long().clamp(min=min_spans)
    can_start = length_mask(lengths - span + 1, size)
    order = torch.rand(can_start.shape, device=lengths.device).masked_fill(~can_start, 2.0)
    started = (order.argsort(1).argsort(1) < torch.minimum(count, lengths // span)[:, None]).cumsum(1)
    return started > F.pad(started, (span, 0))[:, :size]


def mask_spans(hidden: Tensor, lengths: Tensor, config: Any, vector: Tensor | None) -> Tensor:
    """Mask spans of frames and of channels with the shares of a transformers configuration.

    Args:
        hidden: shape (batch, frames, dim).
        lengths: valid frames. Shape (batch,).
        config: configuration of the model.
        vector: value of masked frames, shape (dim,), or None if no frames are masked; masked channels are zero.

    Returns:
        Shape (batch, frames, dim).
    """
    if vector is not None and config.mask_time_prob > 0:
        settings = config.mask_time_prob, config.mask_time_length, config.mask_time_min_masks
        is_masked = draw_spans(lengths, hidden.shape[1], *settings)
        hidden = torch.where(is_masked[..., None], vector.to(hidden.dtype), hidden)
    if config.mask_feature_prob > 0:
        min_spans = getattr(config, "mask_feature_min_masks", 0)  # the configuration of WavLM lacks it
        settings = config.mask_feature_prob, config.mask_feature_length, min_spans
        is_masked = draw_spans(torch.full_like(lengths, hidden.shape[2]), hidden.shape[2], *settings)
        hidden = hidden.masked_fill(is_masked[:, None], 0)
    return hidden
