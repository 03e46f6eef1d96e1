"""Which clips make an epoch, in which order, each with which partner."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch.utils.data import Sampler

Item = tuple[int, int]
"""A clip and its partner, as positions in the part; the partner is -1 where none is asked for."""

POOL_BATCHES = 32
"""Batches that are sorted by length together: the fewest that leave well below 5 % of padding in batches of 64 clips
with IEMOCAP's lengths; more of them, and fewer clips could ever meet."""


def draw_clips(labels: NDArray[np.int64], balanced: bool, rng: np.random.Generator) -> NDArray[np.int64]:
    """One epoch of clips: as many draws as there are clips.

    Args:
        labels: class numbers. Shape (clips,).
        balanced: draw with replacement, each clip weighted 1 / its class' count; else every clip once.
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
    """A partner for each clip, never the clip itself (a part of one clip alone has no other: itself).

    Args:
        clips: positions. Shape (draws,).
        labels: class numbers of the whole training part. Shape (clips,).
        how: `uniform` over the training part, or a class uniformly and then a clip of it (`class_first`;
            MSP-IMPROV and the noise experiment of Li et al. 2025). A class that holds the clip alone is
            passed over for that clip.
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
    order = np.argsort(labels, kind="stable")  # clips by class
    rank = np.argsort(order, kind="stable")  # where each clip stands in it
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
    return order[starts[klass] + within]


def bucket_by_length(
    labels: NDArray[np.int64], lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator
) -> list[NDArray[np.int64]]:
    """Draws in an order of chance, as batches of like length and hence of little padding.

    They are cut into pools; each pool is sorted by length and cut into batches, every class by itself, so that all
    batches of a pool have its mix of classes: where sad clips are long, a batch of long clips would else be sad. All
    batches of the epoch are put in an order of chance. A smaller last batch is one of any length.

    Args:
        labels: class number of each draw. Shape (draws,).
        lengths: samples of each draw. Shape (draws,).
        batch_size: draws a batch.
        rng: the only source of randomness.

    Returns:
        For each batch the positions of its draws. Shape (batch,) each.
    """
    whole, rest = divmod(len(lengths), batch_size)
    sizes = rng.permutation([batch_size] * whole + [rest] * (rest > 0))
    # In a single pool, an epoch that takes every clip once would have the same batches as any other.
    pools = max(min(2, len(sizes)), -(-len(sizes) // POOL_BATCHES))
    batches, start = [], 0
    for within in np.array_split(sizes, pools):
        ends = np.cumsum(within)
        pool = slice(start, start + ends[-1])
        places = _rank_within_class(labels[pool], lengths[pool], rng)
        batches += np.split(start + np.argsort(places, kind="stable"), ends[:-1])
        start += ends[-1]
    return [batches[k] for k in rng.permutation(len(batches))]


def _rank_within_class(
    labels: NDArray[np.int64], lengths: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Where each draw stands among those of its class by length, from 0 (shortest) to 1. Shape (draws,)."""
    order = np.lexsort((lengths, labels))
    counts = np.bincount(labels)
    places = np.empty(len(labels))
    places[order] = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return (places + rng.random(len(counts))[labels]) / counts[labels]


class TrainBatches(Sampler[list[Item]]):
    """Batches of an epoch, a function of (seed, epoch, process) alone.

    Every process draws the same epoch and takes its own share of it, so the union over processes is the
    epoch that one process would see.

    Attributes:
        begin: the first batch that an iteration gives: 0, or where a resumed epoch goes on.

    Args:
        labels: class numbers of the training part. Shape (clips,).
        lengths: samples of its clips. Shape (clips,).
        batch_size: clips a batch and process.
        balanced: see `draw_clips`.
        partner: see `draw_partners`; None draws none.
        seed: of the run.
        bucketed: see `bucket_by_length`; else the draws are cut into batches in their order. An epoch has the same
            clips and partners either way. Only the clip's length counts: a model is not run over its partner.
        rank: this process.
        world_size: how many processes. What they take at one step is alike in length.
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
        self.epoch, self.begin = 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws."""
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
        # Every process takes the same number of steps, or their gradient exchange would wait for ever.
        draws = np.resize(np.arange(len(clips)), -(-len(clips) // self.world_size) * self.world_size)
        size = self.batch_size * self.world_size
        if self.bucketed:
            steps = bucket_by_length(self.labels[clips[draws]], self.lengths[clips[draws]], size, rng)
        else:
            steps = np.split(np.arange(len(draws)), range(size, len(draws), size))
        for step in steps[self.begin :]:
            mine = draws[step[self.rank :: self.world_size]]
            yield list(zip(clips[mine].tolist(), partners[mine].tolist(), strict=True))


class EvaluationBatches(Sampler[list[Item]]):
    """Every clip once, over all processes together: no clip is repeated to fill a share.

    They come by length, which leaves little padding; the longest first, so that memory fails at once or never.

    Args:
        lengths: samples of the part's clips. Shape (clips,).
        batch_size: clips a batch.
        rank: this process.
        world_size: how many processes.
    """

    def __init__(self, lengths: ArrayLike, batch_size: int, rank: int = 0, world_size: int = 1):
        longest_first = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
        self.share = longest_first[rank::world_size].tolist()
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.share) // self.batch_size)

    def __iter__(self) -> Iterator[list[Item]]:
        for start in range(0, len(self.share), self.batch_size):
            yield [(position, -1) for position in self.share[start : start + self.batch_size]]
