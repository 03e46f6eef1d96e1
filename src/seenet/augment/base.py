"""The contract of an augmentation: draw, then apply."""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import torch

from seenet.data.batch import Batch


class Augmentation(ABC):
    """A change to the waveforms of a training batch, on the batch's device.

    `draw` takes all random numbers; `apply` is a pure function of the batch and them. Both work on the whole
    batch at once and never wait for the device. Labels stay; the padding stays zero.
    """

    needs_partner = False
    """Whether batches must bring a partner clip for each clip."""

    @abstractmethod
    def draw(self, batch: Batch, generator: torch.Generator) -> Any:
        """The random numbers for a batch. Only lengths and shapes of the batch are looked at."""

    @abstractmethod
    def apply(self, batch: Batch, draws: Any) -> Batch:
        """The batch with changed waveforms."""

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw and apply; the partners have served and are dropped."""
        return replace(self.apply(batch, self.draw(batch, generator)), partner=None, partner_lengths=None)


def uniform(count: int, generator: torch.Generator) -> torch.Tensor:
    """Uniform in [0, 1), float64 so that a floor of it times a length is exact. Shape (count,)."""
    if generator.device.type == "mps":  # has no float64
        return torch.rand(count, generator=generator, device=generator.device)
    return torch.rand(count, generator=generator, device=generator.device, dtype=torch.float64)


def integers(highest: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Integers uniform in [0, highest], each with its own bound. Shape of both (batch,)."""
    drawn = (uniform(len(highest), generator) * (highest + 1)).long()
    return torch.minimum(drawn, highest)
