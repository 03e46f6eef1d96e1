"""Pooling against plain sums; metrics against scikit-learn, over a whole fold."""

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

from seenet.core.seeds import derive_seed
from seenet.evaluation.fold_metrics import ConfusionMetric
from seenet.models.pooling import AttentionPooling, MeanPooling


@pytest.mark.parametrize("size", [1, 7, 100])
def test_metrics_of_a_fold_do_not_depend_on_batches(size: int):
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


def test_ua_is_over_the_classes_that_occur():
    metrics = ConfusionMetric(4)
    metrics.update(torch.eye(4)[[0, 1, 3, 1]], torch.tensor([0, 0, 1, 1]))
    values = metrics.compute()
    assert values["ua"].item() == pytest.approx(0.5)
    assert torch.isnan(values["recall"]).tolist() == [False, False, True, True]


def test_pooling_over_valid_frames():
    torch.manual_seed(0)
    frames, mask = torch.randn(2, 5, 3), torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    frames[1, 2:] = torch.nan  # what is not valid must not be touched
    torch.testing.assert_close(MeanPooling(3)(frames, mask)[1], frames[1, :2].mean(0))
    pooling = AttentionPooling(3)
    assert ((pooling.weight >= 0) & (pooling.weight < 1)).all()
    shares = torch.softmax(torch.tanh(frames[1, :2] @ pooling.weight), 0)
    torch.testing.assert_close(pooling(frames, mask)[1], shares @ frames[1, :2])


def test_streams_of_a_seed_differ():
    seeds = {derive_seed(seed, purpose, epoch) for seed in range(3) for purpose in range(4) for epoch in range(20)}
    assert len(seeds) == 3 * 4 * 20
    assert derive_seed(1, 2, 3) == derive_seed(1, 2, 3)
    assert all(0 <= s < 2**63 for s in seeds)
