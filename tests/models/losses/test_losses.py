"""Losses against their formulas, and wrong settings."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from seenet.core.errors import SeenetError
from seenet.data.targets import TargetSpec
from seenet.models.losses.cross_entropy import CrossEntropy
from seenet.models.losses.focal import FocalLoss

COUNTS = torch.tensor([1, 2, 5])
NOBODY = torch.zeros(0, dtype=torch.int64)
TARGETS = TargetSpec(COUNTS, NOBODY, NOBODY)


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(7, 3, requires_grad=True), torch.tensor([0, 1, 2, 2, 1, 0, 2])


def test_default_is_torchs_cross_entropy_to_the_bit(batch):
    assert torch.equal(CrossEntropy(TARGETS)(*batch), F.cross_entropy(*batch))


def test_balanced_weights_are_those_of_scikit_learn(batch):
    labels = np.repeat(np.arange(3), COUNTS.tolist())
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    loss = CrossEntropy(TARGETS, "balanced")
    np.testing.assert_allclose(loss.weight.numpy(), expected, rtol=1e-6)
    logits, targets = batch
    each = F.cross_entropy(logits, targets, reduction="none")
    weights = torch.tensor(expected)[targets]
    torch.testing.assert_close(loss(logits, targets).double(), (weights * each).sum() / weights.sum())


def test_label_smoothing_mixes_the_target_with_the_uniform_distribution(batch):
    logits, labels = batch
    logs = logits.log_softmax(1)
    target = 0.8 * F.one_hot(labels, 3) + 0.2 / 3
    torch.testing.assert_close(
        CrossEntropy(TARGETS, label_smoothing=0.2)(logits, labels), -(target * logs).sum(1).mean()
    )


def test_focal_loss_equals_its_formula(batch):
    logits, labels = batch
    p = logits.softmax(1)[torch.arange(7), labels]
    alpha = torch.tensor([0.5, 1.0, 2.0])
    expected = -(alpha[labels] * (1 - p) ** 1.5 * p.log()).mean()
    torch.testing.assert_close(FocalLoss(TARGETS, 1.5, [0.5, 1, 2])(logits, labels), expected)
    torch.testing.assert_close(FocalLoss(TARGETS, 0.0)(logits, labels), F.cross_entropy(logits, labels))


def test_focal_gradient_is_finite_where_the_model_is_certain():
    logits = torch.tensor([[100.0, -100.0]], requires_grad=True)
    FocalLoss(TARGETS, 0.5)(logits, torch.tensor([0])).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CrossEntropy(TARGETS, label_smoothing=1.0), "loss.label_smoothing=1.0: expected"),
        (lambda: CrossEntropy(TARGETS, [1, 2]), r"loss.class_weights=\[1, 2\]: expected null, balanced, or 3 numbers"),
        (lambda: CrossEntropy(TARGETS, [1, 2, -1]), "one per class"),
        (lambda: CrossEntropy(TARGETS, "even"), "loss.class_weights=even"),
        (lambda: FocalLoss(TARGETS, -1), "loss.gamma=-1: expected"),
    ],
)
def test_wrong_settings_are_named(make, words: str):
    with pytest.raises(SeenetError, match=words):
        make()
