"""Targets of a training part: what heads must know about them before training."""

from dataclasses import dataclass

from torch import Tensor

from seenet.data.dataset import FoldPart


@dataclass(frozen=True)
class TargetSpec:
    """The distinct known targets of a training part, as an auxiliary task needs them for its head.

    A model on disk keeps them, so it is rebuilt without the corpus.

    Attributes:
        speakers: numbers of the training speakers, ascending. Shape (speakers,), int64.
        genders: numbers of the genders that occur, ascending (`seenet.data.dataset.GENDERS`). Shape (genders,), int64.
    """

    speakers: Tensor
    genders: Tensor

    @classmethod
    def of(cls, part: FoldPart) -> "TargetSpec":
        """Collect the targets of a training part; unknown ones (-1) do not count."""
        speakers, genders = (values[values >= 0].unique() for values in (part.speakers, part.genders))
        return cls(speakers, genders)
