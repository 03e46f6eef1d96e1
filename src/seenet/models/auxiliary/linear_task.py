"""What gender and speaker share: a linear head on the pooled vector that predicts something else of a clip."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seenet.core.errors import SeenetError
from seenet.data.batch import Batch
from seenet.models.auxiliary.base import AuxiliaryTask


class LinearTask(AuxiliaryTask):
    """Loss CE + λ · CE_aux, CE_aux the mean over the clips whose target is known; prediction by the main head alone.

    Args:
        dim: width of a pooled vector.
        outputs: how many targets there are.
        weight: λ.
    """

    def __init__(self, dim: int, outputs: int, weight: float):
        super().__init__()
        if not 0 <= weight < math.inf:
            raise SeenetError(f"aux_task.weight={weight}: expected 0 or more")
        self.weight, self.head = weight, nn.Linear(dim, outputs)

    @abstractmethod
    def targets(self, batch: Batch) -> Tensor:
        """What the head learns of each clip, from 0; -1 where unknown. Shape (batch,)."""

    def loss(
        self, main_loss: Tensor, pooled: Tensor, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """CE + λ · CE_aux; CE_aux is 0 for a batch of unknowns."""
        targets = self.targets(batch)
        total = F.cross_entropy(self.head(pooled).float(), targets, ignore_index=-1, reduction="sum")
        auxiliary = total / (targets >= 0).sum().clamp(min=1)
        return main_loss + self.weight * auxiliary, auxiliary

    def predict(self, probabilities: Tensor, pooled: Tensor) -> Tensor:
        """What the main head says."""
        return probabilities


def find_known_values(values: Tensor, what: str) -> Tensor:
    """The different values that are known (not -1), sorted.

    Args:
        values: of the training clips. Shape (clips,).
        what: the task, as in `aux_task=`.

    Raises:
        SeenetError: fewer than two, so that there is nothing to learn.
    """
    found = values[values >= 0].unique()
    if len(found) < 2:
        raise SeenetError(
            f"aux_task={what} needs training clips of at least two {what}s, and the corpus names {len(found)}; "
            "take aux_task=see or aux_task=none"
        )
    return found
