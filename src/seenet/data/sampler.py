"""Which clips make an epoch, in which order, each with which partner."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

Item = tuple[int, int]
"""A clip and its partner, as positions in the part; the partner is -1 where none is asked for."""


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


class TrainBatches(Sampler[list[Item]]):
    """Batches of an epoch, a function of (seed, epoch, process) alone.

    Every process draws the same epoch and takes its own share of it, so the union over processes is the
    epoch that one process would see.

    Args:
        labels: class numbers of the training part. Shape (clips,).
        batch_size: clips a batch and process.
        balanced: see `draw_clips`.
        partner: see `draw_partners`; None draws none.
        seed: of the run.
        rank: this process.
        world_size: how many processes.
    """

    def __init__(
        self,
        labels: Sequence[int],
        batch_size: int,
        balanced: bool,
        partner: Literal["uniform", "class_first"] | None,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ):
        self.labels = np.asarray(labels, dtype=np.int64)
        self.batch_size, self.balanced, self.partner, self.seed = batch_size, balanced, partner, seed
        self.rank, self.world_size, self.epoch = rank, world_size, 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws."""
        self.epoch = epoch

    @property
    def sampler(self) -> "TrainBatches":
        """Itself: where Lightning looks for `set_epoch` at the start of each epoch."""
        return self

    def __len__(self) -> int:
        share = -(-len(self.labels) // self.world_size)
        return -(-share // self.batch_size)

    def __iter__(self) -> Iterator[list[Item]]:
        rng = np.random.default_rng([self.seed, self.epoch])
        clips = draw_clips(self.labels, self.balanced, rng)
        # Every process takes the same number of steps, or their gradient exchange would wait for ever.
        clips = np.resize(clips, -(-len(clips) // self.world_size) * self.world_size)
        if self.partner is None:
            partners = np.full_like(clips, -1)
        else:
            partners = draw_partners(clips, self.labels, self.partner, rng)
        share = list(
            zip(
                clips[self.rank :: self.world_size].tolist(),
                partners[self.rank :: self.world_size].tolist(),
                strict=True,
            )
        )
        for start in range(0, len(share), self.batch_size):
            yield share[start : start + self.batch_size]


class EvaluationBatches(Sampler[list[Item]]):
    """Every clip once, over all processes together: no clip is repeated to fill a share.

    Args:
        count: clips of the part.
        batch_size: clips a batch.
        rank: this process.
        world_size: how many processes.
    """

    def __init__(self, count: int, batch_size: int, rank: int = 0, world_size: int = 1):
        self.share = range(rank, count, world_size)
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.share) // self.batch_size)

    def __iter__(self) -> Iterator[list[Item]]:
        for start in range(0, len(self.share), self.batch_size):
            yield [(position, -1) for position in self.share[start : start + self.batch_size]]
