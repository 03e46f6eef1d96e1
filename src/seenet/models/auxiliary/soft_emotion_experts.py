"""Soft emotion experts, SEE (Li et al. 2025), with hard-negative mining."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seenet.core.errors import SeenetError
from seenet.data.batch import Batch
from seenet.data.targets import TargetSpec
from seenet.models.auxiliary.base import AuxiliaryTask


class SoftEmotionExperts(AuxiliaryTask):
    """Experts E_c(h) = relu(W_c h + b_c) with logits g_c = v_c · E_c + d_c.

    The loss is (1 − λ) · CE + λ · Σ BCE_c over the classes of the batch. The prediction is (1 − λ) · p plus
    λ · softmax(g).

    Args:
        dim: width of a pooled vector.
        num_classes: number of emotions, hence of experts.
        target_spec: speakers and genders of the training part.
        weight: λ.
        width: width of the embedding of an expert.

    Raises:
        SeenetError: `weight` or `width` is out of range.
    """

    def __init__(self, dim: int, num_classes: int, target_spec: TargetSpec, weight: float = 0.01, width: int = 256):
        super().__init__()
        if not 0 <= weight <= 1:
            raise SeenetError(f"aux_task.weight={weight}: expected 0 to 1")
        if width < 1:
            raise SeenetError(f"aux_task.width={width}: expected 1 or more")
        self.weight, self.num_classes = weight, num_classes
        self.embed = nn.Linear(dim, num_classes * width)
        bound = width**-0.5
        self.score_weight = nn.Parameter(torch.empty(num_classes, width).uniform_(-bound, bound))
        self.score_bias = nn.Parameter(torch.empty(num_classes).uniform_(-bound, bound))

    def embed_by_expert(self, pooled: Tensor) -> Tensor:
        """Compute the embedding of each clip by each expert. Shape (batch, classes, width)."""
        return torch.unflatten(F.relu(self.embed(pooled)), 1, (self.num_classes, -1)).float()

    def logits(self, embeddings: Tensor) -> Tensor:
        """Compute the logit of each expert from its embedding. Shape (batch, classes)."""
        return (embeddings * self.score_weight).sum(-1) + self.score_bias

    @torch.no_grad()
    def sample_hard_negatives(self, embeddings: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """Sample one hard negative for each clip.

        The negative of clip i of class c is a clip j of another class with probability
        softmax_j(E_c(h_i) · E_c(h_j)). The argmax of the scores plus Gumbel noise has exactly this distribution. The
        result is undefined if the batch has one class.

        Args:
            embeddings: shape (batch, classes, width).
            labels: shape (batch,).
            generator: the only source of randomness.

        Returns:
            Positions in the batch. Shape (batch,).
        """
        by_expert = embeddings.transpose(0, 1)  # (classes, batch, width)
        with torch.autocast(embeddings.device.type, enabled=False):  # bf16 rounding would distort the softmax
            products = by_expert @ by_expert.transpose(1, 2)
        scores = products[labels, torch.arange(len(labels), device=labels.device)]
        exponential = torch.empty_like(scores).exponential_(generator=generator)
        noisy = scores - exponential.log()  # (batch, batch)
        return noisy.masked_fill(labels[:, None] == labels, -torch.inf).argmax(dim=1)

    def experts_loss(self, embeddings: Tensor, labels: Tensor, negatives: Tensor) -> Tensor:
        """Compute Σ_c BCE_c, each a mean over the positives and negatives of expert c.

        The loss is 0 for a batch of one class.

        Args:
            embeddings: shape (batch, classes, width).
            labels: shape (batch,).
            negatives: output of `sample_hard_negatives`. Shape (batch,).

        Returns:
            A scalar.
        """
        logits = self.logits(embeddings)  # (batch, classes)
        rows = torch.arange(len(labels), device=labels.device)
        losses = F.softplus(-logits[rows, labels]) + F.softplus(logits[negatives, labels])
        counts = (labels[:, None] == labels).sum(0)  # clips of the class of each clip; (batch,)
        total = (losses / (2 * counts)).sum()
        return torch.where((labels != labels[0]).any(), total, 0.0)

    def loss(
        self, main_loss: Tensor, pooled: Tensor, batch: Batch, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return (1 − λ) · CE + λ · Σ BCE_c and Σ BCE_c. Scalars."""
        embeddings = self.embed_by_expert(pooled)
        negatives = self.sample_hard_negatives(embeddings, batch.labels, generator)
        auxiliary = self.experts_loss(embeddings, batch.labels, negatives)
        return (1 - self.weight) * main_loss + self.weight * auxiliary, auxiliary

    def predict(self, probabilities: Tensor, pooled: Tensor) -> Tensor:
        """Return (1 − λ) · p + λ · softmax of the expert logits. Shape (batch, classes)."""
        experts = self.logits(self.embed_by_expert(pooled)).softmax(dim=1)
        return (1 - self.weight) * probabilities + self.weight * experts
