"""Base class of augmentations and helpers for their draws and settings."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from seenet.core.errors import SeenetError
from seenet.data.batch import Batch


class Augmentation(ABC):
    """A change to the waveforms of a training batch, on the device of the batch.

    `draw` returns all random numbers; `apply` is a pure function of the batch and the draws. Both process the batch at
    once and never synchronise with the device. Labels stay unchanged and padding stays zero.
    """

    needs_partner = False
    """Whether each clip of a batch needs a partner clip."""

    @abstractmethod
    def draw(self, batch: Batch, generator: torch.Generator) -> Any:
        """Draw the random numbers for a batch from its lengths and shapes alone."""

    @abstractmethod
    def apply(self, batch: Batch, draws: Any) -> Batch:
        """Return the batch with changed waveforms."""

    def draw_and_apply(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw the random numbers and apply them."""
        return self.apply(batch, self.draw(batch, generator))

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw, apply and drop the partners, which no later step needs."""
        return replace(self.draw_and_apply(batch, generator), partner=None, partner_lengths=None)


def draw_uniform(count: int, generator: torch.Generator) -> Tensor:
    """Draw uniformly from [0, 1). Shape (count,).

    The type is float64, which makes the floor of a draw times a length exact.
    """
    if generator.device.type == "mps":  # MPS has no float64
        return torch.rand(count, generator=generator, device=generator.device)
    return torch.rand(count, generator=generator, device=generator.device, dtype=torch.float64)


def draw_integers(highest: Tensor, generator: torch.Generator) -> Tensor:
    """Draw integers uniformly from [0, highest], one bound each. Both shapes (batch,)."""
    drawn = (draw_uniform(len(highest), generator) * (highest + 1)).long()
    return torch.minimum(drawn, highest)


def sample_with_probability(
    count: int, probability: float, interval: tuple[float, float], otherwise: float, generator: torch.Generator
) -> Tensor:
    """Draw uniformly from an interval with a probability, else `otherwise`. Shape (count,)."""
    low, high = interval
    is_chosen = draw_uniform(count, generator) < probability
    return torch.where(is_chosen, low + (high - low) * draw_uniform(count, generator), otherwise)


def mean_power(waveform: Tensor, lengths: Tensor) -> Tensor:
    """Compute the mean square of the valid samples in float32.

    Args:
        waveform: with zero padding. Shape (batch, samples).
        lengths: number of valid samples. Shape (batch,).

    Returns:
        Shape (batch,).
    """
    norm: Tensor = torch.linalg.vector_norm(waveform.float(), dim=1)
    return norm.square() / lengths


def require_fraction(setting: str, value: float) -> None:
    """Raise a SeenetError if a setting is not between 0 and 1."""
    if not 0 <= value <= 1:
        raise SeenetError(f"{setting}={value}: expected 0 to 1")


def require_interval(setting: str, values: Sequence[float], lowest: float, highest: float) -> tuple[float, float]:
    """Return two ascending numbers within bounds; raise a SeenetError for anything else."""
    if len(values) != 2 or not all(isinstance(v, int | float) and lowest <= v <= highest for v in values):
        raise SeenetError(f"{setting}={list(values)}: expected two numbers between {lowest} and {highest}")
    if values[0] > values[1]:
        raise SeenetError(f"{setting}={list(values)}: expected the lower number first")
    return values[0], values[1]
