"""The contract of a test condition."""

from abc import ABC, abstractmethod

from seenet.data.batch import Batch


class Noise(ABC):
    """A change to the clips of a test fold. It never touches training, so it never retrains."""

    @abstractmethod
    def __call__(self, batch: Batch) -> Batch:
        """The batch as the model hears it; a function of each clip alone, the same in every run."""
