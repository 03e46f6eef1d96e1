"""Protocols: the part of a fold that selects the epoch.

`Strict` holds out development speakers of the training part. `Paper` selects on the test fold, as the original does.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from seenet.core.errors import SeenetError
from seenet.corpora.folds import Fold
from seenet.corpora.manifest import Manifest
from seenet.corpora.split_schemes import Indices, Split, group_linked, known_codes, present, stratified_groups

LEAKS = ("speaker", "session", "file", "waveform")
"""What the audit looks for in two parts of a fold."""


class Protocol(ABC):
    """Which part of a fold selects the epoch.

    Args:
        allow_leaks: kinds of leak that the user accepts, out of `LEAKS`.
    """

    selection: str
    """`dev` or `test`: what the best epoch is chosen on."""
    remark: str
    """What every result made so must say; empty when nothing needs saying."""

    def __init__(self, allow_leaks: Sequence[str] = ()):
        unknown = [leak for leak in allow_leaks if leak not in LEAKS]
        if unknown:
            raise SeenetError(f"protocol.allow_leaks: unknown leak '{unknown[0]}'; expected {', '.join(LEAKS)}")
        self.allow_leaks = tuple(allow_leaks)

    @abstractmethod
    def fold(self, number: int, manifest: Manifest, split: Split) -> Fold:
        """Make one fold of what the scheme gives."""

    @abstractmethod
    def training(self, number: int, split: Split) -> int:
        """The number of the first fold with the same training and development part."""

    def outline(self, number: int, manifest: Manifest, split: Split) -> Fold:
        """Return the fold without dealing a development part: its training part may still contain it."""
        return self.fold(number, manifest, split)


class Strict(Protocol):
    """The epoch is selected on training speakers held out; the test fold is touched once.

    Args:
        dev_share: how much of the training part to hold out, rounded to 1/k, by whole speakers (and whole sessions
            where the corpus has sessions, so that neither is ever in two parts).
        split_seed: of the choice; training seeds do not move it.
        allow_leaks: see `Protocol`.
    """

    selection = "dev"
    remark = ""

    def __init__(self, dev_share: float = 0.2, split_seed: int = 0, allow_leaks: Sequence[str] = ()):
        super().__init__(allow_leaks)
        if not 0 < dev_share <= 0.5:
            raise SeenetError(f"protocol.dev_share={dev_share}: expected more than 0 and at most 0.5")
        self.dev_share, self.split_seed = dev_share, split_seed

    def fold(self, number: int, manifest: Manifest, split: Split) -> Fold:
        """The scheme's own development part, or speakers of `train`, stratified by emotion as far as they allow."""
        outline = self.outline(number, manifest, split)
        if len(outline.dev):
            return outline
        train = outline.train
        groups = _inseparable(manifest, train)
        parts = min(max(2, round(1 / self.dev_share)), int(present(groups).sum()))
        dev = train[stratified_groups(parts, self.split_seed, manifest.codes("emotion")[train], groups)[0]]
        return replace(outline, train=np.setdiff1d(train, dev, assume_unique=True), dev=dev)

    def outline(self, number: int, manifest: Manifest, split: Split) -> Fold:
        """The fold before development speakers are held out, which takes long where there are many.

        Raises:
            SeenetError: there are no speakers to hold out.
        """
        train = split.train
        if not len(split.dev) and present(_inseparable(manifest, train)).sum() < 2:
            speakers = len(set(manifest.column("speaker")[train]))
            why = "trains on one speaker only" if speakers < 2 else f"trains on {speakers} speakers that share sessions"
            raise SeenetError(
                f"fold {number} {why}, so protocol=strict has none to hold out; "
                "choose protocol=paper or another dataset.folds"
            )
        return Fold(number, train, split.dev, split.test, split.name, self.training(number, split), split.shared)

    def training(self, number: int, split: Split) -> int:
        """Folds that differ in their test part only share a training."""
        return 0 if split.shared else number


def _inseparable(manifest: Manifest, indices: Indices) -> Indices:
    """A number for each set of speakers that share sessions, which must not be parted. Shape (clips,)."""
    speakers = known_codes(manifest, indices, "speaker", "protocol=strict", "protocol=paper")
    return group_linked(speakers, manifest.codes("session")[indices])


class Paper(Protocol):
    """The epoch is selected on the test fold itself, as the original does: figures are optimistic."""

    selection = "test"
    remark = "the epoch was selected on the test fold (protocol=paper): optimistic"

    def fold(self, number: int, manifest: Manifest, split: Split) -> Fold:
        """All that is not tested trains, a scheme's own development part too; the test group selects."""
        train = np.union1d(split.train, split.dev) if len(split.dev) else split.train
        return Fold(number, train, split.test, split.test, split.name, number, split.shared)

    def training(self, number: int, split: Split) -> int:
        """The test part selects the epoch, so no fold shares a training."""
        return number
