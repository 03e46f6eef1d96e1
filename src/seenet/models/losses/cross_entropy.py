"""Cross-entropy, the loss of the paper."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seenet.core.errors import SeenetError
from seenet.data.targets import TargetSpec


class CrossEntropy(nn.Module):
    """Mean cross-entropy over the clips of a batch, or a weighted mean by class.

    Args:
        target_spec: class counts of the training part.
        class_weights: None weighs all classes alike; `balanced` by clips / (classes · clips of the class) in the
            training part; or one number per class in the order of the classes.
        label_smoothing: share of each target that is spread evenly over all classes (Szegedy et al. 2016).

    Raises:
        SeenetError: weights that do not fit the classes, or a share outside [0, 1).
    """

    weight: Tensor | None

    def __init__(
        self,
        target_spec: TargetSpec,
        class_weights: Literal["balanced"] | Sequence[float] | None = None,
        label_smoothing: float = 0.0,
    ):
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise SeenetError(f"loss.label_smoothing={label_smoothing}: expected 0 or more, and less than 1")
        self.label_smoothing = label_smoothing
        # Not in checkpoints: the settings and the training part determine it.
        self.register_buffer("weight", make_class_weights(class_weights, target_spec.class_counts), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of logits (batch, classes) and labels (batch,). Scalar."""
        return F.cross_entropy(logits, labels, self.weight, label_smoothing=self.label_smoothing)


def make_class_weights(weights: str | Sequence[float] | None, counts: Tensor) -> Tensor | None:
    """Return the weight of each class, shape (classes,), or None where all weigh alike.

    Args:
        weights: the setting `loss.class_weights`.
        counts: training clips of each class. Shape (classes,).

    Raises:
        SeenetError: not one positive number per class.
    """
    if weights is None:
        return None
    if weights == "balanced":
        return counts.sum() / (len(counts) * counts.clamp(min=1).float())
    if isinstance(weights, str) or len(weights) != len(counts) or any(not 0 < w < float("inf") for w in weights):
        shown = weights if isinstance(weights, str) else list(weights)
        raise SeenetError(
            f"loss.class_weights={shown}: expected null, balanced, or {len(counts)} numbers > 0, one per class"
        )
    return torch.tensor(weights, dtype=torch.float32)
