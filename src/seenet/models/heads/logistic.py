"""Multinomial logistic regression as head."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from seenet.models.heads.fitted import FittedHead, Normalization, Solution

ABSENT_CLASS = -30.0
"""Logit offset of a class without training clips."""


class LogisticHead(FittedHead):
    """Multinomial logistic regression with an L2 penalty and balanced class weights, by L-BFGS (scikit-learn).

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
        model = LogisticRegression(max_iter=self.max_iterations, class_weight="balanced", warm_start=True)
        single = vectors.astype(np.float32)  # half the time
        for value in c:
            model.set_params(C=value).fit(single, labels)
            weight, bias = model.coef_, model.intercept_
            if len(model.classes_) == 2:  # scikit-learn keeps one row
                weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
            present = model.classes_.astype(np.int64)
            yield self._fill(weight, present, 0.0), self._fill(bias, present, ABSENT_CLASS)
