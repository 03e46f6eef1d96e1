"""A linear head, trained with the rest of the model."""

from torch import nn

WEIGHT_STD = 0.02
"""Standard deviation of the initial weights, as in the original; biases start at 0."""


class LinearHead(nn.Linear):
    """One linear layer (Li et al. 2025).

    Args:
        dim: width of a pooled vector.
        num_classes: number of emotions.
    """

    def __init__(self, dim: int, num_classes: int):
        super().__init__(dim, num_classes)
        nn.init.normal_(self.weight, std=WEIGHT_STD)
        nn.init.zeros_(self.bias)
