"""Batch samplers: the clips of an epoch, their order and their partners."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Sampler

Item = tuple[int, int]
"""Positions of a clip and of its partner in the part; the partner is -1 if none is needed."""

POOL_BATCHES = 32
"""Batches per pool, within which clips are sorted by length. This is the smallest pool with well below 5 % padding for
batches of 64 IEMOCAP clips; a larger pool restricts which clips can share a batch."""


def draw_clips(labels: NDArray[np.int64], balanced: bool, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw the clips of one epoch, as many as there are clips.

    Args:
        labels: class numbers. Shape (clips,).
        balanced: whether to draw with replacement and weight 1 / class count; otherwise each clip is drawn once.
        rng: the only source of randomness.

    Returns:
        Positions. Shape (clips,).
    """
    if not balanced:
        return rng.permutation(len(labels))
    weights = 1.0 / np.bincount(labels)[labels]
    return rng.choice(len(labels), size=len(labels), p=weights / weights.sum())


def draw_partners(
    clips: NDArray[np.int64],
    labels: NDArray[np.int64],
    how: Literal["uniform", "class_first"],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Draw a partner for each clip: another clip, unless the part has one clip only.

    Args:
        clips: positions. Shape (draws,).
        labels: class numbers of the training part. Shape (clips,).
        how: `uniform` over the training part, or `class_first`: a uniform class, then a uniform clip of it (Li et al.
            2025 for MSP-IMPROV and the noise experiment). A class without another clip than this one is skipped.
        rng: the only source of randomness.

    Returns:
        Positions. Shape (draws,).
    """
    total = len(labels)
    if total == 1:
        return np.zeros_like(clips)
    if how == "uniform":
        partner = rng.integers(0, total - 1, len(clips))
        return partner + (partner >= clips)
    order = np.argsort(labels, kind="stable")  # clips sorted by class
    rank = np.argsort(order, kind="stable")  # position of each clip in `order`
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts
    own = labels[clips]
    available = np.repeat(counts[None, :], len(clips), axis=0)
    available[np.arange(len(clips)), own] -= 1
    usable = available > 0
    chosen = np.floor(rng.random(len(clips)) * usable.sum(axis=1)).astype(np.int64)
    klass = np.argmax(np.cumsum(usable, axis=1) == chosen[:, None] + 1, axis=1)
    within = np.floor(rng.random(len(clips)) * available[np.arange(len(clips)), klass]).astype(np.int64)
    within += (klass == own) & (within >= rank[clips] - starts[own])
    partners: NDArray[np.int64] = order[starts[klass] + within]
    return partners


def bucket_by_length(
    labels: NDArray[np.int64], lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Group sampled clips into shuffled, length-bucketed, class-balanced batches.

    The draws are split into pools. Each pool is sorted by the rank of a clip within its class by length, and then split
    into batches. All batches of a pool therefore have its mix of classes, even if the clips of one class are longer.
    The batches of the epoch are shuffled. One batch is smaller if the sizes do not divide; it can have any length.

    Args:
        labels: class number of each draw. Shape (draws,).
        lengths: samples of each draw. Shape (draws,).
        batch_size: draws per batch.
        rng: the only source of randomness.

    Returns:
        Positions of the draws of each batch. Shape (batch,) each.
    """
    full, rest = divmod(len(lengths), batch_size)
    sizes = rng.permutation([batch_size] * full + [rest] * (rest > 0))
    # With one pool, every epoch that draws each clip once would have the same batches.
    pools = max(min(2, len(sizes)), -(-len(sizes) // POOL_BATCHES))
    batches, start = [], 0
    for pool_sizes in np.array_split(sizes, pools):
        ends = np.cumsum(pool_sizes)
        pool = slice(start, start + ends[-1])
        ranks = _rank_within_class(labels[pool], lengths[pool], rng)
        batches += np.split(start + np.argsort(ranks, kind="stable"), ends[:-1])
        start += ends[-1]
    return [batches[k] for k in rng.permutation(len(batches))]


def _rank_within_class(
    labels: NDArray[np.int64], lengths: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Rank each draw by length within its class, from 0 (shortest) to 1. Shape (draws,)."""
    order = np.lexsort((lengths, labels))
    counts = np.bincount(labels)
    ranks = np.empty(len(labels))
    ranks[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return (ranks + rng.random(len(counts))[labels]) / counts[labels]


class TrainBatches(Sampler[list[Item]]):
    """Training batches of an epoch, a function of (seed, epoch, rank) alone.

    Every process draws the same epoch and yields its share of it. The union over processes is the epoch of a single
    process.

    Attributes:
        first_batch: the first batch that an iteration yields: 0, or the batch at which an epoch resumes.

    Args:
        labels: class numbers of the training part. Shape (clips,).
        lengths: samples of its clips. Shape (clips,).
        batch_size: clips per batch and process.
        balanced: see `draw_clips`.
        partner: see `draw_partners`; None draws no partners.
        seed: seed of the run.
        bucketed: whether to group clips with `bucket_by_length`; otherwise batches follow the order of the draws. The
            clips and partners of an epoch do not depend on this. Lengths of partners do not matter, because the model
            processes the clip only.
        rank: rank of this process.
        world_size: number of processes. Their batches of one step have similar lengths.
    """

    def __init__(
        self,
        labels: ArrayLike,
        lengths: ArrayLike,
        batch_size: int,
        balanced: bool,
        partner: Literal["uniform", "class_first"] | None,
        seed: int,
        bucketed: bool = True,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.labels, self.lengths = np.asarray(labels, dtype=np.int64), np.asarray(lengths, dtype=np.int64)
        self.batch_size, self.balanced, self.partner, self.seed = batch_size, balanced, partner, seed
        self.bucketed, self.rank, self.world_size = bucketed, rank, world_size
        self.epoch, self.first_batch = 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch that the next iteration draws."""
        self.epoch = epoch

    def __len__(self) -> int:
        share = -(-len(self.labels) // self.world_size)
        return -(-share // self.batch_size)

    def __iter__(self) -> Iterator[list[Item]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        clips = draw_clips(self.labels, self.balanced, rng)
        if self.partner is None:
            partners = np.full_like(clips, -1)
        else:
            partners = draw_partners(clips, self.labels, self.partner, rng)
        # All processes need the same number of steps, otherwise gradient synchronisation blocks forever.
        draws = np.resize(np.arange(len(clips)), -(-len(clips) // self.world_size) * self.world_size)
        size = self.batch_size * self.world_size
        if self.bucketed:
            steps = bucket_by_length(self.labels[clips[draws]], self.lengths[clips[draws]], size, rng)
        else:
            steps = np.split(np.arange(len(draws)), range(size, len(draws), size))
        for step in steps[self.first_batch :]:
            own = draws[step[self.rank :: self.world_size]]
            yield list(zip(clips[own].tolist(), partners[own].tolist(), strict=True))


class EvaluationBatches(Sampler[list[Item]]):
    """Batches that hold every clip exactly once over all processes.

    The shares of processes may differ by one clip. Clips are sorted by length, which reduces padding. The longest come
    first: if memory is too small, the first batch fails.

    Args:
        lengths: samples of the clips of the part. Shape (clips,).
        batch_size: clips per batch.
        rank: rank of this process.
        world_size: number of processes.
    """

    def __init__(self, lengths: ArrayLike, batch_size: int, rank: int = 0, world_size: int = 1):
        longest_first = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
        self.positions = longest_first[rank::world_size].tolist()
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.positions) // self.batch_size)

    def __iter__(self) -> Iterator[list[Item]]:
        for start in range(0, len(self.positions), self.batch_size):
            yield [(position, -1) for position in self.positions[start : start + self.batch_size]]
