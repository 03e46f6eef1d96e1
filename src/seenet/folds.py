"""Folds: which utterances train, select and test, and the proof that no part sees another.

A scheme divides the utterances into training and test parts. A protocol makes one `Fold` of each division: `Strict`
holds out development speakers of the training part; `Paper` selects on the test fold, as the original does.
"""

import itertools
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seenet.errors import SeenetError
from seenet.manifest import Manifest

Indices = NDArray[np.int64]
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
    """

    number: int
    train: Indices
    dev: Indices
    test: Indices
    name: str = ""
    training: int = 0

    def without(self, indices: Sequence[int]) -> "Fold":
        """The same division without some utterances."""
        parts = (np.setdiff1d(part, list(indices), assume_unique=True) for part in (self.train, self.dev, self.test))
        return Fold(self.number, *parts, self.name, self.training)


@dataclass(frozen=True)
class Split:
    """What a scheme gives a fold: indices into the manifest, shape (clips,); `dev` is empty where it gives none."""

    train: Indices
    dev: Indices
    test: Indices
    name: str = ""


_JUDGED = 100_000
NONE: Indices = np.array([], dtype=np.int64)


def _known(manifest: Manifest, indices: Indices, field: str, why: str) -> Indices:
    """The codes of a field, which every clip must have. Shape (clips,)."""
    codes = manifest.codes(field)[indices]
    unknown = int((codes < 0).sum())
    if unknown:
        raise SeenetError(
            f"{why} needs to know the {field}, and {manifest.name} does not say for "
            f"{unknown} of {len(codes)} clips; choose another dataset.folds, or protocol=paper"
        )
    return codes


class Scheme(ABC):
    """A way of dividing utterances into folds."""

    @abstractmethod
    def splits(self, manifest: Manifest, indices: Indices) -> list[Split]:
        """The division of each fold.

        Args:
            manifest: the corpus.
            indices: the utterances to divide.

        Raises:
            SeenetError: the corpus does not say what the scheme needs to know.
        """


class Groups(Scheme):
    """Test groups that together are the corpus; each fold trains on all others."""

    field: str | None = None
    """What all clips of a group have in common, and what the group is called by."""

    def splits(self, manifest: Manifest, indices: Indices) -> list[Split]:
        """One fold a group."""
        splits = []
        for test in self.groups(manifest, indices):
            name = str(manifest.column(self.field)[test[0]]) if self.field else ""
            splits.append(Split(np.setdiff1d(indices, test, assume_unique=True), NONE, test, name))
        return splits

    @abstractmethod
    def groups(self, manifest: Manifest, indices: Indices) -> list[Indices]:
        """The test group of each fold."""


class SpeakerLists(Groups):
    """Folds given as lists of speakers.

    Args:
        speakers: the speakers of each test fold.
    """

    def __init__(self, speakers: Sequence[Sequence[str | int]]):
        self.speakers = [[str(s) for s in group] for group in speakers]

    def groups(self, manifest: Manifest, indices: Indices) -> list[Indices]:
        """One group a list; a speaker in no list or in two is an error."""
        _known(manifest, indices, "speaker", "a scheme of speaker lists")
        speakers = manifest.column("speaker")[indices]
        listed = Counter(s for group in self.speakers for s in group)
        for speaker in sorted(set(speakers)):
            if listed[speaker] != 1:
                raise SeenetError(f"speaker '{speaker}' is in {listed[speaker]} folds of the scheme; 1 expected")
        groups = [indices[np.isin(speakers, group)] for group in self.speakers]
        empty = [k for k, group in enumerate(groups) if len(group) == 0]
        if empty:
            raise SeenetError(
                f"fold {empty[0]} is empty: {manifest.name} has none of the speakers "
                f"{', '.join(self.speakers[empty[0]])}; is the corpus complete?"
            )
        return groups


class LeaveOneOut(Groups):
    """One fold for each speaker, or session, or value of another field.

    Args:
        field: what is left out.
    """

    def __init__(self, field: Literal["speaker", "session", "language", "split"]):
        self.field = field

    def groups(self, manifest: Manifest, indices: Indices) -> list[Indices]:
        """One group a value, in the order of their names (numbers by value)."""
        codes = _known(manifest, indices, self.field, f"leaving one {self.field} out")
        first = np.unique(codes, return_index=True)[1]
        values = manifest.column(self.field)[indices[first]]
        order = sorted(range(len(values)), key=lambda k: _by_value(values[k]))
        if len(values) < 2:
            raise SeenetError(f"leaving one {self.field} out needs two or more; {manifest.name} has '{values[0]}' only")
        return [indices[codes == codes[first[k]]] for k in order]


def _by_value(name: str) -> list[tuple[str, int]]:
    """A key that sorts speaker 2 before speaker 10."""
    return [(text, int(number or -1)) for text, number in re.findall(r"(\D*)(\d*)", name)]


def _stratified_groups(parts: int, seed: int, labels: Indices, groups: Indices) -> list[Indices]:
    """Positions of each of `parts` sets of whole groups, labels balanced as far as groups allow.

    The splitter loops over clips in Python, so the balance of a very large corpus is judged on a sample of it, which
    holds every group.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import

    seen = np.arange(len(groups))
    if len(groups) > _JUDGED:
        chosen = np.random.default_rng(seed).choice(len(groups), _JUDGED, replace=False)
        seen = np.union1d(chosen, np.unique(groups, return_index=True)[1])
    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    dealt = [groups[seen[part]] for _, part in splitter.split(seen, labels[seen], groups[seen])]
    return [np.flatnonzero(np.isin(groups, part)) for part in dealt]


