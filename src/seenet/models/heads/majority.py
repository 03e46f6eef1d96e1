"""The most frequent class as head: the simplest baseline."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from seenet.models.heads.fitted import FittedHead, Solution

SMOOTHING = 0.5
"""Clips added to the count of each class."""


class MajorityHead(FittedHead):
    """The logarithm of the share of each class in training, whatever the recording.

    Args:
        dim: width of a pooled vector.
        num_classes: number of emotions.
    """

    def __init__(self, dim: int, num_classes: int):
        super().__init__(dim, num_classes)

    def solve(self, vectors: NDArray[np.float64], labels: NDArray[np.int64], c: Sequence[float]) -> Iterator[Solution]:
        """Yield weights of 0 and the logarithms of the shares."""
        classes = len(self.bias)
        counts = np.bincount(labels, minlength=classes) + SMOOTHING
        for _ in c:
            yield np.zeros((classes, vectors.shape[1])), np.log(counts / counts.sum())
