"""Pooling against plain sums."""

import pytest
import torch

from seenet.core.errors import SeenetError
from seenet.models.pooling import STATISTICS, AttentionPooling, MeanPooling, StatisticsPooling


def test_pooling_uses_valid_frames_only():
    torch.manual_seed(0)
    frames, mask = torch.randn(2, 5, 3), torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    frames[1, 2:] = torch.nan  # padding must not reach the result
    torch.testing.assert_close(MeanPooling(3)(frames, mask)[1], frames[1, :2].mean(0))
    pooling = AttentionPooling(3)
    assert ((pooling.weight >= 0) & (pooling.weight < 1)).all()
    weights = torch.softmax(torch.tanh(frames[1, :2] @ pooling.weight), 0)
    torch.testing.assert_close(pooling(frames, mask)[1], weights @ frames[1, :2])


def test_statistics_equal_those_of_the_valid_frames():
    torch.manual_seed(0)
    frames, mask = torch.randn(3, 5, 3), torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [True] + [False] * 4])
    frames[1, 3:] = frames[2, 1:] = torch.nan  # padding must not reach the result
    pooling = StatisticsPooling(3, list(STATISTICS))
    pooled = pooling(frames, mask)
    assert pooled.shape == (3, pooling.dim)
    for row, valid in ((0, frames[0]), (1, frames[1, :3])):
        expected = [valid.mean(0), valid.std(0, correction=0), valid.amin(0), valid.amax(0)]
        expected.append((valid[1:] - valid[:-1]).abs().mean(0))
        torch.testing.assert_close(pooled[row], torch.cat(expected))
    single = frames[2, 0]
    torch.testing.assert_close(pooled[2], torch.cat([single, 0 * single, single, single, 0 * single]))


@pytest.mark.parametrize("names", [[], ["mean", "mean"], ["median"]])
def test_wrong_statistics_are_named(names: list[str]):
    with pytest.raises(SeenetError, match=r"pooling\.statistics=.*mean, std"):
        StatisticsPooling(3, names)
