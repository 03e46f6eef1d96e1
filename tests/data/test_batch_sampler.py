"""Bucketed batches: padding, draws, grouping, and shares of several processes."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare

from seenet.data.batch_sampler import EvaluationBatches, Item, TrainBatches

LABELS = np.array([0] * 50 + [1] * 10 + [2] * 30 + [3] * 1)
LENGTHS = np.random.default_rng(0).integers(8000, 96000, len(LABELS))


def draw_epoch(number: int = 0, seed: int = 0, lengths: np.ndarray = LENGTHS, **options) -> list[list[Item]]:
    batches = TrainBatches(LABELS, lengths, 8, True, "uniform", seed, **options)
    batches.set_epoch(number)
    drawn = list(batches)
    assert len(drawn) == len(batches)
    return drawn


def count_items(batches: list[list[Item]]) -> Counter[Item]:
    return Counter(item for batch in batches for item in batch)


def padding_share(lengths: np.ndarray, batches: list[list[Item]]) -> float:
    """Return the share of padding in the batches of an epoch."""
    sizes = [lengths[[clip for clip, _ in batch]] for batch in batches]
    return 1 - sum(each.sum() for each in sizes) / sum(len(each) * each.max() for each in sizes)


def iemocap_lengths() -> np.ndarray:
    """Return lengths like those of the clips of IEMOCAP, in samples, cropped at 6 s."""
    seconds = [0.58, 1.68, 2.32, 3.58, 5.77, 8.69, 34.1]
    drawn = np.interp(np.random.default_rng(1).random(5531), [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], seconds)
    return (16000 * np.minimum(drawn, 6)).astype(np.int64)


def test_bucketing_reduces_padding_of_iemocap():
    lengths, labels = iemocap_lengths(), np.arange(5531) % 4
    for batch_size, limit in ((64, 0.05), (16, 0.08)):
        bucketed, plain = (
            padding_share(lengths, list(TrainBatches(labels, lengths, batch_size, True, None, 0, bucketed)))
            for bucketed in (True, False)
        )
        assert bucketed < limit
        assert plain > 0.3
    assert padding_share(lengths, list(EvaluationBatches(lengths, 64))) < 0.02


def test_epoch_depends_on_seed_and_number():
    assert draw_epoch() == draw_epoch()
    assert count_items(draw_epoch(seed=1)) != count_items(draw_epoch())
    assert count_items(draw_epoch(number=1)) != count_items(draw_epoch())


def test_epoch_has_equal_draws_with_and_without_buckets():
    for number in range(20):
        assert count_items(draw_epoch(number)) == count_items(draw_epoch(number, bucketed=False))
    assert draw_epoch() != draw_epoch(bucketed=False)


def test_balanced_draws_are_uniform_over_classes_and_over_clips_of_a_class():
    drawn = np.array([clip for number in range(1000) for batch in draw_epoch(number) for clip, _ in batch])
    counts = np.bincount(drawn, minlength=91)
    assert chisquare(np.bincount(LABELS[drawn])).pvalue > 1e-3
    weights = 1 / np.bincount(LABELS)[LABELS]
    assert chisquare(counts, counts.sum() * weights / weights.sum()).pvalue > 1e-3


def test_order_of_batches_is_independent_of_class_and_length():
    classes, halves = np.zeros((12, 4)), np.zeros((12, 2))
    for number in range(1000):
        for step, batch in enumerate(draw_epoch(number)):
            clip = batch[number % len(batch)][0]  # one per batch, because clips of a batch are similar
            classes[step, LABELS[clip]] += 1
            halves[step, int(LENGTHS[clip] > np.median(LENGTHS))] += 1
    assert chi2_contingency(classes).pvalue > 1e-3
    assert chi2_contingency(halves).pvalue > 1e-3


def test_smaller_batch_can_have_any_length():
    """The median length of an epoch is above that of its batch of three as often as below."""
    above = 0
    for number in range(1000):
        drawn = draw_epoch(number)
        small = next(batch for batch in drawn if len(batch) == 3)
        clips = [clip for batch in drawn for clip, _ in batch]
        above += bool(LENGTHS[small[1][0]] > np.median(LENGTHS[clips]))
    assert 440 < above < 560  # four standard deviations of a binomial distribution


def test_clips_of_similar_length_share_a_batch_at_the_expected_rate():
    """Neighbours in length share a batch within one of two pools, except at boundaries."""
    order = np.argsort(LENGTHS)
    met = Counter()
    for number in range(1000):
        batches = TrainBatches(np.zeros(91, int), LENGTHS, 8, False, None, 0)
        batches.set_epoch(number)
        for batch in batches:
            clips = {clip for clip, _ in batch}
            met.update({rank: order[rank] in clips and order[rank + 1] in clips for rank in (20, 45, 70)})
            met["ends"] += order[0] in clips and order[-1] in clips
    assert met["ends"] == 0
    for rank in (20, 45, 70):
        assert met[rank] / 1000 == pytest.approx(1 / 2 * 7 / 8, abs=0.07)


def test_every_batch_has_the_mix_of_classes_of_its_pool():
    """Lengths depend on the class: without stratification, long batches would have one class."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 800)
    lengths = rng.integers(8000, 24000, 800) + 24000 * labels

    def class_count_variance(bucketed: bool) -> float:
        """Return the variance of the number of clips of a class in a batch."""
        counts = []
        for number in range(50):
            batches = TrainBatches(labels, lengths, 16, True, None, 0, bucketed)
            batches.set_epoch(number)
            counts += [np.bincount(labels[[clip for clip, _ in batch]], minlength=4) for batch in batches]
        return float(np.var(counts, axis=0).mean())

    assert class_count_variance(True) < 0.3 * class_count_variance(False)


