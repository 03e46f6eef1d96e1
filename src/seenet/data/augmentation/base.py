"""The contract of an augmentation: draw, then apply."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from seenet.core.errors import SeenetError
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

    def draw_and_apply(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw and apply."""
        return self.apply(batch, self.draw(batch, generator))

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw and apply; the partners have served and are dropped."""
        return replace(self.draw_and_apply(batch, generator), partner=None, partner_lengths=None)


def draw_uniform(count: int, generator: torch.Generator) -> Tensor:
    """Uniform in [0, 1), float64 so that a floor of it times a length is exact. Shape (count,)."""
    if generator.device.type == "mps":  # has no float64
        return torch.rand(count, generator=generator, device=generator.device)
    return torch.rand(count, generator=generator, device=generator.device, dtype=torch.float64)


def draw_integers(highest: Tensor, generator: torch.Generator) -> Tensor:
    """Integers uniform in [0, highest], each with its own bound. Shape of both (batch,)."""
    drawn = (draw_uniform(len(highest), generator) * (highest + 1)).long()
    return torch.minimum(drawn, highest)


def sample_with_probability(
    count: int, probability: float, interval: tuple[float, float], otherwise: float, generator: torch.Generator
) -> Tensor:
    """Uniform in an interval with a probability, else the value that stands for no change. Shape (count,)."""
    low, high = interval
    chosen = draw_uniform(count, generator) < probability
    return torch.where(chosen, low + (high - low) * draw_uniform(count, generator), otherwise)


def mean_power(waveform: Tensor, lengths: Tensor) -> Tensor:
    """Mean square over the valid samples, in float32.

    Args:
        waveform: zero in its padding. Shape (batch, samples).
        lengths: shape (batch,).

    Returns:
        Shape (batch,).
    """
    return torch.linalg.vector_norm(waveform.float(), dim=1).square() / lengths


def require_fraction(setting: str, value: float) -> None:
    """Raise a SeenetError where a setting is not between 0 and 1."""
    if not 0 <= value <= 1:
        raise SeenetError(f"{setting}={value}: expected 0 to 1")


def require_interval(setting: str, values: Sequence[float], lowest: float, highest: float) -> tuple[float, float]:
    """Two numbers, the lower one first, both within bounds; anything else is a SeenetError."""
    if len(values) != 2 or not all(isinstance(v, int | float) and lowest <= v <= highest for v in values):
        raise SeenetError(f"{setting}={list(values)}: expected two numbers between {lowest} and {highest}")
    if values[0] > values[1]:
        raise SeenetError(f"{setting}={list(values)}: the lower one comes first")
    return values[0], values[1]
