"""A multilayer perceptron as head, trained with the rest of the model."""

from torch import nn

from seenet.core.errors import SeenetError


class MlpHead(nn.Sequential):
    """Layer normalisation, a hidden layer with ReLU and dropout, and a linear layer.

    Args:
        dim: width of a pooled vector.
        num_classes: number of emotions.
        width: of the hidden layer.
        dropout: of the hidden layer.

    Raises:
        SeenetError: a number out of range.
    """

    def __init__(self, dim: int, num_classes: int, width: int, dropout: float):
        if width < 1:
            raise SeenetError(f"head.width={width}: expected 1 or more")
        if not 0 <= dropout < 1:
            raise SeenetError(f"head.dropout={dropout}: expected 0 or more and below 1")
        super().__init__(
            nn.LayerNorm(dim), nn.Linear(dim, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, num_classes)
        )