@pytest.mark.parametrize("bucketed", [True, False])
@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_one_epoch(world_size: int, bucketed: bool):
    """All have equal steps, and their union is the epoch of one process."""
    shares = [draw_epoch(rank=rank, world_size=world_size, bucketed=bucketed) for rank in range(world_size)]
    steps = list(zip(*shares, strict=True))
    assert all(len({len(batch) for batch in step}) == 1 for step in steps)
    together = sum((count_items(share) for share in shares), Counter())
    assert count_items(draw_epoch()) <= together
    assert together.total() == -(-91 // world_size) * world_size
    steps_joined = [[item for batch in step for item in batch] for step in steps]
    assert (padding_share(LENGTHS, steps_joined) < 0.4) == bucketed, "batches of one step have similar lengths"


def test_batches_follow_the_draws_when_not_bucketed():
    """In one process there are batches of eight, and a smaller last one."""
    rng = np.random.default_rng([0, 0])
    weights = 1 / np.bincount(LABELS)[LABELS]
    drawn = rng.choice(91, size=91, p=weights / weights.sum())
    assert [clip for batch in draw_epoch(bucketed=False) for clip, _ in batch] == drawn.tolist()
    assert [len(batch) for batch in draw_epoch(bucketed=False)] == [8] * 11 + [3]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 17])
def test_epoch_is_complete_when_the_part_is_small(count: int):
    batches = TrainBatches(np.zeros(count, int), np.arange(count), 8, False, None, 0)
    drawn = list(batches)
    assert sorted(clip for batch in drawn for clip, _ in batch) == list(range(count))
    assert len(drawn) == len(batches) == -(-count // 8)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_batches_hold_every_clip_once_and_the_longest_first(world_size: int):
    shares = [list(EvaluationBatches(LENGTHS, 8, rank, world_size)) for rank in range(world_size)]
    seen = [clip for share in shares for batch in share for clip, _ in batch]
    assert sorted(seen) == list(range(91))
    for share in shares:
        lengths = [LENGTHS[clip] for batch in share for clip, _ in batch]
        assert lengths == sorted(lengths, reverse=True)
    assert LENGTHS[shares[0][0][0][0]] == LENGTHS.max()
    assert len(EvaluationBatches(LENGTHS, 8)) == 12
