"""Metrics of a complete fold against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from seenet.evaluation.fold_metrics import ConfusionMetric


@pytest.mark.parametrize("size", [1, 7, 100])
def test_confusion_metric_equals_sklearn_for_every_batch_size(size: int):
    rng = np.random.default_rng(0)
    labels, predicted = rng.integers(0, 4, 100), rng.integers(0, 4, 100)
    metrics = ConfusionMetric(4)
    for start in range(0, 100, size):
        scores = torch.eye(4)[predicted[start : start + size]]
        metrics.update(scores, torch.tensor(labels[start : start + size]))
    values = metrics.compute()
    assert values["ua"].item() == pytest.approx(recall_score(labels, predicted, average="macro"))
    assert values["wa"].item() == pytest.approx(accuracy_score(labels, predicted))
    assert values["macro_f1"].item() == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert values["recall"].tolist() == pytest.approx(recall_score(labels, predicted, average=None).tolist())
    assert values["confusion"].tolist() == confusion_matrix(labels, predicted).tolist()


def test_confusion_metric_ua_ignores_classes_that_do_not_occur():
    metrics = ConfusionMetric(4)
    metrics.update(torch.eye(4)[[0, 1, 3, 1]], torch.tensor([0, 0, 1, 1]))
    values = metrics.compute()
    assert values["ua"].item() == pytest.approx(0.5)
    assert torch.isnan(values["recall"]).tolist() == [False, False, True, True]
