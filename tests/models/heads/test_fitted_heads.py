"""Fitted heads against scikit-learn without the rotation, and their edge cases."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from seenet.core.errors import SeenetError
from seenet.models.heads.fitted import FittedHead, standardize_speakers
from seenet.models.heads.logistic import LogisticHead
from seenet.models.heads.majority import MajorityHead
from seenet.models.heads.svm import SvmHead


def make_clusters(dim: int, clips: int = 60, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.sort(rng.integers(0, classes, clips))
    centres = rng.normal(size=(classes, dim))
    pooled = (5 + rng.normal(size=(clips, dim)) * 1.5 + centres[labels]) * rng.uniform(0.1, 9, dim)
    return pooled.astype(np.float32), labels


@pytest.mark.parametrize("dim", [20, 200], ids=["fewer dimensions than clips", "more"])
def test_logistic_head_equals_scikit_learn(dim: int):
    pooled, labels = make_clusters(dim)
    head = LogisticHead(dim, 3, [0.01, 0.1], max_iterations=2000)
    for c in head.fit(pooled, labels, head.c):
        expected = make_pipeline(
            StandardScaler(), LogisticRegression(C=c, class_weight="balanced", tol=1e-8, max_iter=5000)
        )
        probabilities = expected.fit(pooled.astype(float), labels).predict_proba(pooled)
        torch.testing.assert_close(
            head(torch.from_numpy(pooled)).softmax(1).double(), torch.from_numpy(probabilities), atol=2e-3, rtol=0
        )


@pytest.mark.parametrize("dim", [20, 200])
def test_svm_head_equals_scikit_learn(dim: int):
    pooled, labels = make_clusters(dim)
    head = SvmHead(dim, 3, [0.01])
    next(head.fit(pooled, labels, [0.01]))
    expected = make_pipeline(StandardScaler(), LinearSVC(C=0.01, class_weight="balanced", random_state=0))
    scores = expected.fit(pooled.astype(float), labels).decision_function(pooled)
    assert (head(torch.from_numpy(pooled)).argmax(1).numpy() == scores.argmax(1)).mean() > 0.98


def test_majority_head_ignores_the_clip():
    pooled, labels = make_clusters(4)
    head = MajorityHead(4, 3)
    next(head.fit(pooled, labels, head.c))
    probabilities = head(torch.from_numpy(pooled)).softmax(1)
    assert (probabilities == probabilities[0]).all()
    torch.testing.assert_close(
        probabilities[0], torch.from_numpy((np.bincount(labels) + 0.5) / (len(labels) + 1.5)).float()
    )


@pytest.mark.parametrize("make", [LogisticHead, SvmHead])
def test_a_class_without_clips_and_two_classes(make: type[FittedHead]):
    pooled, labels = make_clusters(6, classes=2)
    head = make(6, 4, [0.1])
    next(head.fit(pooled, np.where(labels == 1, 3, 0), [0.1]))
    probabilities = head(torch.from_numpy(pooled)).softmax(1)
    assert probabilities[:, [1, 2]].max() < 1e-6
    assert (probabilities.argmax(1).numpy() == np.where(labels == 1, 3, 0)).mean() > 0.75


def test_constant_components_and_equal_runs():
    pooled, labels = make_clusters(80)
    pooled[:, :10] = 7
    heads = []
    for _ in range(2):
        head = LogisticHead(80, 3, [0.01])
        next(head.fit(pooled, labels, [0.01]))
        heads.append(head(torch.from_numpy(pooled)))
    assert torch.isfinite(heads[0]).all()
    assert torch.equal(*heads)


@pytest.mark.parametrize("c", [[], [0.0], [-1.0, 1.0]])
def test_wrong_strengths_are_named(c: list[float]):
    with pytest.raises(SeenetError, match=r"head\.c=.*above 0"):
        LogisticHead(4, 2, c)


def test_one_head_for_each_layer_averages_their_logits():
    """Statistics, layers, components: the columns of a layer are not next to each other."""
    pooled, labels = make_clusters(2 * 3 * 5)
    layout = (2, 3, 5)
    head = LogisticHead(30, 3, [0.1], by_layer=True)
    next(head.fit(pooled, labels, [0.1], layout))
    logits = []
    for layer in range(3):
        columns = pooled.reshape(len(pooled), *layout)[:, :, layer].reshape(len(pooled), -1)
        single = LogisticHead(10, 3, [0.1])
        next(single.fit(columns, labels, [0.1]))
        logits.append(single(torch.from_numpy(columns)))
    torch.testing.assert_close(head(torch.from_numpy(pooled)), torch.stack(logits).mean(0), atol=1e-4, rtol=1e-4)


def test_speakers_are_standardised_by_their_own_clips():
    rng = np.random.default_rng(0)
    speakers = np.repeat([3, 0, 3, 1], 5)
    clips = (rng.normal(size=(20, 4)) * (1 + speakers[:, None]) + 10 * speakers[:, None]).astype(np.float32)
    found = standardize_speakers(clips, speakers)
    for speaker in (0, 1, 3):
        np.testing.assert_allclose(found[speakers == speaker].mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(found[speakers == speaker].std(0), 1, atol=1e-5)
