"""No augmentation."""

import torch

from seenet.data.augmentation.base import Augmentation
from seenet.data.batch import Batch


class Identity(Augmentation):
    """Leaves every batch as it is."""

    def draw(self, batch: Batch, generator: torch.Generator) -> None:
        """Draws nothing."""

    def apply(self, batch: Batch, draws: None) -> Batch:
        """The same batch."""
        return batch
