"""Minimisation of a convex loss of a linear map with an L2 penalty, for several strengths of the penalty."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.optimize import minimize

Loss = Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]
"""Maps scores, shape (clips, classes), to the sum of losses and its gradient, of the same shape."""


def solve_path(
    vectors: NDArray[np.float64],
    loss: Loss,
    classes: int,
    weights: NDArray[np.float64],
    curvature: float,
    tolerance: float,
    c: Sequence[float],
    max_iterations: int,
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Yield the minimum of ½ |W|² + C · loss(X Wᵀ + b) for each C; each starts from the one before.

    L-BFGS works on V = Lᵀ [W b]ᵀ, where L Lᵀ is the Hessian of the penalty and of a quadratic loss with curvature h and
    clip weights S. In these coordinates it takes a fraction of the iterations, and |W|² = |V|² - C h |S^½ X L⁻ᵀ V|².

    Args:
        vectors: X, standardised. Shape (clips, dim).
        loss: convex.
        classes: number of scores of a clip.
        weights: S, the weight of each clip in the loss, approximately. Shape (clips,).
        curvature: h, a typical second derivative of the loss of a clip of weight 1. It changes the time alone.
        tolerance: largest element of the gradient of the mean loss by V at which L-BFGS stops.
        c: values of C.
        max_iterations: limit of L-BFGS.

    Yields:
        Weights, shape (classes, dim), and biases, shape (classes,).
    """
    extended = np.column_stack([vectors, np.ones(len(vectors))]).astype(np.float32)
    dim = vectors.shape[1]
    scaled = extended * np.sqrt(weights, dtype=np.float32)[:, None]
    gram = (scaled.T @ scaled).astype(np.float64)
    solution = np.zeros((dim + 1, classes))
    for value in c:
        hessian = value * curvature * gram
        hessian[np.arange(dim), np.arange(dim)] += 1  # the bias has no penalty
        lower = scipy.linalg.cholesky(hessian, lower=True)
        rows = np.ascontiguousarray(scipy.linalg.solve_triangular(lower.astype(np.float32), extended.T, lower=True).T)

        def objective(
            flat: NDArray[np.float64], c: float = value, rows: NDArray[np.float32] = rows
        ) -> tuple[float, NDArray[np.float64]]:
            current = flat.reshape(dim + 1, classes)
            scores = (rows @ current.astype(np.float32)).astype(np.float64)
            total, gradient = loss(scores)
            quadratic = curvature * weights[:, None] * scores
            norm = np.square(current).sum() - c * (quadratic * scores).sum()
            slope = current + c * (rows.T @ (gradient - quadratic).astype(np.float32))
            scale = c * weights.sum()
            return (0.5 * norm + c * total) / scale, slope.ravel() / scale

        options = {"maxiter": max_iterations, "gtol": tolerance, "ftol": 1e-10}
        found = minimize(objective, (lower.T @ solution).ravel(), jac=True, method="L-BFGS-B", options=options)
        solution = scipy.linalg.solve_triangular(lower.T, found.x.reshape(dim + 1, classes), lower=False)
        yield solution[:-1].T, solution[-1]
