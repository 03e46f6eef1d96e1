"""Selection of encoder layers: the last, a learned weighted sum of several, or their concatenation."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from seenet.core.errors import SeenetError

Layers = Literal["last", "all", "transformer"] | Sequence[int]
"""`last`, `all`, `transformer` (all but 0), or numbers: 0 is the input of the first transformer layer, k the output of
layer k."""


Combination = Literal["sum", "concat"]


class LayerSelection(nn.Module):
    """Combines hidden states.

    `sum` has weights softmax(w), w learned from 0 (Yang et al., *SUPERB*, 2021). `concat` joins the vectors of a frame.

    Args:
        layers: the layers to combine; a single one has no weights.
        count: number of transformer layers of the encoder.
        combine: `sum` or `concat`.

    Attributes:
        numbers: the layers that are combined.
        copies: width of the output in multiples of the width of a layer.
        is_last: whether the last layer is the only one.

    Raises:
        SeenetError: a layer that the encoder does not have, or none.
    """

    def __init__(self, layers: Layers, count: int, combine: Combination = "sum"):
        super().__init__()
        if layers == "last":
            self.numbers = [count]
        elif layers == "all":
            self.numbers = list(range(count + 1))
        elif layers == "transformer":
            self.numbers = list(range(1, count + 1))
        else:
            self.numbers = [int(number) for number in layers]
        different = set(self.numbers)
        if not different or len(different) < len(self.numbers) or not different <= set(range(count + 1)):
            raise SeenetError(
                f"backbone.layers={layers}: expected last, all, transformer, or different numbers from 0 to {count}"
            )
        self.is_last = self.numbers == [count]
        self.copies = len(self.numbers) if combine == "concat" else 1
        is_sum = combine == "sum" and len(self.numbers) > 1
        self.weight = nn.Parameter(torch.zeros(len(self.numbers))) if is_sum else None

    def describe_weights(self) -> dict[str, list[Any]] | None:
        """Return the combined layers and their weights, which sum to 1; None if no weights are learned."""
        if self.weight is None:
            return None
        return {"layers": list(self.numbers), "weights": self.weight.detach().double().softmax(0).tolist()}

    def forward(self, hidden_states: Sequence[Tensor] | Mapping[int, Tensor]) -> Tensor:
        """Combine the selected layers.

        Args:
            hidden_states: by number, the input of the first layer, then the output of each; the selected ones suffice.
                Shape of each (batch, frames, dim).

        Returns:
            Shape (batch, frames, copies · dim).
        """
        if self.weight is None:
            chosen = [hidden_states[number] for number in self.numbers]
            return chosen[0] if len(chosen) == 1 else torch.cat(chosen, -1)
        weights = self.weight.softmax(0)
        mixed = weights[0] * hidden_states[self.numbers[0]]
        for weight, number in zip(weights[1:], self.numbers[1:], strict=True):
            mixed = mixed + weight * hidden_states[number]
        return mixed
