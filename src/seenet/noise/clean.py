"""Clips as they were recorded."""

from seenet.data.batch import Batch
from seenet.noise.base import Noise


class Clean(Noise):
    """Adds nothing."""

    def __call__(self, batch: Batch) -> Batch:
        """The same batch."""
        return batch
