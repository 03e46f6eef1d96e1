"""Learning-rate schedules: each makes Lightning's scheduler settings of an optimiser.

A schedule is called with the optimiser and a function that returns the number of optimiser steps of the training.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from seenet.core.errors import SeenetError


class Warmup:
    """Linear warm-up from 0, then linear or cosine decay to 0 at the last step.

    Args:
        shape: `linear` or `cosine` (Loshchilov and Hutter 2017, without restarts).
        warmup: share of all steps over which the rate rises.

    Raises:
        SeenetError: an unknown shape, or a share outside [0, 1].
    """

    def __init__(self, shape: str, warmup: float = 0.1):
        if shape not in ("linear", "cosine"):
            raise SeenetError(f"schedule.shape={shape}: expected linear or cosine")
        if not 0 <= warmup <= 1:
            raise SeenetError(f"schedule.warmup={warmup}: expected 0 to 1, the share of all steps")
        self.shape, self.warmup = shape, warmup

    def factor(self, step: int, total: int) -> float:
        """Return the factor of the learning rate at a step, counted from 0, of `total` steps."""
        rising = self.warmup * total
        if step < rising:
            return (step + 1) / (rising + 1)
        left = max(0.0, (total - step) / max(1.0, total - rising))
        return left if self.shape == "linear" else 0.5 * (1 - math.cos(math.pi * left))

    def __call__(self, optimizer: torch.optim.Optimizer, count_steps: Callable[[], int]) -> dict[str, Any]:
        """Return Lightning's scheduler settings: one update per optimiser step."""
        total = count_steps()
        return {"scheduler": LambdaLR(optimizer, lambda step: self.factor(step, total)), "interval": "step"}


class Plateau:
    """Multiply the learning rate by `factor` where UA of the development part does not rise for `patience` epochs.

    Args:
        factor: between 0 and 1.
        patience: epochs without a higher UA before each reduction.

    Raises:
        SeenetError: a factor outside (0, 1), or a negative patience.
    """

    def __init__(self, factor: float = 0.5, patience: int = 2):
        if not 0 < factor < 1:
            raise SeenetError(f"schedule.factor={factor}: expected a number between 0 and 1")
        if patience < 0:
            raise SeenetError(f"schedule.patience={patience}: expected 0 or more epochs")
        self.factor, self.patience = factor, patience

    def __call__(self, optimizer: torch.optim.Optimizer, count_steps: Callable[[], int]) -> dict[str, Any]:
        """Return Lightning's scheduler settings: one update per epoch, by `dev/ua`."""
        scheduler = ReduceLROnPlateau(optimizer, mode="max", factor=self.factor, patience=self.patience, eps=0)
        return {"scheduler": scheduler, "interval": "epoch", "monitor": "dev/ua"}


class Constant:
    """Constant learning rate, as in the paper."""

    def __call__(self, optimizer: torch.optim.Optimizer, count_steps: Callable[[], int]) -> dict[str, Any] | None:
        """Return None: no scheduler."""
        return None
