"""Speaker as the auxiliary task: a baseline of the paper's ablation (Li et al. 2025)."""

import torch
from torch import Tensor

from seenet.data.batch import Batch
from seenet.data.targets import TargetSpec
from seenet.models.auxiliary.linear_task import LinearTask, find_known_values


class Speaker(LinearTask):
    """Predicts which of the training speakers is heard.

    Args:
        dim: width of a pooled vector.
        num_classes: how many emotions.
        target_spec: speakers and genders of the training part.
        weight: λ.
    """

    def __init__(self, dim: int, num_classes: int, target_spec: TargetSpec, weight: float = 0.01):
        speakers = find_known_values(target_spec.speakers, "speaker")
        super().__init__(dim, len(speakers), weight)
        # Not in checkpoints: the numbers are the corpus' own, and known whenever there is something to train on.
        self.register_buffer("speakers", speakers, persistent=False)

    def targets(self, batch: Batch) -> Tensor:
        """Each speaker's place among the training speakers; -1 for one who is not among them."""
        places = torch.searchsorted(self.speakers, batch.speakers).clamp(max=len(self.speakers) - 1)
        return torch.where(self.speakers[places] == batch.speakers, places, -1)
