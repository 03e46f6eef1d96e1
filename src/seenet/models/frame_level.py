"""The level of each frame of a clip, by which pooling weighs frames."""

import torch
from torch import Tensor
from torch.nn import functional as F

SILENT_POWER = 1e-10
"""Mean power that counts as silence: -100 dB."""

LOUD_SHARE = 0.02
"""The loudest frames, as a share, that define the top level: one click does not."""


def level_weights(waveform: Tensor, mask: Tensor, hop: int, range_db: float) -> Tensor:
    """Return the level of each frame in dB above a floor, which is `range_db` below the top level of the clip.

    Speech has weight, and the silence around it has none. The gain of a recording has no effect.

    Args:
        waveform: zero behind each clip. Shape (batch, samples).
        mask: True for valid frames. Shape (batch, frames).
        hop: samples between frames; frame i covers the samples from i · hop to (i + 1) · hop.
        range_db: in dB.

    Returns:
        0 or more, 0 for padding. Shape (batch, frames).
    """
    frames = mask.shape[1]
    samples = F.pad(waveform, (0, max(0, frames * hop - waveform.shape[1])))[:, : frames * hop]
    power = samples.float().reshape(len(waveform), frames, hop).square().mean(2)
    level = 10 * torch.log10(power + SILENT_POWER)
    ordered = level.masked_fill(~mask, -torch.inf).sort(1, descending=True).values
    rank = (mask.sum(1) * LOUD_SHARE).long()
    top = ordered.gather(1, rank[:, None])
    weights: Tensor = torch.where(mask, (level - top + range_db).clamp(min=0), 0)
    return weights
