"""Pooling against plain sums."""

import pytest
import torch

from seenet.core.errors import SeenetError
from seenet.models.frame_level import level_weights
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
        torch.testing.assert_close(pooled[row], torch.cat(expected))
    single = frames[2, 0]
    torch.testing.assert_close(pooled[2], torch.cat([single, 0 * single, single, single]))


@pytest.mark.parametrize("names", [[], ["mean", "mean"], ["median"]])
def test_wrong_statistics_are_named(names: list[str]):
    with pytest.raises(SeenetError, match=r"pooling\.statistics=.*mean, std"):
        StatisticsPooling(3, names)


def test_statistics_weigh_frames():
    """Weights 2 and 1 equal a frame that occurs twice; weight 0 equals a frame that does not occur."""
    torch.manual_seed(0)
    frames = torch.randn(1, 4, 3)
    weights = torch.tensor([[2.0, 1.0, 0.0, 1.0]])
    repeated = frames[:, [0, 0, 1, 3]]
    pooling = StatisticsPooling(3, list(STATISTICS))
    expected = pooling(repeated, torch.ones(1, 4, dtype=torch.bool))
    torch.testing.assert_close(pooling(frames, weights > 0, weights), expected)


def test_levels_follow_speech_and_ignore_gain_and_padding():
    hop, loud = 320, torch.randn(10 * 320)
    clip = torch.cat([1e-4 * torch.randn(5 * hop), 0.1 * loud, 0.01 * loud])
    mask = torch.arange(30) < 25
    padded = torch.nn.functional.pad(clip, (0, 5 * hop))
    weights = level_weights(padded[None], mask[None], hop, 40.0)[0]
    assert not weights[:5].any(), "silence 60 dB below speech"
    assert not weights[25:].any(), "padding"
    assert weights[5:15].mean() - weights[15:25].mean() == pytest.approx(20, abs=0.01)
    torch.testing.assert_close(
        level_weights(0.3 * clip[None], mask[None, :25], hop, 40.0)[0], weights[:25], atol=0.01, rtol=0
    )
    silence = level_weights(torch.zeros(1, 25 * hop), mask[None, :25], hop, 40.0)
    torch.testing.assert_close(silence, torch.full((1, 25), 40.0))
