"""No auxiliary task."""

import torch
from torch import Tensor

from seenet.data.batch import Batch
from seenet.data.targets import TargetSpec
from seenet.models.auxiliary.base import AuxiliaryTask


class NoAuxiliary(AuxiliaryTask):
    """The main head alone.

    Args:
        dim: width of a pooled vector.
        num_classes: how many emotions.
        target_spec: speakers and genders of the training part.
    """

    def __init__(self, dim: int, num_classes: int, target_spec: TargetSpec):
        super().__init__()

    def loss(
        self, main_loss: Tensor, pooled: Tensor, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The main loss and zero."""
        return main_loss, main_loss.new_zeros(())

    def predict(self, probabilities: Tensor, pooled: Tensor) -> Tensor:
        """What the main head says."""
        return probabilities
