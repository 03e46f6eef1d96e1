"""Augmentations one after the other, and the way from `aug` in the configuration to them."""

from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.data.augmentation.base import Augmentation
from seenet.data.batch import Batch


class Chain(Augmentation):
    """Applies its steps in order; each draws for the batch as the one before left it.

    Args:
        steps: the augmentations.
    """

    def __init__(self, steps: Sequence[Augmentation]):
        self.steps = tuple(steps)
        self.needs_partner = any(step.needs_partner for step in self.steps)

    def draw(self, batch: Batch, generator: torch.Generator) -> tuple[Any, ...]:
        """The draws of each step. Lengths may change on the way, so every step is applied to find them."""
        draws = []
        for step in self.steps:
            draws.append(step.draw(batch, generator))
            batch = step.apply(batch, draws[-1])
        return tuple(draws)

    def apply(self, batch: Batch, draws: tuple[Any, ...]) -> Batch:
        """Every step with its draws."""
        for step, drawn in zip(self.steps, draws, strict=True):
            batch = step.apply(batch, drawn)
        return batch

    def draw_and_apply(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw and apply, each step once."""
        for step in self.steps:
            batch = step.draw_and_apply(batch, generator)
        return batch


def build_augmentation(node: DictConfig | None) -> Augmentation:
    """The augmentation that `aug` describes.

    Args:
        node: the settings of each step under its own name, as `aug=[ebm,speed]` composes them; None for `aug=[]`.

    Returns:
        The step itself where there is one, else a `Chain`.

    Raises:
        SeenetError: no step, or one without `_target_`.
    """
    if not node:
        raise SeenetError("aug names no augmentation; aug=none leaves every clip as it is")
    steps = []
    for name, step in node.items():
        if not OmegaConf.is_dict(step) or "_target_" not in step:
            raise SeenetError(
                f"aug.{name}={step}: expected an augmentation with its _target_; conf/aug/mine.yaml nests its settings "
                "under a key of its own, 'mine:'"
            )
        steps.append(instantiate_checked(step, f"aug.{name}"))
    return steps[0] if len(steps) == 1 else Chain(steps)
