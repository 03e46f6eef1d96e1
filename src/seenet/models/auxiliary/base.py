"""The contract of an auxiliary task."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from seenet.data.batch import Batch


class AuxiliaryTask(nn.Module, ABC):
    """A second task on the pooled vectors, with its own head, targets, loss and share of the prediction.

    Built with what is only known at run time: `dim`, the width of a pooled vector, `num_classes`, how many emotions
    there are, and `target_spec`, the speakers and genders of the training part (`seenet.data.targets.TargetSpec`).
    """

    @abstractmethod
    def loss(
        self, main_loss: Tensor, pooled: Tensor, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Join the main loss with the auxiliary one.

        Args:
            main_loss: cross-entropy of the main head. Scalar.
            pooled: shape (batch, dim).
            batch: where the targets are.
            generator: the only source of randomness, on the device of `pooled`.

        Returns:
            The loss to minimise and the auxiliary loss alone. Scalars.
        """

    @abstractmethod
    def predict(self, probabilities: Tensor, pooled: Tensor) -> Tensor:
        """Class probabilities of the whole model.

        Args:
            probabilities: of the main head. Shape (batch, classes).
            pooled: shape (batch, dim).

        Returns:
            Shape (batch, classes).
        """
