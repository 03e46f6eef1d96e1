"""Focal loss (Lin et al., *Focal Loss for Dense Object Detection*, ICCV 2017, equation 5)."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from seenet.core.errors import SeenetError
from seenet.data.targets import TargetSpec
from seenet.models.losses.cross_entropy import make_class_weights


class FocalLoss(nn.Module):
    """Mean of -α_c · (1 - p_c)^γ · log p_c over the clips of a batch; p_c is the probability of the true class.

    Args:
        target_spec: class counts of the training part.
        gamma: γ; 0 gives the cross-entropy.
        class_weights: α, as of `CrossEntropy`.

    Raises:
        SeenetError: a negative γ, or weights that do not fit the classes.
    """

    weight: Tensor | None

    def __init__(
        self,
        target_spec: TargetSpec,
        gamma: float = 2.0,
        class_weights: Literal["balanced"] | Sequence[float] | None = None,
    ):
        super().__init__()
        if not 0 <= gamma < float("inf"):
            raise SeenetError(f"loss.gamma={gamma}: expected a number, 0 or more")
        self.gamma = gamma
        self.register_buffer("weight", make_class_weights(class_weights, target_spec.class_counts), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of logits (batch, classes) and labels (batch,). Scalar."""
        log_probability = -F.cross_entropy(logits, labels, reduction="none")
        # The clamp keeps the gradient finite where the model is certain and gamma is below 1.
        loss = -((-torch.expm1(log_probability)).clamp(min=1e-8) ** self.gamma) * log_probability
        return (loss if self.weight is None else self.weight[labels] * loss).mean()
