"""Gender as the auxiliary task: a baseline of the paper's ablation (Li et al. 2025)."""

from torch import Tensor

from seenet.data.batch import Batch
from seenet.data.dataset import GENDERS
from seenet.data.targets import TargetSpec
from seenet.models.auxiliary.linear_task import LinearTask, find_known_values


class Gender(LinearTask):
    """Classification of the gender of the speaker.

    Args:
        dim: width of a pooled vector.
        num_classes: number of emotions.
        target_spec: speakers and genders of the training part.
        weight: λ.
    """

    def __init__(self, dim: int, num_classes: int, target_spec: TargetSpec, weight: float = 0.01):
        find_known_values(target_spec.genders, "gender")
        super().__init__(dim, len(GENDERS), weight)

    def targets(self, batch: Batch) -> Tensor:
        """Return the genders. Shape (batch,)."""
        return batch.genders
