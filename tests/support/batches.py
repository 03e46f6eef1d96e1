"""Small batches."""

from dataclasses import replace

import torch

from seenet.data.batch import Batch


def pad(waveforms: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Zeros behind the shorter clips, and the lengths."""
    lengths = torch.tensor([len(w) for w in waveforms])
    return torch.nn.utils.rnn.pad_sequence(waveforms, batch_first=True), lengths


def batch_of(clips: list[torch.Tensor], partners: list[torch.Tensor] | None = None) -> Batch:
    """Clips as a padded batch; labels 0 to 3 in turn, one unknown speaker."""
    count = len(clips)
    unknown = torch.full((count,), -1)
    batch = Batch(*pad(clips), torch.arange(count) % 4, unknown, unknown, torch.arange(count))
    if partners is None:
        return batch
    partner, partner_lengths = pad(partners)
    return replace(batch, partner=partner, partner_lengths=partner_lengths)
