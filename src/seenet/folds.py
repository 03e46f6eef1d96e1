"""Folds: which utterances train, select and test, and the proof that no part sees another.

A scheme divides the utterances into training and test parts. A protocol makes one `Fold` of each division: `Strict`
holds out development speakers of the training part; `Paper` selects on the test fold, as the original does.
"""

import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from seenet.errors import SeenetError
from seenet.manifest import Manifest
from seenet.schemes import Indices, Scheme, Split, known_codes, present, stratified_groups

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
        count = int(present(groups).sum())
        if count < 2:
            speakers = len(set(manifest.column("speaker")[train]))
            why = "trains on one speaker only" if speakers < 2 else f"trains on {speakers} speakers that share sessions"
            raise SeenetError(
                f"fold {number} {why}, so protocol=strict has none to hold out; "
                "choose protocol=paper or another dataset.folds"
            )
        parts = min(max(2, round(1 / self.dev_share)), count)
        dev = train[stratified_groups(parts, self.split_seed, manifest.codes("emotion")[train], groups)[0]]
        return Fold(number, np.setdiff1d(train, dev, assume_unique=True), dev, split.test, split.name)


def _inseparable(manifest: Manifest, indices: Indices) -> Indices:
    """A number for each set of speakers that share sessions, which must not be parted. Shape (clips,)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    speakers = known_codes(manifest, indices, "speaker", "protocol=strict")
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
        train = np.union1d(split.train, split.dev) if len(split.dev) else split.train
        return Fold(number, train, split.test, split.test, split.name)


def make_folds(manifest: Manifest, indices: Indices, scheme: Scheme, protocol: Protocol) -> list[Fold]:
    """Every fold over the utterances that `indices` keeps."""
    folds: list[Fold] = []
    trainings: dict[bytes, int] = {}
    for number, split in enumerate(scheme.splits(manifest, indices)):
        fold = protocol.fold(number, manifest, split)
        key = hashlib.blake2b(fold.train.tobytes() + b"-" + fold.dev.tobytes()).digest()
        folds.append(replace(fold, training=trainings.setdefault(key, number)))
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


def _codes(manifest: Manifest, kind: str, digests: Sequence[object]) -> Indices:
    """A number for each distinct value of what may leak; -1 where unknown. Shape (clips,)."""
    if kind == "waveform":
        return np.where(np.asarray(digests) == 0, -1, pd.factorize(np.asarray(digests))[0])  # silence is no leak
    return manifest.codes("path" if kind == "file" else kind)
