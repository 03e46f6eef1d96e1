"""A linear support vector machine as head."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from seenet.models.heads.fitted import FittedHead, Normalization, Solution
from seenet.models.heads.logistic import ABSENT_CLASS


class SvmHead(FittedHead):
    """A linear support vector machine, one class against the others, with balanced class weights.

    It minimises ½ |w|² + C Σ weight · max(0, 1 - y f(x))² for every class by L-BFGS, which takes a fraction of the time
    of liblinear for dense features. Its scores are no log probabilities; the temperature of the development part
    calibrates them.

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
        extended = np.column_stack([vectors, np.ones(len(vectors))]).astype(np.float32)
        is_class = positions[:, None] == np.arange(len(present))
        signs = np.where(is_class, 1.0, -1.0).astype(np.float32)
        share = is_class.mean(0)
        balance = (0.5 / np.where(is_class, share, 1 - share)).astype(
            np.float32
        )  # both sides of a class weigh the same
        solution = np.zeros((extended.shape[1], len(present)))
        for value in c:
            solution = self._minimize(extended, signs, value * balance, solution)
            weight, bias = solution[:-1].T, solution[-1]
            yield self._fill(weight, present, 0.0), self._fill(bias, present, ABSENT_CLASS)

    def _minimize(
        self,
        extended: NDArray[np.float32],
        signs: NDArray[np.float32],
        costs: NDArray[np.float32],
        start: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Return weights with the bias in the last row. Shape (dim + 1, classes)."""

        def objective(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            weights = flat.reshape(start.shape)
            slack = np.maximum(0, 1 - signs * (extended @ weights.astype(np.float32)))
            penalised = np.vstack([weights[:-1], np.zeros_like(weights[:1])])
            loss = 0.5 * np.square(penalised).sum() + float((costs * np.square(slack)).sum(dtype=np.float64))
            gradient = penalised - 2 * (extended.T @ (costs * signs * slack)).astype(np.float64)
            return loss, gradient.ravel()

        options = {"maxiter": self.max_iterations, "ftol": 1e-7}
        found = minimize(objective, start.ravel(), jac=True, method="L-BFGS-B", options=options)
        solution: NDArray[np.float64] = found.x.reshape(start.shape)
        return solution
