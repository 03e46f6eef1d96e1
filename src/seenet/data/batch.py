"""The batch: padded waveforms with their lengths and labels."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Clips of one step. The padding of every waveform is zero.

    Attributes:
        waveform: float32 at 16 kHz. Shape (batch, samples).
        lengths: valid samples of each clip. Shape (batch,).
        labels: class numbers. Shape (batch,).
        speakers: speaker numbers within the corpus; -1 if unknown. Shape (batch,).
        genders: 0 female, 1 male, -1 unknown. Shape (batch,).
        indices: rows of the manifest. Shape (batch,).
        partner: another training clip for each clip, or None if no augmentation needs one.
            Shape (batch, partner samples).
        partner_lengths: valid samples of each partner, or None. Shape (batch,).
    """

    waveform: Tensor
    lengths: Tensor
    labels: Tensor
    speakers: Tensor
    genders: Tensor
    indices: Tensor
    partner: Tensor | None = None
    partner_lengths: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """Copy the batch to a device."""
        return self._map_tensors(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> "Batch":
        """Copy the batch to page-locked memory."""
        return self._map_tensors(Tensor.pin_memory)

    def record_stream(self, stream: torch.cuda.Stream) -> None:
        """Keep the memory of the batch until a stream has used it."""
        for f in fields(self):
            if (value := getattr(self, f.name)) is not None:
                value.record_stream(stream)

    def pooled_by(self, classifier: Any) -> Tensor:
        """Return the pooled vectors of a `seenet.models.classifier.EmotionClassifier`, shape (batch, dim).

        A batch with cached features overrides it and needs no encoder.
        """
        pooled: Tensor = classifier.pool(self.waveform, self.lengths)
        return pooled

    def require_partners(self) -> tuple[Tensor, Tensor]:
        """Return the partners and their lengths.

        Raises:
            ValueError: the batch has no partners.
        """
        if self.partner is None or self.partner_lengths is None:
            raise ValueError("the batch has no partners; set needs_partner = True in the augmentation")
        return self.partner, self.partner_lengths

    def _map_tensors(self, function: Callable[[Tensor], Tensor]) -> "Batch":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: function(v) for name, v in values.items() if v is not None})


def length_mask(lengths: Tensor, size: int) -> Tensor:
    """Return a mask that is True for valid positions and False for padding.

    Args:
        lengths: valid positions of each row. Shape (batch,).
        size: padded length.

    Returns:
        Shape (batch, size), bool.
    """
    return torch.arange(size, device=lengths.device) < lengths[:, None]