class SpeakerFolds(Groups):
    """Speaker-disjoint folds with classes balanced as far as speakers allow, reproducible by seed.

    Args:
        count: how many folds.
        seed: of the dealing, not of the training: every training seed sees the same folds.
    """

    def __init__(self, count: int, seed: int = 0):
        self.count, self.seed = count, seed

    def groups(self, manifest: Manifest, indices: Indices) -> list[Indices]:
        """`count` groups of whole speakers (scikit-learn's StratifiedGroupKFold)."""
        speakers = _known(manifest, indices, "speaker", "a scheme of speaker-disjoint folds")
        most = int(_present(speakers).sum())
        if not 2 <= self.count <= most:
            raise SeenetError(f"{self.count} folds cannot be made of {most} speakers; expected 2 to {most}")
        labels = manifest.codes("emotion")[indices]
        return [indices[part] for part in _stratified_groups(self.count, self.seed, labels, speakers)]


class ClipFolds(Groups):
    """Folds of clips, whoever speaks, with classes balanced: for a corpus that does not say who speaks.

    A speaker may be in several parts, so figures are optimistic; the audit finds speakers that are known, and calls
    unknown ones unknown.

    Args:
        count: how many folds.
        seed: of the dealing.
    """

    def __init__(self, count: int, seed: int = 0):
        self.count, self.seed = count, seed

    def groups(self, manifest: Manifest, indices: Indices) -> list[Indices]:
        """`count` groups of clips (scikit-learn's StratifiedKFold)."""
        from sklearn.model_selection import StratifiedKFold

        labels = manifest.codes("emotion")[indices]
        least = int(np.bincount(labels)[np.unique(labels)].min())
        if not 2 <= self.count <= least:
            raise SeenetError(f"{self.count} folds cannot be made of {least} clips of a class; expected 2 to {least}")
        splitter = StratifiedKFold(self.count, shuffle=True, random_state=self.seed)
        return [indices[part] for _, part in splitter.split(indices, labels)]


class GivenSplit(Scheme):
    """The parts that the corpus, or a user's own column, gives each clip to.

    Where the values are `train`, `dev` (or none) and one or several that begin with `test`, each test part is a fold
    and all have the same training part. Other values name folds, each of which is left out once.
    """

    def splits(self, manifest: Manifest, indices: Indices) -> list[Split]:
        """One fold a test part, or one a value."""
        _known(manifest, indices, "split", "a scheme of given splits")
        values = manifest.column("split")[indices]
        present = sorted(set(values))
        if "train" not in present:
            return LeaveOneOut("split").splits(manifest, indices)
        tests = [value for value in present if value.startswith("test")]
        unknown = [value for value in present if value not in ("train", "dev", *tests)]
        if unknown or not tests:
            wrong = f"'{unknown[0]}'" if unknown else "no test part"
            raise SeenetError(f"the splits of {manifest.name} hold {wrong}; expected train, dev, test… or folds' names")
        train, dev = (indices[values == name] for name in ("train", "dev"))
        return [Split(train, dev, indices[values == test], test) for test in tests]


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
        train = split.train
        if len(split.dev):
            return Fold(number, train, split.dev, split.test, split.name)
        groups = _inseparable(manifest, train)
        count = int(_present(groups).sum())
        if count < 2:
            raise SeenetError(
                f"fold {number} trains on one speaker only, so protocol=strict has none to hold out; "
                "choose protocol=paper or another dataset.folds"
            )
        parts = min(max(2, round(1 / self.dev_share)), count)
        dev = train[_stratified_groups(parts, self.split_seed, manifest.codes("emotion")[train], groups)[0]]
        return Fold(number, np.setdiff1d(train, dev, assume_unique=True), dev, split.test, split.name)


