"""Multinomial logistic regression as head."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from seenet.models.heads.fitted import ABSENT_CLASS, FittedHead, Normalization, Solution
from seenet.models.heads.linear_solver import solve_path

CURVATURE, TOLERANCE = 0.05, 3e-5
"""For `solve_path`: the second derivative p (1 - p) falls as the clips are fitted; a fit as exact as scikit-learn's."""


class LogisticHead(FittedHead):
    """Multinomial logistic regression with an L2 penalty and balanced class weights, by L-BFGS.

    Args:
        dim: width of a pooled vector.
        num_classes: number of emotions.
        c: values of C from which the development speakers select.
        refit: whether to fit the selected head again on training and development part together.
        by_layer: whether to fit one classifier for each layer and to average their logits.
        normalize: see `FittedHead`.
        max_iterations: limit of L-BFGS.
    """

    def __init__(
        self,
        dim: int,
        num_classes: int,
        c: Sequence[float],
        refit: bool = True,
        by_layer: bool = False,
        normalize: Normalization = "corpus",
        max_iterations: int = 500,
    ):
        super().__init__(dim, num_classes, c, refit, by_layer, normalize)
        self.max_iterations = max_iterations

    def solve(self, vectors: NDArray[np.float64], labels: NDArray[np.int64], c: Sequence[float]) -> Iterator[Solution]:
        """Yield the solution for each C; each starts from the one before."""
        present, positions = np.unique(labels, return_inverse=True)
        rows = np.arange(len(labels))
        is_class = (positions[:, None] == np.arange(len(present))).astype(np.float64)
        weights = len(labels) / (len(present) * np.bincount(positions))[positions]

        def cross_entropy(scores: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            shifted = scores - scores.max(1, keepdims=True)
            powers = np.exp(shifted)
            sums = powers.sum(1, keepdims=True)
            losses = np.log(sums[:, 0]) - shifted[rows, positions]
            return float(weights @ losses), weights[:, None] * (powers / sums - is_class)

        for weight, bias in solve_path(
            vectors, cross_entropy, len(present), weights, CURVATURE, TOLERANCE, c, self.max_iterations
        ):
            yield self._fill(weight, present, 0.0), self._fill(bias, present, ABSENT_CLASS)
