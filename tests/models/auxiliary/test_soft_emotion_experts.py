"""Soft emotion experts against a plain loop, hard negatives against the softmax."""

import pytest
import torch
from scipy.stats import chisquare
from torch.nn import functional as F

from seenet.core.errors import SeenetError
from seenet.data.batch import Batch
from seenet.models.auxiliary.none import NoAuxiliary
from seenet.models.auxiliary.soft_emotion_experts import SoftEmotionExperts

CLASSES, DIM = 4, 6
NO_TARGETS = None  # these tasks do not use the targets of the training part


def make_experts(
    seed: int = 0, batch: int = 9, width: int = 5
) -> tuple[SoftEmotionExperts, torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    see = SoftEmotionExperts(DIM, CLASSES, NO_TARGETS, weight=0.01, width=width)
    return see, torch.randn(batch, DIM, requires_grad=True), torch.randint(0, CLASSES, (batch,))


def batch_of_labels(labels: torch.Tensor) -> Batch:
    zeros = torch.zeros(len(labels), dtype=torch.long)
    return Batch(torch.zeros(len(labels), 1), zeros + 1, labels, zeros, zeros, zeros)


def embed_by_one_expert(see: SoftEmotionExperts, c: int, h: torch.Tensor) -> torch.Tensor:
    width = see.score_weight.shape[1]
    rows = slice(c * width, (c + 1) * width)
    return torch.relu(see.embed.weight[rows] @ h + see.embed.bias[rows])


def plain_loss(see: SoftEmotionExperts, pooled: torch.Tensor, labels: torch.Tensor, negatives: torch.Tensor):
    """Compute Σ_c BCE_c expert by expert, as the paper defines it."""
    total = torch.zeros(())
    for c in labels.unique().tolist():
        logits, targets = [], []
        for i in (labels == c).nonzero()[:, 0].tolist():
            for row, target in ((i, 1.0), (int(negatives[i]), 0.0)):
                logits.append(see.score_weight[c] @ embed_by_one_expert(see, c, pooled[row]) + see.score_bias[c])
                targets.append(target)
        total = total + F.binary_cross_entropy_with_logits(torch.stack(logits), torch.tensor(targets))
    return total


@pytest.mark.parametrize("seed", range(5))
def test_experts_loss_and_gradients_equal_the_plain_loop(seed: int):
    see, pooled, labels = make_experts(seed)
    negatives = see.sample_hard_negatives(see.embed_by_expert(pooled), labels, torch.Generator().manual_seed(seed))
    assert (labels[negatives] != labels).all()
    inputs = [pooled, *see.parameters()]
    ours = see.experts_loss(see.embed_by_expert(pooled), labels, negatives)
    plain = plain_loss(see, pooled, labels, negatives)
    torch.testing.assert_close(ours, plain, atol=1e-6, rtol=0)
    for mine, theirs in zip(torch.autograd.grad(ours, inputs), torch.autograd.grad(plain, inputs), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=0)
        assert theirs.abs().max() > 0


def test_sample_hard_negatives_follows_the_softmax():
    see, pooled, labels = make_experts(3)
    embeddings = see.embed_by_expert(pooled)
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([see.sample_hard_negatives(embeddings, labels, generator) for _ in range(4000)])
    for i in range(len(labels)):
        c = int(labels[i])
        scores = torch.stack([embed_by_one_expert(see, c, pooled[i]) @ embed_by_one_expert(see, c, h) for h in pooled])
        expected = torch.softmax(scores.masked_fill(labels == labels[i], -torch.inf), 0).detach()
        counts = torch.bincount(draws[:, i], minlength=len(labels))
        others = labels != labels[i]
        assert counts[~others].sum() == 0
        assert (
            chisquare(counts[others].numpy(), expected[others].double().numpy() * 4000, sum_check=False).pvalue > 1e-3
        )


def test_sample_hard_negatives_is_not_rounded_under_autocast():
    see, pooled, labels = make_experts(3)
    embeddings = 30 * see.embed_by_expert(pooled)
    plain = [see.sample_hard_negatives(embeddings, labels, torch.Generator().manual_seed(s)) for s in range(200)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = [see.sample_hard_negatives(embeddings, labels, torch.Generator().manual_seed(s)) for s in range(200)]
    assert torch.equal(torch.stack(plain), torch.stack(rounded))


def test_experts_loss_is_zero_when_the_batch_has_one_class():
    see, pooled, _ = make_experts()
    labels = torch.full((len(pooled),), 2)
    main = torch.tensor(1.5, requires_grad=True)
    loss, auxiliary = see.loss(main, pooled, batch_of_labels(labels), torch.Generator().manual_seed(0))
    assert auxiliary == 0
    assert loss.item() == pytest.approx(0.99 * 1.5)
    grads = torch.autograd.grad(loss, [pooled, *see.parameters()], allow_unused=True)
    assert all(g is None or not g.abs().any() for g in grads), "zero, not NaN"


def test_experts_weight_mixes_losses_and_predictions():
    see, pooled, labels = make_experts()
    generator = torch.Generator().manual_seed(0)
    loss, auxiliary = see.loss(torch.tensor(2.0), pooled, batch_of_labels(labels), generator)
    assert loss.item() == pytest.approx(0.99 * 2.0 + 0.01 * auxiliary.item())
    main = torch.softmax(torch.randn(len(labels), CLASSES), 1)
    logits = torch.stack(
        [
            torch.stack(
                [see.score_weight[c] @ embed_by_one_expert(see, c, h) + see.score_bias[c] for c in range(CLASSES)]
            )
            for h in pooled
        ]
    )
    torch.testing.assert_close(see.predict(main, pooled), 0.99 * main + 0.01 * logits.softmax(1))
    torch.testing.assert_close(see.predict(main, pooled).sum(1), torch.ones(len(labels)))


def test_gradient_reaches_the_negatives_but_not_their_sampling():
    see, pooled, labels = make_experts()
    embeddings = see.embed_by_expert(pooled)
    negatives = see.sample_hard_negatives(embeddings, labels, torch.Generator().manual_seed(0))
    assert not negatives.requires_grad
    (gradient,) = torch.autograd.grad(see.experts_loss(embeddings, labels, negatives), embeddings)
    rows, experts = negatives, labels
    assert (gradient[rows, experts].abs().sum(-1) > 0).any()


def test_no_auxiliary_returns_the_main_loss_and_prediction():
    task = NoAuxiliary(DIM, CLASSES, NO_TARGETS)
    main, pooled = torch.tensor(1.0), torch.randn(3, DIM)
    loss, auxiliary = task.loss(main, pooled, batch_of_labels(torch.tensor([0, 1, 2])), torch.Generator())
    assert loss is main
    assert auxiliary == 0
    assert task.predict(pooled, pooled) is pooled
    assert not list(task.parameters())


def test_experts_raise_when_weight_is_invalid():
    with pytest.raises(SeenetError, match="aux_task.weight"):
        SoftEmotionExperts(DIM, CLASSES, NO_TARGETS, weight=1.5)
