"""Batches of like length: little padding, the same draws, chance enough; shares of several processes."""

from collections import Counter

import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare

from seenet.data.batch_sampler import EvaluationBatches, Item, TrainBatches

LABELS = np.array([0] * 50 + [1] * 10 + [2] * 30 + [3] * 1)
LENGTHS = np.random.default_rng(0).integers(8000, 96000, len(LABELS))


def epoch(number: int = 0, seed: int = 0, lengths: np.ndarray = LENGTHS, **options) -> list[list[Item]]:
    batches = TrainBatches(LABELS, lengths, 8, True, "uniform", seed, **options)
    batches.set_epoch(number)
    drawn = list(batches)
    assert len(drawn) == len(batches)
    return drawn


def items(batches: list[list[Item]]) -> Counter[Item]:
    return Counter(item for batch in batches for item in batch)


def padding(lengths: np.ndarray, batches: list[list[Item]]) -> float:
    """The share of an epoch's padded batches that is padding."""
    each = [lengths[[clip for clip, _ in batch]] for batch in batches]
    return 1 - sum(of.sum() for of in each) / sum(len(of) * of.max() for of in each)


def iemocap() -> np.ndarray:
    """As many clips as IEMOCAP has, of lengths as its are, in samples, cropped at 6 s."""
    seconds = [0.58, 1.68, 2.32, 3.58, 5.77, 8.69, 34.1]
    drawn = np.interp(np.random.default_rng(1).random(5531), [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], seconds)
    return (16000 * np.minimum(drawn, 6)).astype(np.int64)


def test_padding_of_iemocap_s_lengths():
    lengths, labels = iemocap(), np.arange(5531) % 4
    for batch_size, most in ((64, 0.05), (16, 0.08)):
        bucketed, plain = (
            padding(lengths, list(TrainBatches(labels, lengths, batch_size, True, None, 0, bucketed)))
            for bucketed in (True, False)
        )
        assert bucketed < most
        assert plain > 0.3
    assert padding(lengths, list(EvaluationBatches(lengths, 64))) < 0.02


def test_an_epoch_is_a_function_of_seed_and_number():
    assert epoch() == epoch()
    assert items(epoch(seed=1)) != items(epoch())
    assert items(epoch(number=1)) != items(epoch())


def test_an_epoch_has_the_same_draws_however_it_is_arranged():
    for number in range(20):
        assert items(epoch(number)) == items(epoch(number, bucketed=False))
    assert epoch() != epoch(bucketed=False)


def test_frequencies_over_a_thousand_epochs():
    """Each class as often as any other, each clip of a class too; and every length meets every class."""
    drawn = np.array([clip for number in range(1000) for batch in epoch(number) for clip, _ in batch])
    counts = np.bincount(drawn, minlength=91)
    assert chisquare(np.bincount(LABELS[drawn])).pvalue > 1e-3
    weights = 1 / np.bincount(LABELS)[LABELS]
    assert chisquare(counts, counts.sum() * weights / weights.sum()).pvalue > 1e-3


def test_no_class_and_no_length_comes_earlier_than_another():
    classes, halves = np.zeros((12, 4)), np.zeros((12, 2))
    for number in range(1000):
        for step, batch in enumerate(epoch(number)):
            clip = batch[number % len(batch)][0]  # one of each, for those of a batch are alike
            classes[step, LABELS[clip]] += 1
            halves[step, int(LENGTHS[clip] > np.median(LENGTHS))] += 1
    assert chi2_contingency(classes).pvalue > 1e-3
    assert chi2_contingency(halves).pvalue > 1e-3


def test_the_smaller_batch_is_of_any_length():
    """The middle length of an epoch is above that of its batch of three as often as below."""
    above = 0
    for number in range(1000):
        drawn = epoch(number)
        small = next(batch for batch in drawn if len(batch) == 3)
        clips = [clip for batch in drawn for clip, _ in batch]
        above += bool(LENGTHS[small[1][0]] > np.median(LENGTHS[clips]))
    assert 440 < above < 560  # four standard deviations of a thousand throws of a coin


def test_clips_of_like_length_meet_by_chance():
    """Neighbours in length meet where chance puts them in one of the two pools, and no cut falls between them."""
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
    """Also where length tells the class: else a batch of long clips would be of one class, and teach little."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 800)
    lengths = rng.integers(8000, 24000, 800) + 24000 * labels

    def spread(bucketed: bool) -> float:
        """Of the number of clips of a class in a batch."""
        counts = []
        for number in range(50):
            batches = TrainBatches(labels, lengths, 16, True, None, 0, bucketed)
            batches.set_epoch(number)
            counts += [np.bincount(labels[[clip for clip, _ in batch]], minlength=4) for batch in batches]
        return float(np.var(counts, axis=0).mean())

    assert spread(True) < 0.3 * spread(False)


@pytest.mark.parametrize("bucketed", [True, False])
@pytest.mark.parametrize("world_size", [2, 3])
def test_processes_share_one_epoch(world_size: int, bucketed: bool):
    """All take the same number of steps of the same sizes, and together the draws of one process."""
    shares = [epoch(rank=rank, world_size=world_size, bucketed=bucketed) for rank in range(world_size)]
    steps = list(zip(*shares, strict=True))
    assert all(len({len(batch) for batch in step}) == 1 for step in steps)
    together = sum((items(share) for share in shares), Counter())
    assert items(epoch()) <= together
    assert together.total() == -(-91 // world_size) * world_size
    at_once = [[item for batch in step for item in batch] for step in steps]
    assert (padding(LENGTHS, at_once) < 0.4) == bucketed, "what is taken at one step is alike in length"


def test_draws_as_they_come():
    """Without buckets and in one process: batches of eight, the smaller one last."""
    rng = np.random.default_rng([0, 0])
    weights = 1 / np.bincount(LABELS)[LABELS]
    drawn = rng.choice(91, size=91, p=weights / weights.sum())
    assert [clip for batch in epoch(bucketed=False) for clip, _ in batch] == drawn.tolist()
    assert [len(batch) for batch in epoch(bucketed=False)] == [8] * 11 + [3]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 17])
def test_parts_smaller_than_a_few_batches(count: int):
    batches = TrainBatches(np.zeros(count, int), np.arange(count), 8, False, None, 0)
    drawn = list(batches)
    assert sorted(clip for batch in drawn for clip, _ in batch) == list(range(count))
    assert len(drawn) == len(batches) == -(-count // 8)


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_sees_every_clip_once_and_the_longest_first(world_size: int):
    shares = [list(EvaluationBatches(LENGTHS, 8, rank, world_size)) for rank in range(world_size)]
    seen = [clip for share in shares for batch in share for clip, _ in batch]
    assert sorted(seen) == list(range(91))
    for share in shares:
        lengths = [LENGTHS[clip] for batch in share for clip, _ in batch]
        assert lengths == sorted(lengths, reverse=True)
    assert LENGTHS[shares[0][0][0][0]] == LENGTHS.max()
    assert len(EvaluationBatches(LENGTHS, 8)) == 12
