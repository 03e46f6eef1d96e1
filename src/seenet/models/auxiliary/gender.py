"""Gender as the auxiliary task: a baseline of the paper's ablation (Li et al. 2025)."""

from torch import Tensor

from seenet.data.batch import Batch
from seenet.data.dataset import GENDERS, FoldPart
from seenet.models.auxiliary.linear_task import LinearTask, known_values


class Gender(LinearTask):
    """Predicts the speaker's gender.

    Args:
        dim: width of a pooled vector.
        num_classes: how many emotions.
        train: the training part.
        weight: λ.
    """

    def __init__(self, dim: int, num_classes: int, train: FoldPart, weight: float = 0.01):
        known_values(train.genders, "gender")
        super().__init__(dim, len(GENDERS), weight)

    def targets(self, batch: Batch) -> Tensor:
        """The genders."""
        return batch.genders
