"""EBM, energy-based mixup (Li et al. 2025): a piece of a partner clip, added at a drawn energy ratio."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seenet.core.errors import SeenetError
from seenet.data.augmentation.base import Augmentation, draw_integers, mean_power
from seenet.data.batch import Batch


@dataclass(frozen=True)
class EbmDraws:
    """What EBM draws for each clip; every field has shape (batch,), int64.

    Attributes:
        ratio_db: r, energy of the clip over energy of the added piece, in dB.
        length: l, samples that are mixed.
        start: where they begin in the clip.
        partner_start: where they begin in the partner.
    """

    ratio_db: Tensor
    length: Tensor
    start: Tensor
    partner_start: Tensor


class EnergyBasedMixup(Augmentation):
    """x[start : start+l] += s · x'[start' : start'+l], with s² = P(x) / (10^(r/10) · P(x')).

    P is the mean square of a whole valid clip. A silent clip or partner leaves the clip as it is. Applied to
    every training clip; the label is the clip's own.

    Args:
        ratio_db: the lowest and the highest r; r is an integer, uniform between them, both included.
    """

    needs_partner = True

    def __init__(self, ratio_db: tuple[int, int] = (-5, 5)):
        if len(ratio_db) != 2 or not all(isinstance(r, int) for r in ratio_db) or ratio_db[0] > ratio_db[1]:
            raise SeenetError(f"aug.ebm.ratio_db={list(ratio_db)}: expected two whole numbers, the lower one first")
        self.low, self.high = ratio_db

    def draw(self, batch: Batch, generator: torch.Generator) -> EbmDraws:
        """r; then l in [0, ⌊L/2⌋] and start in [0, L − l]; a partner no longer than l is used whole."""
        lengths, partner_lengths = batch.lengths, batch.partner_lengths
        ratio = self.low + draw_integers(torch.full_like(lengths, self.high - self.low), generator)
        length = draw_integers(lengths // 2, generator)
        start = draw_integers(lengths - length, generator)
        partner_start = draw_integers((partner_lengths - length).clamp(min=0), generator)
        return EbmDraws(ratio, torch.minimum(length, partner_lengths), start, partner_start)

    def apply(self, batch: Batch, draws: EbmDraws) -> Batch:
        """Mix; outside [start, start + l) every sample keeps its bits."""
        waveform, partner = batch.waveform, batch.partner
        clip_power = mean_power(waveform, batch.lengths)
        partner_power = mean_power(partner, batch.partner_lengths)
        audible = partner_power > 0
        ratio = clip_power / torch.where(audible, partner_power, 1.0)
        scale = torch.where(audible, ratio, 0.0).sqrt() * 10.0 ** (-draws.ratio_db.float() / 20)
        if waveform.device.type == "cpu":
            return replace(batch, waveform=_mix_clip_by_clip(batch, draws, scale))
        return replace(batch, waveform=_mix_vectorized(batch, draws, scale))


def _mix_clip_by_clip(batch: Batch, draws: EbmDraws, scale: Tensor) -> Tensor:
    """For a CPU, which gains by touching nothing but the pieces. Shapes (batch,) and (batch, samples)."""
    mixed = batch.waveform.clone()
    places = zip(*(getattr(draws, name).tolist() for name in ("length", "start", "partner_start")), strict=True)
    for clip, partner, factor, (length, start, begin) in zip(mixed, batch.partner, scale.unbind(), places, strict=True):
        if factor:
            piece = partner[begin : begin + length].float() * factor
            clip[start : start + length] += piece.to(clip.dtype)
    return mixed


def _mix_vectorized(batch: Batch, draws: EbmDraws, scale: Tensor) -> Tensor:
    """For a GPU, which must not wait for a number. Shapes (batch,) and (batch, samples)."""
    waveform, partner = batch.waveform, batch.partner
    size, rows = waveform.shape[1], torch.arange(len(waveform), device=waveform.device)
    # Each partner moved so that its piece lies where it is wanted: whole rows are copied, which is far cheaper
    # than an index for each sample. What stands on both sides of a partner is never used.
    wide = waveform.new_empty(len(waveform), partner.shape[1] + 2 * size)
    wide[:, size:-size] = partner
    moved = wide.unfold(1, size, 1)[rows, size + draws.partner_start - draws.start]
    time = torch.arange(size, device=waveform.device)
    mixed = (time >= draws.start[:, None]) & (time < (draws.start + draws.length)[:, None])
    sums = (moved.float() * scale[:, None]).to(waveform.dtype).add_(waveform)
    return torch.where(mixed, sums, waveform)
