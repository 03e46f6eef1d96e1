"""Description of learned layer weights."""

import pytest
import torch

from seenet.models.backbones.layer_selection import LayerSelection


def test_described_weights_are_those_of_the_sum():
    selection = LayerSelection([0, 3, 2], count=3)
    torch.nn.init.normal_(selection.weight)
    described = selection.describe_weights()
    assert described["layers"] == [0, 3, 2]
    assert sum(described["weights"]) == pytest.approx(1)
    states = [torch.full((1, 1, 1), 10.0**k) for k in range(4)]
    expected = sum(weight * 10.0**k for k, weight in zip(described["layers"], described["weights"], strict=True))
    assert selection(states).item() == pytest.approx(expected)


@pytest.mark.parametrize(("layers", "combine"), [("last", "sum"), ([1], "sum"), ("all", "concat")])
def test_no_weights_are_described_where_none_are_learned(layers, combine):
    assert LayerSelection(layers, count=3, combine=combine).describe_weights() is None
