"""Pooling of the valid frames of a clip to one vector."""

import torch
from torch import Tensor, nn


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
        is_valid = mask[..., None]
        return torch.where(is_valid, frames, 0).sum(1) / is_valid.sum(1)


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