def _inseparable(manifest: Manifest, indices: Indices) -> Indices:
    """A number for each set of speakers that share sessions, which must not be parted. Shape (clips,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    speakers = _known(manifest, indices, "speaker", "protocol=strict")
    sessions = manifest.codes("session")[indices]
    nodes = int(max(speakers.max(), sessions.max())) + 1
    met = sessions >= 0
    links = coo_array((met[met], (speakers[met], nodes + sessions[met])), shape=(2 * nodes, 2 * nodes))
    return connected_components(links, directed=False)[1][speakers].astype(np.int64)


class Paper(Protocol):
    """The epoch is selected on the test fold itself, as the original does: figures are optimistic."""

    selection = "test"
    remark = "the epoch was selected on the test fold (protocol=paper): optimistic"

    def fold(self, number: int, manifest: Manifest, split: Split) -> Fold:
        """All that is not tested trains, a scheme's own development part too; the test group selects."""
        return Fold(number, np.union1d(split.train, split.dev), split.test, split.test, split.name)


def make_folds(manifest: Manifest, indices: Indices, scheme: Scheme, protocol: Protocol) -> list[Fold]:
    """Every fold over the utterances that `indices` keeps."""
    folds: list[Fold] = []
    for number, split in enumerate(scheme.splits(manifest, indices)):
        fold = protocol.fold(number, manifest, split)
        same = (f for f in folds if np.array_equal(f.train, fold.train) and np.array_equal(f.dev, fold.dev))
        folds.append(replace(fold, training=next((f.number for f in same), number)))
    return folds


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
    chosen = [wanted] if isinstance(wanted, int | str) else list(wanted)
    for fold in chosen:
        if isinstance(fold, bool) or not isinstance(fold, int) or not 0 <= fold < count:
            raise SeenetError(f"fold={fold}: expected all, or some of 0 to {count - 1}")
    return sorted(set(chosen))


def audit(manifest: Manifest, digests: Sequence[object], fold: Fold, protocol: Protocol) -> dict[str, object]:
    """Prove that no speaker, session, file or identical waveform is in two parts of a fold.

    Args:
        manifest: the corpus.
        digests: a hash of each utterance's samples. Shape (clips,).
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
        known = {name: _present(codes[part]) for name, part in parts.items()}
        size = max(map(len, known.values()))
        known = {name: np.pad(present, (0, size - len(present))) for name, present in known.items()}
        shared = {(a, b): both for a, b in itertools.combinations(parts, 2) if (both := known[a] & known[b]).any()}
        verdict[kind] = int(sum(both.sum() for both in shared.values()))
        if not shared:
            if any((codes[part] < 0).any() for part in parts.values()):  # what is known is disjoint: that is no proof
                verdict[kind] = "unknown"
            continue
        if kind not in protocol.allow_leaks:
            (a, b), both = next(iter(shared.items()))
            clip = manifest[parts[b][codes[parts[b]] == np.argmax(both)][0]]
            raise SeenetError(
                f"fold {fold.number} leaks: {both.sum()} {kind}(s) in both {a} and {b}, e.g. clip '{clip.utterance}'"
                + (f" of {kind} '{getattr(clip, kind)}'" if kind in ("speaker", "session") else "")
                + f"; mend the corpus or allow it by name: protocol.allow_leaks=[{kind}]"
            )
        verdict["verdict"] = "leaks allowed"
    if verdict["verdict"] == "clean" and verdict["speaker"] == "unknown":
        verdict["verdict"] = "speakers unknown"
    return verdict


def _present(codes: Indices) -> NDArray[np.bool_]:
    """Whether each number from 0 occurs. Shape (highest number + 1,)."""
    return np.bincount(codes[codes >= 0]) > 0


def _codes(manifest: Manifest, kind: str, digests: Sequence[object]) -> Indices:
    """A number for each distinct value of what may leak; -1 where unknown. Shape (clips,)."""
    if kind == "waveform":
        return pd.factorize(np.asarray(digests))[0]
    return manifest.codes("path" if kind == "file" else kind)
