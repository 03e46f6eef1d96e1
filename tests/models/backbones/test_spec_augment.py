"""SpecAugment against that of transformers, which draws on the host."""

import numpy as np
import pytest
import torch
import transformers
from transformers.models.wav2vec2.modeling_wav2vec2 import _compute_mask_indices

from seenet.models.backbones.spec_augment import draw_spans, mask_spans

LENGTHS = torch.tensor([299, 150, 61, 25, 10, 9, 1])
SIZE = 304


def run_lengths(row: torch.Tensor) -> list[int]:
    """Return the lengths of runs of masked positions."""
    edges = torch.diff(torch.nn.functional.pad(row.int(), (1, 1)))
    return ((edges == -1).nonzero() - (edges == 1).nonzero()).flatten().tolist()


@pytest.mark.parametrize(("share", "min_spans"), [(0.05, 2), (0.3, 2), (0.065, 0)])
def test_draw_spans_has_the_distribution_of_transformers(share: float, min_spans: int):
    """Share and position of masked frames equal those of transformers for a single clip."""
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - transformers draws from it
    ours = torch.stack([draw_spans(LENGTHS, SIZE, share, 10, min_spans) for _ in range(3000)])
    assert not (ours & (torch.arange(SIZE) >= LENGTHS[:, None])).any(), "padding is not masked"
    assert not ours[:, LENGTHS < 10].any(), "no span fits"
    for clip, length in enumerate(LENGTHS.tolist()):
        if length < 10:
            continue
        mine = ours[:, clip, :length].float()
        theirs = np.stack([_compute_mask_indices((1, length), share, 10, min_masks=min_spans)[0] for _ in range(3000)])
        error = 5 * np.sqrt(2 * theirs.sum(1).var() / 3000) + 1e-9
        assert abs(mine.sum(1).mean().item() - theirs.sum(1).mean()) < error
        error = 5 * np.sqrt(2 * theirs.mean(0) * (1 - theirs.mean(0)) / 3000) + 0.01
        assert (np.abs(mine.mean(0).numpy() - theirs.mean(0)) < error).all(), "each frame is masked equally often"
    for row in ours[:200, 0]:
        assert all(length >= 10 for length in run_lengths(row))


def test_mask_spans_masks_frames_and_channels():
    config = transformers.WavLMConfig(mask_time_prob=0.3, mask_feature_prob=0.2, mask_feature_length=4)
    vector, hidden = torch.nn.Parameter(torch.full((16,), 7.0)), torch.ones(len(LENGTHS), SIZE, 16)
    masked = mask_spans(hidden, LENGTHS, config, vector)
    assert set(masked.unique().tolist()) == {0.0, 1.0, 7.0}
    channels = (masked == 0).all(1)  # (batch, dim)
    assert ((masked == 0).any(1) == channels).all(), "a channel is masked in all frames"
    assert all(length >= 4 for row in channels for length in run_lengths(row))
    frames = (masked == 7).any(2)
    assert torch.equal(masked == 7, frames[..., None] & ~channels[:, None]), "a frame is masked in all channels"
    assert torch.equal(hidden, torch.ones_like(hidden)), "the input is unchanged"
    masked.sum().backward()
    assert vector.grad.any()
    plain = transformers.WavLMConfig(mask_time_prob=0.0, mask_feature_prob=0.0)
    assert mask_spans(hidden, LENGTHS, plain, None) is hidden
