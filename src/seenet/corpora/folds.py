"""Folds: which utterances train, select and test, and the proof that no part sees another.

A scheme divides the utterances into training and test parts. A protocol makes one `Fold` of each division: `Strict`
holds out development speakers of the training part; `Paper` selects on the test fold, as the original does.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from seenet.core.errors import SeenetError
from seenet.corpora.manifest import Manifest
from seenet.corpora.split_schemes import Indices, Scheme, Split

if TYPE_CHECKING:
    from seenet.corpora.protocols import Protocol


@dataclass(frozen=True)
class Fold:
    """One division of a corpus; the parts hold indices into the manifest. Shape (clips of the part,).

    Attributes:
        number: from 0.
        train: what is trained on.
        dev: what selects the epoch.
        test: what is tested.
        name: what the test part is called; may be empty.
        training: the number of the first fold with the same training and development part: that training serves both.
        shared: whether all folds of the scheme have the same clips to train on.
    """

    number: int
    train: Indices
    dev: Indices
    test: Indices
    name: str = ""
    training: int = 0
    shared: bool = False

    def without(self, indices: Collection[int]) -> "Fold":
        """The same division without some utterances."""
        if not len(indices):
            return self
        parts = (np.setdiff1d(part, list(indices), assume_unique=True) for part in (self.train, self.dev, self.test))
        return Fold(self.number, *parts, self.name, self.training, self.shared)


@dataclass(frozen=True)
class PlannedFold:
    """A fold before it is made: what it tests, and where its training is found.

    Attributes:
        number: of the fold, from 0.
        test: indices into the manifest. Shape (clips,).
        name: what the test part is called; may be empty.
        training: as of `Fold`.
        shared: as of `Fold`.
    """

    number: int
    test: Indices
    name: str
    training: int
    shared: bool


class Folds(Sequence[Fold]):
    """The folds of a scheme; each is made when it is asked for, so a thousand of them cost nothing in advance.

    Args:
        manifest: the corpus.
        splits: what the scheme gives.
        protocol: makes folds of it.
        left_out: indices that no part shall hold.

    Attributes:
        planned: every fold before it is made.
    """

    def __init__(
        self, manifest: Manifest, splits: Sequence[Split], protocol: "Protocol", left_out: Collection[int] = ()
    ):
        self._manifest, self._splits, self._protocol, self._left_out = manifest, splits, protocol, list(left_out)
        tests = (np.setdiff1d(split.test, self._left_out, assume_unique=True) for split in splits)
        self.planned = [
            PlannedFold(number, test, split.name, protocol.training(number, split), split.shared)
            for number, (split, test) in enumerate(zip(splits, tests, strict=True))
        ]

    def __len__(self) -> int:
        return len(self._splits)

    def __getitem__(self, number: Any) -> Any:  # as of any sequence: a fold, or a list of them
        if isinstance(number, slice):
            return [self[k] for k in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        return self._protocol.fold(number, self._manifest, self._splits[number]).without(self._left_out)

    def outline(self, number: int) -> Fold:
        """A fold as far as it is known at little cost (`Protocol.outline`)."""
        return self._protocol.outline(number, self._manifest, self._splits[number]).without(self._left_out)

    def without(self, indices: Collection[int]) -> "Folds":
        """The same folds without some utterances."""
        return Folds(self._manifest, self._splits, self._protocol, indices)


def make_folds(manifest: Manifest, indices: Indices, scheme: Scheme, protocol: "Protocol") -> Folds:
    """The folds over the utterances that `indices` keeps."""
    return Folds(manifest, scheme.splits(manifest, indices), protocol)


def choose_folds(wanted: str | int | Sequence[int], count: int) -> list[int]:
    """The folds to run.

    Args:
        wanted: `all`, a number, or a list of numbers.
        count: how many folds there are.

    Raises:
        SeenetError: a fold that does not exist.
    """
    if wanted == "all":
        return list(range(count))
    chosen = list(wanted) if isinstance(wanted, list | tuple) else [wanted]
    if not chosen:
        raise SeenetError(f"fold=[]: expected all, or some of 0 to {count - 1}")
    for fold in chosen:
        if isinstance(fold, bool) or not isinstance(fold, int) or not 0 <= fold < count:
            raise SeenetError(f"fold={fold}: expected all, or some of 0 to {count - 1}")
    return sorted(set(chosen))
