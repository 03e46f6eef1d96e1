"""Pooling of the valid frames of a clip to one vector."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from seenet.core.errors import SeenetError


class MeanPooling(nn.Module):
    """The mean of the valid frames.

    Args:
        dim: width of a frame.
    """

    def __init__(self, dim: int):
        super().__init__()

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Pool frames to one vector.

        Args:
            frames: shape (batch, frames, dim).
            mask: True where valid. Shape (batch, frames).

        Returns:
            Shape (batch, dim).
        """
        return _mean(frames, mask[..., None])


class AttentionPooling(nn.Module):
    """A weighted sum of the valid frames with weights softmax(tanh(h · w)) (Li et al. 2025).

    Args:
        dim: width of a frame; w is initialised uniformly in (0, 1), as in the original.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(dim))

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Pool frames to one vector.

        Args:
            frames: shape (batch, frames, dim).
            mask: True where valid. Shape (batch, frames).

        Returns:
            Shape (batch, dim).
        """
        scores = torch.tanh(frames @ self.weight).float()  # (batch, frames)
        weights = scores.masked_fill(~mask, -torch.inf).softmax(dim=1).to(frames.dtype)
        return (weights[:, None] @ torch.where(mask[..., None], frames, 0))[:, 0]


def _mean(frames: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid, frames, 0).sum(1) / valid.sum(1)


def _std(frames: Tensor, valid: Tensor) -> Tensor:
    centred = torch.where(valid, frames - _mean(frames, valid)[:, None], 0)
    return (centred.square().sum(1) / valid.sum(1)).sqrt()


def _min(frames: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid, frames, torch.inf).amin(1)


def _max(frames: Tensor, valid: Tensor) -> Tensor:
    return torch.where(valid, frames, -torch.inf).amax(1)


def _change(frames: Tensor, valid: Tensor) -> Tensor:
    pairs = valid[:, 1:]  # a valid frame follows a valid frame
    return torch.where(pairs, frames.diff(dim=1).abs(), 0).sum(1) / pairs.sum(1).clamp(min=1)


STATISTICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": _mean,
    "std": _std,
    "min": _min,
    "max": _max,
    "change": _change,
}
"""Statistics over the valid frames by name; `std` divides by the number of frames, `change` is the mean absolute
difference between a frame and the next."""


class StatisticsPooling(nn.Module):
    """Statistics of each component of the valid frames, one after another.

    Args:
        dim: width of a frame.
        statistics: names from `STATISTICS`.

    Attributes:
        dim: width of a pooled vector, `dim` for each statistic.

    Raises:
        SeenetError: an unknown statistic, one that is named twice, or none.
    """

    def __init__(self, dim: int, statistics: Sequence[str] = ("mean", "std")):
        super().__init__()
        if not statistics or len(set(statistics)) < len(statistics) or not set(statistics) <= set(STATISTICS):
            raise SeenetError(
                f"pooling.statistics={list(statistics)}: expected different names from {', '.join(STATISTICS)}"
            )
        self.statistics, self.dim = tuple(statistics), dim * len(statistics)

    def forward(self, frames: Tensor, mask: Tensor) -> Tensor:
        """Pool frames to one vector.

        Args:
            frames: shape (batch, frames, dim).
            mask: True where valid. Shape (batch, frames).

        Returns:
            Shape (batch, statistics · dim).
        """
        return torch.cat([STATISTICS[name](frames, mask[..., None]) for name in self.statistics], 1)
