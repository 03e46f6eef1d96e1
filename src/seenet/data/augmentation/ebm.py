"""Energy-based mixup, EBM (Li et al. 2025): adds a segment of a partner."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seenet.core.errors import SeenetError
from seenet.data.augmentation.base import Augmentation, draw_integers, mean_power
from seenet.data.batch import Batch


@dataclass(frozen=True)
class EbmDraws:
    """Draws of EBM for each clip; every field has shape (batch,), int64.

    Attributes:
        ratio_db: r, energy of the clip over energy of the added segment, in dB.
        length: l, length of the segment in samples.
        start: first sample of the segment in the clip.
        partner_start: first sample of the segment in the partner.
    """

    ratio_db: Tensor
    length: Tensor
    start: Tensor
    partner_start: Tensor


class EnergyBasedMixup(Augmentation):
    """Mixup of a segment of the partner at a drawn energy ratio.

    x[start : start+l] += s · x'[start' : start'+l], with s² = P(x) / (10^(r/10) · P(x'))

    P is the mean square of all valid samples. If the clip or its partner is silent, the clip stays unchanged. EBM
    changes every other training clip and keeps its label.

    Args:
        ratio_db: lowest and highest r; r is a uniform integer between them, both included.
    """

    needs_partner = True

    def __init__(self, ratio_db: tuple[int, int] = (-5, 5)):
        if len(ratio_db) != 2 or not all(isinstance(r, int) for r in ratio_db) or ratio_db[0] > ratio_db[1]:
            raise SeenetError(f"aug.ebm.ratio_db={list(ratio_db)}: expected two integers, the lower one first")
        self.low, self.high = ratio_db

    def draw(self, batch: Batch, generator: torch.Generator) -> EbmDraws:
        """Draw r, l in [0, ⌊L/2⌋] and start in [0, L − l].

        A partner that is not longer than l is added entirely.
        """
        lengths = batch.lengths
        _, partner_lengths = batch.require_partners()
        ratio = self.low + draw_integers(torch.full_like(lengths, self.high - self.low), generator)
        length = draw_integers(lengths // 2, generator)
        start = draw_integers(lengths - length, generator)
        partner_start = draw_integers((partner_lengths - length).clamp(min=0), generator)
        return EbmDraws(ratio, torch.minimum(length, partner_lengths), start, partner_start)

    def apply(self, batch: Batch, draws: EbmDraws) -> Batch:
        """Add the segments; samples outside [start, start + l) keep their bits."""
        waveform = batch.waveform
        clip_power = mean_power(waveform, batch.lengths)
        partner_power = mean_power(*batch.require_partners())
        is_audible = partner_power > 0
        ratio = clip_power / torch.where(is_audible, partner_power, 1.0)
        scale = torch.where(is_audible, ratio, 0.0).sqrt() * 10.0 ** (-draws.ratio_db.float() / 20)
        if waveform.device.type == "cpu":
            return replace(batch, waveform=_mix_clip_by_clip(batch, draws, scale))
        return replace(batch, waveform=_mix_vectorized(batch, draws, scale))


def _mix_clip_by_clip(batch: Batch, draws: EbmDraws, scale: Tensor) -> Tensor:
    """Mix clip by clip, the fastest way on a CPU because it touches the segments alone.

    Args:
        batch: the clips and their partners.
        draws: the segments.
        scale: factor of each partner. Shape (batch,).

    Returns:
        Shape (batch, samples).
    """
    mixed = batch.waveform.clone()
    partners, _ = batch.require_partners()
    fields = (draws.length, draws.start, draws.partner_start)
    segments = zip(scale.unbind(), *(field.tolist() for field in fields), strict=True)
    for clip, partner, (factor, size, start, partner_start) in zip(mixed, partners, segments, strict=True):
        if factor:
            segment = partner[partner_start : partner_start + size].float() * factor
            clip[start : start + size] += segment.to(clip.dtype)
    return mixed


def _mix_vectorized(batch: Batch, draws: EbmDraws, scale: Tensor) -> Tensor:
    """Mix all clips at once, without a value on the host, as a GPU needs.

    Args:
        batch: the clips and their partners.
        draws: the segments.
        scale: factor of each partner. Shape (batch,).

    Returns:
        Shape (batch, samples).
    """
    waveform = batch.waveform
    partner, _ = batch.require_partners()
    size, rows = waveform.shape[1], torch.arange(len(waveform), device=waveform.device)
    # Shift each partner to align its segment with the clip: copies of rows are far cheaper than an index per sample.
    # The uninitialised memory around a partner is never used.
    padded = waveform.new_empty(len(waveform), partner.shape[1] + 2 * size)
    padded[:, size:-size] = partner
    shifted = padded.unfold(1, size, 1)[rows, size + draws.partner_start - draws.start]
    time = torch.arange(size, device=waveform.device)
    is_mixed = (time >= draws.start[:, None]) & (time < (draws.start + draws.length)[:, None])
    sums = (shifted.float() * scale[:, None]).to(waveform.dtype).add_(waveform)
    return torch.where(is_mixed, sums, waveform)
