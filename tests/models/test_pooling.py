"""Pooling against plain sums."""

import torch

from seenet.models.pooling import AttentionPooling, MeanPooling


def test_pooling_uses_valid_frames_only():
    torch.manual_seed(0)
    frames, mask = torch.randn(2, 5, 3), torch.tensor([[True] * 5, [True] * 2 + [False] * 3])
    frames[1, 2:] = torch.nan  # padding must not reach the result
    torch.testing.assert_close(MeanPooling(3)(frames, mask)[1], frames[1, :2].mean(0))
    pooling = AttentionPooling(3)
    assert ((pooling.weight >= 0) & (pooling.weight < 1)).all()
    weights = torch.softmax(torch.tanh(frames[1, :2] @ pooling.weight), 0)
    torch.testing.assert_close(pooling(frames, mask)[1], weights @ frames[1, :2])
