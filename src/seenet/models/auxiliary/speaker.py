"""Speaker as the auxiliary task: a baseline of the paper's ablation (Li et al. 2025)."""

import torch
from torch import Tensor

from seenet.data.batch import Batch
from seenet.data.targets import TargetSpec
from seenet.models.auxiliary.linear_task import LinearTask, find_known_values


class Speaker(LinearTask):
    """Classification of the training speaker of a clip.

    Args:
        dim: width of a pooled vector.
        num_classes: number of emotions.
        target_spec: speakers and genders of the training part.
        weight: λ.
    """

    speakers: Tensor

    def __init__(self, dim: int, num_classes: int, target_spec: TargetSpec, weight: float = 0.01):
        speakers = find_known_values(target_spec.speakers, "speaker")
        super().__init__(dim, len(speakers), weight)
        # Not in checkpoints: speaker numbers belong to the corpus and are known whenever training starts.
        self.register_buffer("speakers", speakers, persistent=False)

    def targets(self, batch: Batch) -> Tensor:
        """Return the position of each speaker among the training speakers, or -1. Shape (batch,)."""
        positions = torch.searchsorted(self.speakers, batch.speakers).clamp(max=len(self.speakers) - 1)
        return torch.where(self.speakers[positions] == batch.speakers, positions, -1)
