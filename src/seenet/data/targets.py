"""Targets of a training part that heads need before training."""

from dataclasses import dataclass

from torch import Tensor

from seenet.data.dataset import FoldPart


@dataclass(frozen=True)
class TargetSpec:
    """The distinct known targets of a training part, which determine auxiliary heads.

    A model on disk stores them, which allows a rebuild without the corpus.

    Attributes:
        speakers: numbers of the training speakers, ascending. Shape (speakers,), int64.
        genders: numbers of the genders that occur, ascending (`seenet.data.dataset.GENDERS`). Shape (genders,), int64.
    """

    speakers: Tensor
    genders: Tensor

    @classmethod
    def of(cls, part: FoldPart) -> "TargetSpec":
        """Collect the known targets of a training part; -1 means unknown."""
        speakers, genders = (values[values >= 0].unique() for values in (part.speakers, part.genders))
        return cls(speakers, genders)
