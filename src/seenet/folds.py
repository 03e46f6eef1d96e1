"""Folds: which utterances train, select and test, and the proof that no part sees another.

A scheme deals the utterances into test groups. A protocol makes one `Fold` of each group: `Strict` holds out
development speakers of the training part; `Paper` selects on the test fold, as the original does.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from seenet.errors import SeenetError
from seenet.manifest import Manifest

Indices = NDArray[np.int64]
LEAKS = ("speaker", "session", "file", "waveform")
"""What the audit looks for in two parts of a fold."""


@dataclass(frozen=True)
class Fold:
    """One division of a corpus; the parts hold indices into the manifest. Shape (clips of the part,)."""

    number: int
    train: Indices
    dev: Indices
    test: Indices


def _speakers(manifest: Manifest, indices: Indices, why: str) -> list[str]:
    speakers = [manifest[i].speaker for i in indices]
    if not all(speakers):
        raise SeenetError(
            f"{why} needs to know who speaks, and {manifest.name} does not say for "
            f"{speakers.count('')} of {len(speakers)} clips; choose another dataset.folds or protocol=paper"
        )
    return speakers


class Scheme(ABC):
    """A way of dealing utterances into test groups."""

    @abstractmethod
    def groups(self, manifest: Manifest, indices: Indices) -> list[Indices]:
        """The test group of each fold, as indices into the manifest."""


class SpeakerLists(Scheme):
    """Folds given as lists of speakers.

    Args:
        speakers: the speakers of each test fold.
    """

    def __init__(self, speakers: Sequence[Sequence[str | int]]):
        self.speakers = [[str(s) for s in group] for group in speakers]

    def groups(self, manifest: Manifest, indices: Indices) -> list[Indices]:
        """One group a list; a speaker in no list or in two is an error."""
        speakers = _speakers(manifest, indices, "a scheme of speaker lists")
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


class LeaveOneSpeakerOut(Scheme):
    """One fold a speaker."""

    def groups(self, manifest: Manifest, indices: Indices) -> list[Indices]:
        """One group a speaker, in the order of their names (numbers by value)."""
        speakers = np.array(_speakers(manifest, indices, "leave-one-speaker-out"))
        names = sorted(set(speakers.tolist()), key=lambda s: (not s.isdigit(), int(s) if s.isdigit() else 0, s))
        return [indices[speakers == name] for name in names]


def _stratified_groups(parts: int, seed: int, labels: list[str], groups: list[str]) -> list[Indices]:
    """Positions of each of `parts` sets of whole groups, labels balanced as far as groups allow."""
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import

    splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    return [np.sort(part) for _, part in splitter.split(labels, labels, groups)]


class SpeakerFolds(Scheme):
    """Speaker-disjoint folds with classes balanced as far as speakers allow, reproducible by seed.

    Args:
        count: how many folds.
        seed: of the dealing, not of the training: every training seed sees the same folds.
    """

    def __init__(self, count: int, seed: int = 0):
        self.count, self.seed = count, seed

    def groups(self, manifest: Manifest, indices: Indices) -> list[Indices]:
        """`count` groups of whole speakers (scikit-learn's StratifiedGroupKFold)."""
        speakers = _speakers(manifest, indices, "a scheme of speaker-disjoint folds")
        if not 2 <= self.count <= len(set(speakers)):
            most = len(set(speakers))
            raise SeenetError(f"{self.count} folds cannot be made of {most} speakers; expected 2 to {most}")
        labels = [manifest[i].emotion for i in indices]
        return [indices[part] for part in _stratified_groups(self.count, self.seed, labels, speakers)]


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
    def fold(self, number: int, manifest: Manifest, train: Indices, test: Indices) -> Fold:
        """Make one fold of a training part and a test group."""


class Strict(Protocol):
    """The epoch is selected on training speakers held out; the test fold is touched once.

    Args:
        dev_share: how much of the training part to hold out, rounded to 1/k, by whole speakers (whole sessions
            where the corpus has sessions, so that a session is never in two parts).
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

    def fold(self, number: int, manifest: Manifest, train: Indices, test: Indices) -> Fold:
        """Hold out development speakers of `train`, stratified by emotion as far as speakers allow."""
        speakers = _speakers(manifest, train, "protocol=strict")
        sessions = [manifest[i].session for i in train]
        groups = sessions if all(sessions) else speakers
        if len(set(groups)) < 2:
            raise SeenetError(
                f"fold {number} trains on one speaker only, so protocol=strict has none to hold out; "
                "choose protocol=paper or another dataset.folds"
            )
        parts = min(max(2, round(1 / self.dev_share)), len(set(groups)))
        labels = [manifest[i].emotion for i in train]
        dev = train[_stratified_groups(parts, self.split_seed, labels, groups)[0]]
        return Fold(number, np.setdiff1d(train, dev), dev, test)


class Paper(Protocol):
    """The epoch is selected on the test fold itself, as the original does: figures are optimistic."""

    selection = "test"
    remark = "the epoch was selected on the test fold (protocol=paper): optimistic"

    def fold(self, number: int, manifest: Manifest, train: Indices, test: Indices) -> Fold:
        """All of `train` trains; the development part is the test group."""
        return Fold(number, train, test, test)


def make_folds(manifest: Manifest, indices: Indices, scheme: Scheme, protocol: Protocol) -> list[Fold]:
    """Every fold over the utterances that `indices` keeps."""
    groups = scheme.groups(manifest, indices)
    return [protocol.fold(k, manifest, np.setdiff1d(indices, test), test) for k, test in enumerate(groups)]


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


def audit(manifest: Manifest, digests: Sequence[str], fold: Fold, protocol: Protocol) -> dict[str, object]:
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
    values = {
        "speaker": [row.speaker for row in manifest],
        "session": [row.session for row in manifest],
        "file": [row.path for row in manifest],
        "waveform": list(digests),
    }
    parts = {"train": fold.train, "dev": fold.dev, "test": fold.test}
    if protocol.selection == "test":
        del parts["dev"]
    names = list(parts)
    verdict: dict[str, object] = {"verdict": "clean"}
    for kind, column in values.items():
        every = {name: {column[i] for i in part} for name, part in parts.items()}
        sets = {name: known - {""} for name, known in every.items()}
        shared = {
            (a, b): sorted(sets[a] & sets[b]) for k, a in enumerate(names) for b in names[k + 1 :] if sets[a] & sets[b]
        }
        verdict[kind] = sum(len(both) for both in shared.values())
        if not shared:
            if sets != every:  # some clips do not say: what is known is disjoint, and that is no proof
                verdict[kind] = "unknown"
            continue
        if kind not in protocol.allow_leaks:
            (a, b), both = next(iter(shared.items()))
            clips = [manifest[i].utterance for i in parts[b] if column[i] == both[0]]
            raise SeenetError(
                f"fold {fold.number} leaks: {len(both)} {kind}(s) in both {a} and {b}, e.g. clip '{clips[0]}'"
                + (f" of {kind} '{both[0]}'" if kind in ("speaker", "session") else "")
                + f"; mend the corpus or allow it by name: protocol.allow_leaks=[{kind}]"
            )
        verdict["verdict"] = "leaks allowed"
    if verdict["verdict"] == "clean" and verdict["speaker"] == "unknown":
        verdict["verdict"] = "speakers unknown"
    return verdict
