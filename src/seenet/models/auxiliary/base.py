"""Base class of auxiliary tasks."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from seenet.data.batch import Batch


class AuxiliaryTask(nn.Module, ABC):
    """A second task on the pooled vectors, with its own head, targets and loss.

    The constructor receives three values at run time: `dim`, the width of a pooled vector, `num_classes`, the number of
    emotions, and `target_spec`, the speakers and genders of the training part (`seenet.data.targets.TargetSpec`).
    """

    @abstractmethod
    def loss(
        self, main_loss: Tensor, pooled: Tensor, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Combine the main loss with the auxiliary loss.

        Args:
            main_loss: loss of the main head. Scalar.
            pooled: shape (batch, dim).
            batch: the clips with their targets.
            generator: the only source of randomness, on the device of `pooled`.

        Returns:
            The loss to minimise and the auxiliary loss alone. Scalars.
        """

    @abstractmethod
    def predict(self, probabilities: Tensor, pooled: Tensor) -> Tensor:
        """Compute the class probabilities of the model.

        Args:
            probabilities: output of the main head. Shape (batch, classes).
            pooled: shape (batch, dim).

        Returns:
            Shape (batch, classes).
        """
