"""Base class of auxiliary tasks with one linear classifier on the pooled vector."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seenet.core.errors import SeenetError
from seenet.data.batch import Batch
from seenet.models.auxiliary.base import AuxiliaryTask


class LinearTask(AuxiliaryTask):
    """A linear classifier with loss CE + λ · CE_aux; the main head alone predicts.

    CE_aux is the mean over the clips with a known target.

    Args:
        dim: width of a pooled vector.
        outputs: number of target classes.
        weight: λ.

    Raises:
        SeenetError: `weight` is negative or not finite.
    """

    def __init__(self, dim: int, outputs: int, weight: float):
        super().__init__()
        if not 0 <= weight < math.inf:
            raise SeenetError(f"aux_task.weight={weight}: expected 0 or more")
        self.weight, self.head = weight, nn.Linear(dim, outputs)

    @abstractmethod
    def targets(self, batch: Batch) -> Tensor:
        """Return the target class of each clip, from 0; -1 if unknown. Shape (batch,)."""

    def loss(
        self, main_loss: Tensor, pooled: Tensor, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return CE + λ · CE_aux and CE_aux, which is 0 if all targets are unknown. Scalars."""
        targets = self.targets(batch)
        total = F.cross_entropy(self.head(pooled).float(), targets, ignore_index=-1, reduction="sum")
        auxiliary = total / (targets >= 0).sum().clamp(min=1)
        return main_loss + self.weight * auxiliary, auxiliary

    def predict(self, probabilities: Tensor, pooled: Tensor) -> Tensor:
        """Return the probabilities of the main head. Shape (batch, classes)."""
        return probabilities


def find_known_values(values: Tensor, task: str) -> Tensor:
    """Return the distinct known values (not -1), ascending.

    Args:
        values: values of the training clips. Shape (clips,).
        task: name of the task, as in `aux_task=`.

    Raises:
        SeenetError: there are fewer than two values, hence nothing to learn.
    """
    found: Tensor = torch.unique(values[values >= 0])
    if len(found) < 2:
        raise SeenetError(
            f"aux_task={task} needs training clips of at least two {task}s, but the corpus names {len(found)}; "
            "choose aux_task=see or aux_task=none"
        )
    return found
