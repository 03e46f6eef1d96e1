"""Protocols: the part of a fold that selects the epoch.

`Strict` selects on held-out speakers of the training part. `Paper` selects on the test part, as the original code does.
`Final` trains on every clip, for a given number of epochs.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from seenet.core.errors import SeenetError
from seenet.corpora.folds import Fold
from seenet.corpora.manifest import Manifest
from seenet.corpora.split_schemes import (
    NO_CLIPS,
    Indices,
    Scheme,
    Split,
    group_linked,
    mark_present,
    require_codes,
    stratify_groups,
)

LEAKS = ("speaker", "session", "file", "waveform")
"""Kinds of leak that the audit searches in two parts of a fold."""


class Protocol(ABC):
    """Rule that decides which part of a fold selects the epoch.

    Args:
        allow_leaks: kinds of leak that the user accepts, from `LEAKS`.
    """

    selection: str
    """Part that selects the best epoch: `dev`, `test`, or `none` where a fold has neither part."""
    remark: str
    """Remark for every result of this protocol; may be empty."""

    def __init__(self, allow_leaks: Sequence[str] = ()):
        unknown = [leak for leak in allow_leaks if leak not in LEAKS]
        if unknown:
            raise SeenetError(f"protocol.allow_leaks: unknown leak '{unknown[0]}'; expected {', '.join(LEAKS)}")
        self.allow_leaks = tuple(allow_leaks)

    def divide(self, scheme: Scheme, manifest: Manifest, indices: Indices) -> list[Split]:
        """Return the division of each fold: those of the scheme."""
        return scheme.splits(manifest, indices)

    @abstractmethod
    def make_fold(self, number: int, manifest: Manifest, split: Split) -> Fold:
        """Make one fold from a division of the scheme."""

    @abstractmethod
    def find_training_fold(self, number: int, split: Split) -> int:
        """Return the number of the first fold with the same training and development part."""

    def outline(self, number: int, manifest: Manifest, split: Split) -> Fold:
        """Return the fold without a selected development part, whose clips may be in training."""
        return self.make_fold(number, manifest, split)


class Strict(Protocol):
    """Protocol that selects the epoch on held-out training speakers and uses the test part once.

    Args:
        dev_share: share of the training part to hold out, rounded to 1/k. All clips of a speaker and of a session
            stay together.
        split_seed: seed of the selection; it is independent of the training seed.
        allow_leaks: see `Protocol`.
    """

    selection = "dev"
    remark = ""

    def __init__(self, dev_share: float = 0.2, split_seed: int = 0, allow_leaks: Sequence[str] = ()):
        super().__init__(allow_leaks)
        if not 0 < dev_share <= 0.5:
            raise SeenetError(f"protocol.dev_share={dev_share}: expected more than 0 and at most 0.5")
        self.dev_share, self.split_seed = dev_share, split_seed

    def make_fold(self, number: int, manifest: Manifest, split: Split) -> Fold:
        """Use the development part of the scheme, or hold out stratified training speakers."""
        outline = self.outline(number, manifest, split)
        if len(outline.dev):
            return outline
        train = outline.train
        groups = _group_by_sessions(manifest, train)
        parts = min(max(2, round(1 / self.dev_share)), int(mark_present(groups).sum()))
        dev = train[stratify_groups(parts, self.split_seed, manifest.codes("emotion")[train], groups)[0]]
        return replace(outline, train=np.setdiff1d(train, dev, assume_unique=True), dev=dev)

    def outline(self, number: int, manifest: Manifest, split: Split) -> Fold:
        """Return the fold without the slow selection of development speakers.

        Raises:
            SeenetError: the training part has no speakers to hold out.
        """
        train = split.train
        if not len(split.dev) and mark_present(_group_by_sessions(manifest, train)).sum() < 2:
            speakers = len(set(manifest.column("speaker")[train]))
            reason = "trains on one speaker" if speakers < 2 else f"trains on {speakers} speakers that share sessions"
            raise SeenetError(
                f"fold {number} {reason}: protocol=strict has no speakers to hold out; "
                "choose protocol=paper or another dataset.folds"
            )
        trained = self.find_training_fold(number, split)
        return Fold(number, train, split.dev, split.test, split.name, trained, split.shared)

    def find_training_fold(self, number: int, split: Split) -> int:
        """Return 0 if the folds differ only in their test part: they share one model."""
        return 0 if split.shared else number


def _group_by_sessions(manifest: Manifest, indices: Indices) -> Indices:
    """Return a code for each set of speakers that share sessions. Shape (clips,)."""
    speakers = require_codes(manifest, indices, "speaker", "protocol=strict", "protocol=paper")
    return group_linked(speakers, manifest.codes("session")[indices])


class Paper(Protocol):
    """Protocol of the original code: the test part selects the epoch, and figures are optimistic."""

    selection = "test"
    remark = "the epoch was selected on the test fold (protocol=paper): optimistic"

    def make_fold(self, number: int, manifest: Manifest, split: Split) -> Fold:
        """Train on all clips outside the test part, and select the epoch on the test part."""
        train = np.union1d(split.train, split.dev) if len(split.dev) else split.train
        return Fold(number, train, split.test, split.test, split.name, number, split.shared)

    def find_training_fold(self, number: int, split: Split) -> int:
        """Return the fold itself: the test part selects the epoch, therefore no folds share a model."""
        return number


class Final(Protocol):
    """Protocol of the model for use: one training on every clip, without development and test part.

    Args:
        epochs: number of epochs; `cv` takes the median of the best epochs of the cross-validation's folds.
        dev_share: of the cross-validation; see `Strict`.
        split_seed: of the cross-validation; see `Strict`.
        allow_leaks: of the cross-validation; see `Protocol`.

    Attributes:
        cross_validation: the protocol of the cross-validation.

    Raises:
        SeenetError: `epochs` is out of range.
    """

    selection = "none"
    remark = ""

    def __init__(
        self,
        epochs: int | Literal["cv"],
        dev_share: float = 0.2,
        split_seed: int = 0,
        allow_leaks: Sequence[str] = (),
    ):
        super().__init__(allow_leaks)
        if epochs != "cv" and epochs < 1:
            raise SeenetError(f"protocol.epochs={epochs}: expected cv, or 1 or more")
        self.epochs, self.cross_validation = epochs, Strict(dev_share, split_seed, allow_leaks)

    def divide(self, scheme: Scheme, manifest: Manifest, indices: Indices) -> list[Split]:
        """Return one division, with every clip in the training part."""
        return [Split(test=NO_CLIPS, pool=indices, dev=NO_CLIPS)]

    def make_fold(self, number: int, manifest: Manifest, split: Split) -> Fold:
        """Train on every clip."""
        return Fold(number, split.pool, NO_CLIPS, NO_CLIPS)

    def find_training_fold(self, number: int, split: Split) -> int:
        """Return the only fold."""
        return number
