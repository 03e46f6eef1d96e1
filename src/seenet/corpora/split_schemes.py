"""Schemes: ways of dividing the utterances of a corpus into training and test parts."""

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from seenet.core.errors import SeenetError
from seenet.corpora.manifest import Manifest

Indices = NDArray[np.int64]
"""Rows of a manifest, or numbers of theirs. Shape (clips,)."""


@dataclass(frozen=True)
class Split:
    """What a scheme gives a fold: indices into the manifest, shape (clips,).

    Attributes:
        test: what is tested.
        pool: what trains, apart from clips of `test` and `dev`; many folds may share one array.
        dev: what selects the epoch; empty where the scheme does not say.
        name: what the test part is called; may be empty.
        shared: whether all folds of the scheme have the same training and development part.
    """

    test: Indices
    pool: Indices
    dev: Indices
    name: str = ""
    shared: bool = False

    @property
    def train(self) -> Indices:
        """What trains. It is computed at each call: a scheme of many folds is light."""
        return np.setdiff1d(self.pool, self.test, assume_unique=True)


_JUDGED = 100_000  # clips on which the balance of a large corpus is judged
NONE: Indices = np.array([], dtype=np.int64)


WITHOUT_SPEAKERS = "dataset.folds=clips5 with protocol=paper (not speaker-independent)"
"""Folds for a corpus that does not name its speakers."""


def known_codes(manifest: Manifest, indices: Indices, field: str, why: str, way: str = WITHOUT_SPEAKERS) -> Indices:
    """Return the codes of a field, which every clip must have. Shape (clips,).

    Raises:
        SeenetError: a clip lacks it; the message says `why` it is needed and which `way` there is without it.
    """
    codes = manifest.codes(field)[indices]
    unknown = int((codes < 0).sum())
    if unknown:
        raise SeenetError(
            f"{why} needs to know the {field}, and {manifest.name} does not say for "
            f"{unknown} of {len(codes)} clips; choose {way}"
        )
    return codes


def group_linked(speakers: Indices, sessions: Indices) -> Indices:
    """Number the sets of clips that shared speakers and sessions link, directly or through others.

    Args:
        speakers: number of each clip's speaker. Shape (clips,).
        sessions: number of each clip's session; -1, unknown, links nothing. Shape (clips,).

    Returns:
        Numbers, not without gaps. Shape (clips,).
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nodes = int(max(speakers.max(), sessions.max())) + 1
    met = sessions >= 0
    links = coo_array((met[met], (speakers[met], nodes + sessions[met])), shape=(2 * nodes, 2 * nodes))
    return connected_components(links, directed=False)[1][speakers].astype(np.int64)


def present(codes: Indices) -> NDArray[np.bool_]:
    """Whether each number from 0 occurs. Shape (highest number + 1,)."""
    return np.bincount(codes[codes >= 0]) > 0


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
        groups = self.groups(manifest, indices)
        if self.field is None:
            return [Split(test, indices, NONE) for test in groups]
        names = manifest.column(self.field)
        return [Split(test, indices, NONE, names[test[0]]) for test in groups]

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
        speakers = known_codes(manifest, indices, "speaker", "a scheme of speaker lists")
        lists = [sorted(set(manifest.codes_of("speaker", group))) for group in self.speakers]
        listed = Counter(code for codes in lists for code in codes)
        names = dict(zip(speakers.tolist(), manifest.column("speaker")[indices], strict=True))
        for code, name in sorted(names.items()):
            if listed[code] != 1:
                raise SeenetError(f"speaker '{name}' is in {listed[code]} folds of the scheme; 1 expected")
        groups = [indices[np.isin(speakers, codes)] for codes in lists]
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
        codes = known_codes(manifest, indices, self.field, f"leaving one {self.field} out")
        first = np.unique(codes, return_index=True)[1]
        values = manifest.column(self.field)[indices[first]]
        order = sorted(range(len(values)), key=lambda k: _by_value(values[k]))
        if len(values) < 2:
            raise SeenetError(f"leaving one {self.field} out needs two or more; {manifest.name} has '{values[0]}' only")
        return [indices[codes == codes[first[k]]] for k in order]


def _by_value(name: str) -> list[tuple[str, int]]:
    """A key that sorts speaker 2 before speaker 10."""
    return [(text, int(number or -1)) for text, number in re.findall(r"(\D*)(\d*)", name)]


def stratified_groups(parts: int, seed: int, labels: Indices, groups: Indices) -> list[Indices]:
    """Positions of each of `parts` sets of whole groups, labels balanced as far as groups allow.

    The splitter loops over clips in Python, so the balance of a very large corpus is judged on a sample of it, which
    holds every group.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second to import

    most = int(np.bincount(labels).max())
    if parts > most:
        raise SeenetError(f"{parts} balanced parts cannot be made of {len(labels)} clips, of a class {most} at most")
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
        speakers = known_codes(manifest, indices, "speaker", "a scheme of speaker-disjoint folds")
        most = int(present(speakers).sum())
        if not 2 <= self.count <= most:
            raise SeenetError(f"{self.count} folds cannot be made of {most} speakers; expected 2 to {most}")
        labels = manifest.codes("emotion")[indices]
        return [indices[part] for part in stratified_groups(self.count, self.seed, labels, speakers)]


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
        known_codes(manifest, indices, "split", "a scheme of given splits", "another dataset.folds")
        values = manifest.column("split")[indices]
        present = sorted(set(values))
        if "train" not in set(manifest.column("split")):
            return LeaveOneOut("split").splits(manifest, indices)
        if "train" not in present:
            raise SeenetError(f"no clip of the classes is in the training part of {manifest.name}")
        tests = [value for value in present if value.startswith("test")]
        unknown = [value for value in present if value not in ("train", "dev", *tests)]
        if unknown or not tests:
            wrong = f"'{unknown[0]}'" if unknown else "no test part"
            raise SeenetError(f"the splits of {manifest.name} hold {wrong}; expected train, dev, test… or folds' names")
        train, dev = (indices[values == name] for name in ("train", "dev"))
        return [Split(indices[values == test], train, dev, test, shared=True) for test in tests]
