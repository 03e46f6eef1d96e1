"""Targets of a training part: what heads and losses must know about them before training."""

from dataclasses import dataclass

import torch
from torch import Tensor

from seenet.data.dataset import FoldPart


@dataclass(frozen=True)
class TargetSpec:
    """The targets of a training part, as heads and losses need them. A model on disk keeps them instead of the corpus.

    Attributes:
        class_counts: clips of each class. Shape (classes,), int64.
        speakers: numbers of the training speakers, ascending. Shape (speakers,), int64.
        genders: numbers of the genders that occur, ascending (`seenet.data.dataset.GENDERS`). Shape (genders,), int64.
    """

    class_counts: Tensor
    speakers: Tensor
    genders: Tensor

    @classmethod
    def of(cls, part: FoldPart, num_classes: int) -> "TargetSpec":
        """Collect the targets of a training part; unknown ones (-1) do not count."""
        speakers, genders = (torch.unique(values[values >= 0]) for values in (part.speakers, part.genders))
        return cls(torch.bincount(part.labels, minlength=num_classes), speakers, genders)
