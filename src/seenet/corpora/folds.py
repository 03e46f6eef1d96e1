"""Folds of a corpus: training, development and test parts, each made on demand.

A split scheme divides the utterances into training and test parts. A protocol (`seenet.corpora.protocols`) makes one
`Fold` from each division.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, overload

import numpy as np

from seenet.core.errors import SeenetError
from seenet.corpora.manifest import Manifest
from seenet.corpora.split_schemes import Indices, Scheme, Split

if TYPE_CHECKING:
    from seenet.corpora.protocols import Protocol


@dataclass(frozen=True)
class Fold:
    """One division of a corpus into parts.

    Each part contains rows of the manifest, shape (clips of the part,).

    Attributes:
        number: number of the fold, from 0.
        train: training part.
        dev: development part, which selects the epoch.
        test: test part.
        name: name of the test part; may be empty.
        training: number of the first fold with the same training and development part; both folds use its model.
        shared: whether all folds of the scheme have the same training part.
    """

    number: int
    train: Indices
    dev: Indices
    test: Indices
    name: str = ""
    training: int = 0
    shared: bool = False

    def without(self, indices: Collection[int]) -> "Fold":
        """Return the same division without some utterances."""
        if not len(indices):
            return self
        parts = (self.train, self.dev, self.test)
        train, dev, test = (np.setdiff1d(part, list(indices), assume_unique=True) for part in parts)
        return replace(self, train=train, dev=dev, test=test)


@dataclass(frozen=True)
class PlannedFold:
    """The properties of a fold that are known before its parts are made.

    Attributes:
        number: number of the fold, from 0.
        test: rows of the test part. Shape (clips,).
        name: name of the test part; may be empty.
        training: as in `Fold`.
        shared: as in `Fold`.
    """

    number: int
    test: Indices
    name: str
    training: int
    shared: bool


class Folds(Sequence[Fold]):
    """The folds of a scheme, each made on access: a thousand folds cost nothing in advance.

    Args:
        manifest: the corpus.
        splits: divisions that the scheme makes.
        protocol: the rule that makes a fold from a division.
        excluded: rows to exclude from every part.

    Attributes:
        planned: properties of all folds.
    """

    def __init__(
        self, manifest: Manifest, splits: Sequence[Split], protocol: "Protocol", excluded: Collection[int] = ()
    ):
        self._manifest, self._splits, self._protocol, self._excluded = manifest, splits, protocol, list(excluded)
        tests = (np.setdiff1d(split.test, self._excluded, assume_unique=True) for split in splits)
        self.planned = [
            PlannedFold(number, test, split.name, protocol.find_training_fold(number, split), split.shared)
            for number, (split, test) in enumerate(zip(splits, tests, strict=True))
        ]

    def __len__(self) -> int:
        return len(self._splits)

    @overload
    def __getitem__(self, number: int) -> Fold: ...

    @overload
    def __getitem__(self, number: slice) -> list[Fold]: ...

    def __getitem__(self, number: int | slice) -> Fold | list[Fold]:
        if isinstance(number, slice):
            return [self[k] for k in range(*number.indices(len(self)))]
        number = range(len(self))[number]
        return self._protocol.make_fold(number, self._manifest, self._splits[number]).without(self._excluded)

    def outline(self, number: int) -> Fold:
        """Return the fold without the costly selection of a development part (`Protocol.outline`)."""
        return self._protocol.outline(number, self._manifest, self._splits[number]).without(self._excluded)

    def without(self, indices: Collection[int]) -> "Folds":
        """Return the same folds without some utterances."""
        return Folds(self._manifest, self._splits, self._protocol, indices)


def make_folds(manifest: Manifest, indices: Indices, scheme: Scheme, protocol: "Protocol") -> Folds:
    """Make the folds of the utterances in `indices`."""
    return Folds(manifest, protocol.divide(scheme, manifest, indices), protocol)


def choose_folds(wanted: object, count: int) -> list[int]:
    """Return the sorted numbers of the folds to run.

    Args:
        wanted: `all`, a number, or a list of numbers; any other value of a configuration is an error.
        count: number of folds.

    Raises:
        SeenetError: a fold that does not exist.
    """
    if wanted == "all":
        return list(range(count))
    chosen: set[int] = set()
    for fold in wanted if isinstance(wanted, list | tuple) else [wanted]:
        if isinstance(fold, bool) or not isinstance(fold, int) or not 0 <= fold < count:
            raise SeenetError(f"fold={fold}: expected all, or numbers from 0 to {count - 1}")
        chosen.add(fold)
    if not chosen:
        raise SeenetError(f"fold=[]: expected all, or numbers from 0 to {count - 1}")
    return sorted(chosen)
