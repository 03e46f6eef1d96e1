"""A linear support vector machine as head."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from seenet.models.heads.fitted import FittedHead, Normalization, Solution
from seenet.models.heads.logistic import ABSENT_CLASS


class SvmHead(FittedHead):
    """A linear support vector machine, one class against the others, with balanced class weights (scikit-learn).

    Its scores are no log probabilities; the temperature of the development part calibrates them.

    Args:
        dim: width of a pooled vector.
        num_classes: number of emotions.
        c: values of C from which the development speakers select.
        refit: whether to fit the selected head again on training and development part together.
        by_layer: whether to fit one classifier for each layer and to average their logits.
        normalize: see `FittedHead`.
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
    ):
        super().__init__(dim, num_classes, c, refit, by_layer, normalize)

    def solve(self, vectors: NDArray[np.float64], labels: NDArray[np.int64], c: Sequence[float]) -> Iterator[Solution]:
        """Yield the solution for each C."""
        for value in c:
            model = LinearSVC(C=value, class_weight="balanced", dual=len(vectors) <= vectors.shape[1], random_state=0)
            model.fit(vectors, labels)
            weight, bias = model.coef_, model.intercept_
            if len(model.classes_) == 2:  # scikit-learn keeps one row
                weight, bias = np.concatenate([-weight, weight]), np.concatenate([-bias, bias])
            present = model.classes_.astype(np.int64)
            yield self._fill(weight, present, 0.0), self._fill(bias, present, ABSENT_CLASS)
