"""Sampling of clips and partners, masks, and batches of a part."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from seenet.corpora.synthetic.corpus import read
from seenet.corpora.vocabulary import CLASS_SETS
from seenet.corpora.waveform_store import open_store
from seenet.data.batch import Batch, length_mask
from seenet.data.batch_sampler import draw_clips, draw_partners
from seenet.data.dataset import FoldPart

LABELS = np.array([0] * 50 + [1] * 10 + [2] * 30 + [3] * 1)


def test_balanced_draws_are_uniform_over_classes():
    rng = np.random.default_rng(0)
    clips = np.concatenate([draw_clips(LABELS, True, rng) for _ in range(200)])
    assert chisquare(np.bincount(LABELS[clips])).pvalue > 1e-3
    within = np.bincount(clips[LABELS[clips] == 0], minlength=91)[:50]
    assert chisquare(within).pvalue > 1e-3


def test_unbalanced_draws_hold_every_clip_once():
    assert sorted(draw_clips(LABELS, False, np.random.default_rng(0))) == list(range(91))


def test_uniform_partners_are_uniform_over_other_clips():
    clips = np.repeat(np.arange(91), 400)
    partners = draw_partners(clips, LABELS, "uniform", np.random.default_rng(0))
    assert (partners != clips).all()
    assert chisquare(np.bincount(partners, minlength=91)).pvalue > 1e-3


def test_class_first_partners_are_uniform_over_classes_and_clips():
    """A class that holds only the clip itself is never drawn."""
    for clip, classes in ((0, 4), (55, 4), (90, 3)):
        clips = np.full(20000, clip)
        partners = draw_partners(clips, LABELS, "class_first", np.random.default_rng(clip))
        assert (partners != clip).all()
        counts = np.bincount(LABELS[partners], minlength=4)
        assert chisquare(counts[counts > 0]).pvalue > 1e-3
        assert (counts > 0).sum() == classes
        first = np.bincount(partners[LABELS[partners] == 0], minlength=50)[:50]
        assert chisquare(np.delete(first, clip) if clip < 50 else first).pvalue > 1e-3


def test_partner_is_the_clip_itself_when_the_part_has_one_clip():
    for how in ("uniform", "class_first"):
        assert draw_partners(np.array([0]), np.array([0]), how, np.random.default_rng(0)).tolist() == [0]


def test_length_mask_marks_valid_positions():
    assert length_mask(torch.tensor([3, 5]), 5).sum(1).tolist() == [3, 5]
    assert length_mask(torch.tensor([0, 2]), 3).tolist() == [[False] * 3, [True, True, False]]


def test_fold_part_returns_complete_batches():
    manifest = read(speakers=3, clips=2)
    store = open_store(manifest, 6.0)
    indices = np.array([i for i, row in enumerate(manifest) if row.speaker != "speaker02"])
    part = FoldPart(manifest, store, indices, CLASS_SETS["four"])
    batch = part.__getitems__([(5, 0), (0, 3), (7, 7)])
    assert len(batch) == 3
    assert batch.indices.tolist() == indices[[5, 0, 7]].tolist()
    for k, index in enumerate(batch.indices.tolist()):
        row, length = manifest[index], int(batch.lengths[k])
        np.testing.assert_array_equal(batch.waveform[k, :length], store.waveform(index))
        assert not batch.waveform[k, length:].any()
        assert CLASS_SETS["four"][batch.labels[k]] == row.emotion
        assert batch.speakers[k] == int(row.speaker[-2:]) - 1
        assert batch.genders[k] == (row.gender == "male")
    np.testing.assert_array_equal(
        batch.partner[1, : batch.partner_lengths[1]],
        store.waveform(int(indices[3])),
        "the partner is the clip that the item names",
    )
    alone = part.__getitems__([(0, -1)])
    assert alone.partner is None
    with pytest.raises(ValueError, match="needs_partner"):
        alone.require_partners()


def test_batch_to_moves_every_tensor():
    batch = Batch(*(torch.zeros(2, 3) for _ in range(6)), partner=torch.zeros(2, 3), partner_lengths=torch.ones(2))
    moved = batch.to("meta")
    assert moved.partner.device.type == "meta"
    assert moved.waveform.device.type == "meta"
    assert batch.to("cpu").partner_lengths.tolist() == [1, 1]
