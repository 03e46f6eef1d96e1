"""Selection of encoder layers: the last, or a learned weighted sum of several."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from seenet.core.errors import SeenetError

Layers = Literal["last", "all"] | Sequence[int]
"""`last`, `all`, or numbers: 0 is the input of the first transformer layer, k the output of layer k."""


class LayerSelection(nn.Module):
    """A weighted sum of hidden states with weights softmax(w), w learned from 0 (Yang et al., *SUPERB*, 2021).

    Args:
        layers: the layers to sum; a single one has no weights.
        count: number of transformer layers of the encoder.

    Attributes:
        numbers: the layers that the sum contains.
        is_last: whether the last layer is the only one.

    Raises:
        SeenetError: a layer that the encoder does not have, or none.
    """

    def __init__(self, layers: Layers, count: int):
        super().__init__()
        if layers == "last":
            self.numbers = [count]
        elif layers == "all":
            self.numbers = list(range(count + 1))
        else:
            self.numbers = [int(number) for number in layers]
        different = set(self.numbers)
        if not different or len(different) < len(self.numbers) or not different <= set(range(count + 1)):
            raise SeenetError(f"backbone.layers={layers}: expected last, all, or different numbers from 0 to {count}")
        self.is_last = self.numbers == [count]
        self.weight = nn.Parameter(torch.zeros(len(self.numbers))) if len(self.numbers) > 1 else None

    def forward(self, hidden_states: Sequence[Tensor]) -> Tensor:
        """Sum the selected layers.

        Args:
            hidden_states: input of the first layer, then the output of each. Shape of each (batch, frames, dim).

        Returns:
            Shape (batch, frames, dim).
        """
        if self.weight is None:
            return hidden_states[self.numbers[0]]
        weights = self.weight.softmax(0)
        mixed = weights[0] * hidden_states[self.numbers[0]]
        for weight, number in zip(weights[1:], self.numbers[1:], strict=True):
            mixed = mixed + weight * hidden_states[number]
        return mixed
