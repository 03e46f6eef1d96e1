"""No auxiliary task."""

import torch
from torch import Tensor

from seenet.data.batch import Batch
from seenet.data.targets import TargetSpec
from seenet.models.auxiliary.base import AuxiliaryTask


class NoAuxiliary(AuxiliaryTask):
    """The absence of an auxiliary task.

    Args:
        dim: width of a pooled vector.
        num_classes: number of emotions.
        target_spec: speakers and genders of the training part.
    """

    def __init__(self, dim: int, num_classes: int, target_spec: TargetSpec):
        super().__init__()

    def loss(
        self, main_loss: Tensor, pooled: Tensor, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the main loss and zero. Scalars."""
        return main_loss, main_loss.new_zeros(())

    def predict(self, probabilities: Tensor, pooled: Tensor) -> Tensor:
        """Return the probabilities of the main head. Shape (batch, classes)."""
        return probabilities
