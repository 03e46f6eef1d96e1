"""The solver of linear heads against closed forms."""

import numpy as np
import pytest

from seenet.models.heads.linear_solver import solve_path


def make_problem(clips: int, dim: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(clips, dim)) @ rng.normal(size=(dim, dim)) * 0.3  # correlated
    return vectors, rng.normal(size=(clips, 3)) + 2, rng.uniform(0.2, 3, clips)


@pytest.mark.parametrize("curvature", [0.1, 1.0, 4.0])
@pytest.mark.parametrize(("clips", "dim"), [(80, 12), (15, 15)])
def test_quadratic_loss_gives_ridge_regression_without_a_penalty_of_the_bias(clips: int, dim: int, curvature: float):
    vectors, targets, weights = make_problem(clips, dim)

    def squared(scores: np.ndarray) -> tuple[float, np.ndarray]:
        error = scores - targets
        return float(0.5 * (weights[:, None] * error**2).sum()), weights[:, None] * error

    c = [0.01, 0.1, 1.0]
    extended = np.column_stack([vectors, np.ones(clips)])
    for value, (weight, bias) in zip(
        c, solve_path(vectors, squared, 3, weights, curvature, 1e-6, c, 1000), strict=True
    ):
        penalty = np.diag([1.0] * dim + [0.0])
        normal = penalty + value * extended.T @ (weights[:, None] * extended)
        exact = np.linalg.solve(normal, value * extended.T @ (weights[:, None] * targets))
        np.testing.assert_allclose(np.vstack([weight.T, bias]), exact, atol=2e-3 * np.abs(exact).max())


def test_path_ends_where_a_single_fit_ends():
    vectors, targets, weights = make_problem(80, 12)
    signs = np.sign(targets - 2)

    def squared_hinge(scores: np.ndarray) -> tuple[float, np.ndarray]:
        slack = np.maximum(0, 1 - signs * scores)
        return float((weights[:, None] * slack**2).sum()), -2 * weights[:, None] * signs * slack

    settings = (3, weights, 1.0, 1e-6)
    *_, (weight, bias) = solve_path(vectors, squared_hinge, *settings, [0.01, 0.1, 1.0], 1000)
    ((alone, own),) = solve_path(vectors, squared_hinge, *settings, [1.0], 1000)
    np.testing.assert_allclose(weight, alone, atol=1e-3 * np.abs(alone).max())
    np.testing.assert_allclose(bias, own, atol=1e-3)
