"""No auxiliary task."""

import torch
from torch import Tensor

from seenet.data.batch import Batch
from seenet.data.dataset import FoldPart
from seenet.models.auxiliary.base import AuxiliaryTask


class NoAuxiliary(AuxiliaryTask):
    """The main head alone.

    Args:
        dim: width of a pooled vector.
        num_classes: how many emotions.
        train: the training part.
    """

    def __init__(self, dim: int, num_classes: int, train: FoldPart):
        super().__init__()

    def loss(
        self, main_loss: Tensor, pooled: Tensor, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The main loss and zero."""
        return main_loss, main_loss.new_zeros(())

    def predict(self, probabilities: Tensor, pooled: Tensor) -> Tensor:
        """What the main head says."""
        return probabilities
