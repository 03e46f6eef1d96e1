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
        return _mean(frames, mask[..., None].to(frames.dtype))


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


def _mean(frames: Tensor, weights: Tensor) -> Tensor:
    return torch.where(weights > 0, frames * weights, 0).sum(1) / weights.sum(1)


MIN_VARIANCE = 1e-12
"""Lower bound of a variance: the gradient of the square root is infinite at 0."""


def _std(frames: Tensor, weights: Tensor) -> Tensor:
    squares = (frames - _mean(frames, weights)[:, None]).square()
    return _mean(squares, weights).clamp(min=MIN_VARIANCE).sqrt()


def _min(frames: Tensor, weights: Tensor) -> Tensor:
    return torch.where(weights > 0, frames, torch.inf).amin(1)


def _max(frames: Tensor, weights: Tensor) -> Tensor:
    return torch.where(weights > 0, frames, -torch.inf).amax(1)


STATISTICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"mean": _mean, "std": _std, "min": _min, "max": _max}
"""Statistics of frames with weights by name; `std` is that of the population, `min` and `max` use weights above 0."""


class StatisticsPooling(nn.Module):
    """Statistics of each component of the valid frames, one after another.

    Args:
        dim: width of a frame.
        statistics: names from `STATISTICS`.
        range_db: weighs each frame by its level in dB above a floor that is this far below the loud frames of the clip
            (`level_weights`); None gives equal weights. A backbone without `hop` has equal weights, too.

    Attributes:
        dim: width of a pooled vector, `dim` for each statistic.

    Raises:
        SeenetError: an unknown statistic, one that is named twice, or none; a range that is not positive.
    """

    def __init__(self, dim: int, statistics: Sequence[str] = ("mean", "std"), range_db: float | None = None):
        super().__init__()
        if not statistics or len(set(statistics)) < len(statistics) or not set(statistics) <= set(STATISTICS):
            raise SeenetError(
                f"pooling.statistics={list(statistics)}: expected different names from {', '.join(STATISTICS)}"
            )
        if range_db is not None and not 0 < range_db < float("inf"):
            raise SeenetError(f"pooling.range_db={range_db}: expected a number above 0, or null")
        self.statistics, self.dim, self.range_db = tuple(statistics), dim * len(statistics), range_db

    def forward(self, frames: Tensor, mask: Tensor, weights: Tensor | None = None) -> Tensor:
        """Pool frames to one vector.

        Args:
            frames: shape (batch, frames, dim).
            mask: True where valid. Shape (batch, frames).
            weights: of the frames, 0 where not valid; None for equal ones. Shape (batch, frames).

        Returns:
            Shape (batch, statistics · dim).
        """
        weights = (mask if weights is None else weights).to(frames.dtype)[..., None]
        return torch.cat([STATISTICS[name](frames, weights) for name in self.statistics], 1)
