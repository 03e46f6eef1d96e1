"""Chains of augmentations, and their construction from `aug` in the configuration."""

from collections.abc import Sequence
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.data.augmentation.base import Augmentation
from seenet.data.batch import Batch

COPIES = "copies"
"""The setting of the group `aug` that is no step."""


class Chain(Augmentation):
    """A sequence of augmentations; each draws for the output of the previous one.

    Args:
        steps: the augmentations in order.
    """

    def __init__(self, steps: Sequence[Augmentation]):
        self.steps = tuple(steps)
        self.needs_partner = any(step.needs_partner for step in self.steps)

    def draw(self, batch: Batch, generator: torch.Generator) -> tuple[Any, ...]:
        """Draw for each step; apply each step too, because it may change the lengths."""
        draws = []
        for step in self.steps:
            draws.append(step.draw(batch, generator))
            batch = step.apply(batch, draws[-1])
        return tuple(draws)

    def apply(self, batch: Batch, draws: tuple[Any, ...]) -> Batch:
        """Apply every step with its draws."""
        for step, drawn in zip(self.steps, draws, strict=True):
            batch = step.apply(batch, drawn)
        return batch

    def draw_and_apply(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Draw and apply each step once."""
        for step in self.steps:
            batch = step.draw_and_apply(batch, generator)
        return batch


def build_augmentation(node: DictConfig | None) -> Augmentation:
    """Build the augmentation that `aug` describes.

    Args:
        node: the settings of each step under its name, as `aug=[ebm,speed]` composes them; None for `aug=[]`.

    Returns:
        The step itself if there is one, else a `Chain`.

    Raises:
        SeenetError: there is no step, or a step has no `_target_`.
    """
    if not node or set(node) <= {COPIES}:
        raise SeenetError("aug names no augmentation; choose aug=none to change no clip")
    steps: list[Augmentation] = []
    for name, step in node.items():
        if name == COPIES:
            continue
        where = "aug." + str(name)
        if not OmegaConf.is_dict(step) or "_target_" not in step:
            raise SeenetError(
                f"{where}={step}: expected an augmentation with a _target_; conf/aug/mine.yaml nests its settings "
                "under its name, 'mine:'"
            )
        steps.append(instantiate_checked(step, where))
    return steps[0] if len(steps) == 1 else Chain(steps)
