"""No augmentation."""

import torch

from seenet.data.augmentation.base import Augmentation
from seenet.data.batch import Batch


class Identity(Augmentation):
    """An augmentation that changes nothing."""

    def draw(self, batch: Batch, generator: torch.Generator) -> None:
        """Draw nothing."""

    def apply(self, batch: Batch, draws: None) -> Batch:
        """Return the same batch."""
        return batch
