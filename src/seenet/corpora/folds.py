"""Folds: which utterances train, select and test, and the proof that no part sees another.

A scheme divides the utterances into training and test parts. A protocol makes one `Fold` of each division: `Strict`
holds out development speakers of the training part; `Paper` selects on the test fold, as the original does.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from seenet.core.errors import SeenetError
from seenet.corpora.manifest import NAMES, Manifest
from seenet.corpora.split_schemes import Indices, Scheme, Split, group_linked, known_codes, present, stratified_groups

LEAKS = ("speaker", "session", "file", "waveform")
"""What the audit looks for in two parts of a fold."""


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

    def __init__(self, manifest: Manifest, splits: Sequence[Split], protocol: Protocol, left_out: Collection[int] = ()):
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


def make_folds(manifest: Manifest, indices: Indices, scheme: Scheme, protocol: Protocol) -> Folds:
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


def audit(manifest: Manifest, digests: Sequence[object], fold: Fold, protocol: Protocol) -> dict[str, object]:
    """Prove that no speaker, session, file or identical waveform is in two parts of a fold.

    Args:
        manifest: the corpus.
        digests: a hash of each utterance's samples, 0 for a silent one. Shape (clips,).
        fold: the fold; where the protocol selects on the test fold, dev and test are one part.
        protocol: tells what the user allows.

    Returns:
        `verdict` (`clean`, `leaks allowed` or `speakers unknown`), and for each kind of leak how many are shared,
        or `unknown` where the corpus does not say for every clip and nothing known is shared.

    Raises:
        SeenetError: a leak that the user did not allow; the message names an example.
    """
    parts = {"train": fold.train, "dev": fold.dev, "test": fold.test}
    if protocol.selection == "test":
        del parts["dev"]
    verdict: dict[str, object] = {"verdict": "clean"}
    for kind in LEAKS:
        codes = _codes(manifest, kind, digests)
        known = {name: present(codes[part]) for name, part in parts.items()}
        size = max(map(len, known.values()))
        known = {name: np.pad(there, (0, size - len(there))) for name, there in known.items()}
        shared = {(a, b): both for a, b in itertools.combinations(parts, 2) if (both := known[a] & known[b]).any()}
        verdict[kind] = int(sum(both.sum() for both in shared.values()))
        if not shared:
            # What is known is disjoint, and that is no proof; a silent clip has no waveform to share.
            if kind != "waveform" and any((codes[part] < 0).any() for part in parts.values()):
                verdict[kind] = "unknown"
            continue
        if kind not in protocol.allow_leaks:
            (a, b), both = next(iter(shared.items()))
            apart = manifest.parts and kind in NAMES  # one corpus of several may be of other people
            clip = manifest[parts[b][codes[parts[b]] == np.argmax(both)][0]]
            raise SeenetError(
                f"fold {fold.number} leaks: {both.sum()} {kind}(s) in both {a} and {b}, e.g. clip '{clip.utterance}'"
                + (f" of {kind} '{getattr(clip, kind)}'" if kind in NAMES else "")
                + "; mend the corpus"
                + (", give a corpus other_people: true if its people are others," if apart else "")
                + f" or allow it by name: protocol.allow_leaks=[{kind}]"
            )
        verdict["verdict"] = "leaks allowed"
    if verdict["verdict"] == "clean" and verdict["speaker"] == "unknown":
        verdict["verdict"] = "speakers unknown"
    return verdict


def _codes(manifest: Manifest, kind: str, digests: Sequence[object]) -> Indices:
    """A number for each distinct value of what may leak; -1 where unknown. Shape (clips,)."""
    if kind == "waveform":
        return np.where(np.asarray(digests) == 0, -1, pd.factorize(np.asarray(digests))[0])  # silence is no leak
    return manifest.files if kind == "file" else manifest.codes(kind)
