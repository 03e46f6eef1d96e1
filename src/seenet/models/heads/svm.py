"""A linear support vector machine as head."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from seenet.models.heads.fitted import ABSENT_CLASS, FittedHead, Normalization, Solution
from seenet.models.heads.linear_solver import solve_path

CURVATURE, TOLERANCE = 1.0, 1e-4
"""For `solve_path`: the second derivative is 2 within the margin, else 0."""


class SvmHead(FittedHead):
    """A linear support vector machine, one class against the others, with balanced class weights.

    It minimises ½ |w|² + C Σ weight · max(0, 1 - y f(x))² for every class by L-BFGS. Its scores are no log
    probabilities; the temperature of the development part calibrates them.

    Args:
        dim: width of a pooled vector.
        num_classes: number of emotions.
        c: values of C from which the development speakers select.
        refit: whether to fit the selected head again on training and development part together.
        by_layer: whether to fit one classifier for each layer and to average their logits.
        normalize: see `FittedHead`.
        max_iterations: limit of L-BFGS.
    """

    calibrates = True

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
        is_class = positions[:, None] == np.arange(len(present))
        signs = np.where(is_class, 1.0, -1.0)
        share = is_class.mean(0)
        costs = 0.5 / np.where(is_class, share, 1 - share)  # both sides of a class weigh the same

        def squared_hinge(scores: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            slack = np.maximum(0, 1 - signs * scores)
            return float((costs * np.square(slack)).sum()), -2 * costs * signs * slack

        for weight, bias in solve_path(
            vectors, squared_hinge, len(present), costs.mean(1), CURVATURE, TOLERANCE, c, self.max_iterations
        ):
            yield self._fill(weight, present, 0.0), self._fill(bias, present, ABSENT_CLASS)
