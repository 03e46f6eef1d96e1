"""Split schemes: rules that divide the utterances of a corpus into training and test parts."""

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
from seenet.corpora.stratification import divide_groups

Indices = NDArray[np.int64]
"""Rows of a manifest, or an integer code per clip. Shape (clips,)."""


@dataclass(frozen=True)
class Split:
    """One division of a scheme.

    Each part contains rows of the manifest, shape (clips of the part,).

    Attributes:
        test: test part.
        pool: clips to train on, before the test part is removed; many folds may share one array.
        dev: development part; empty if the scheme does not define one.
        name: name of the test part; may be empty.
        shared: whether all folds of the scheme have the same training and development part.
    """

    test: Indices
    pool: Indices
    dev: Indices
    name: str = ""
    shared: bool = False

    @property
    def train(self) -> Indices:
        """Training part, computed on each access: a scheme of many folds needs little memory."""
        return np.setdiff1d(self.pool, self.test, assume_unique=True)


NO_CLIPS: Indices = np.array([], dtype=np.int64)

_MAX_STRATIFIED_CLIPS = 100_000  # size of the sample that stratifies a larger corpus

FOLDS_WITHOUT_SPEAKERS = "dataset.folds=clips5 with protocol=paper (not speaker-independent)"
"""Folds for a corpus with unknown speakers."""


def require_codes(
    manifest: Manifest, indices: Indices, field: str, purpose: str, alternative: str = FOLDS_WITHOUT_SPEAKERS
) -> Indices:
    """Return the codes of a field that every clip must have. Shape (clips,).

    Args:
        manifest: the corpus.
        indices: rows of the clips.
        field: a field of `Utterance`.
        purpose: what requires the field, for the message.
        alternative: settings that do not require the field, for the message.

    Raises:
        SeenetError: the field is unknown for a clip.
    """
    codes = manifest.codes(field)[indices]
    unknown = int((codes < 0).sum())
    if unknown:
        raise SeenetError(
            f"{purpose} requires the {field} of every clip, but {manifest.name} lacks it for "
            f"{unknown} of {len(codes)} clips; choose {alternative}"
        )
    return codes


def group_linked(speakers: Indices, sessions: Indices) -> Indices:
    """Return the connected component of each clip over shared speakers and sessions.

    Args:
        speakers: code of each clip's speaker. Shape (clips,).
        sessions: code of each clip's session; -1 (unknown) links nothing. Shape (clips,).

    Returns:
        Component numbers, possibly with gaps. Shape (clips,).
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    nodes = int(max(speakers.max(), sessions.max())) + 1
    is_known = sessions >= 0
    edges = (speakers[is_known], nodes + sessions[is_known])
    links = coo_array((is_known[is_known], edges), shape=(2 * nodes, 2 * nodes))
    components: Indices = connected_components(links, directed=False)[1][speakers].astype(np.int64)
    return components


def mark_present(codes: Indices) -> NDArray[np.bool_]:
    """Return whether each code from 0 occurs. Shape (highest code + 1,)."""
    return np.bincount(codes[codes >= 0]) > 0


class Scheme(ABC):
    """A rule that divides utterances into folds."""

    @abstractmethod
    def splits(self, manifest: Manifest, indices: Indices) -> list[Split]:
        """Return the division of each fold.

        Args:
            manifest: the corpus.
            indices: rows of the utterances to divide.

        Raises:
            SeenetError: the corpus lacks information that the scheme requires.
        """


class Groups(Scheme):
    """A partition of the corpus into test groups; each fold trains on the other groups."""

    field: str | None = None
    """Field that all clips of a group share and that names the group; None for unnamed groups."""

    def splits(self, manifest: Manifest, indices: Indices) -> list[Split]:
        """Return one fold per group."""
        groups = self.groups(manifest, indices)
        if self.field is None:
            return [Split(test, indices, NO_CLIPS) for test in groups]
        names = manifest.column(self.field)
        return [Split(test, indices, NO_CLIPS, names[test[0]]) for test in groups]

    @abstractmethod
    def groups(self, manifest: Manifest, indices: Indices) -> list[Indices]:
        """Return the test group of each fold."""


class SpeakerLists(Groups):
    """Folds from lists of speakers.

    Args:
        speakers: speakers of each test part.
    """

    def __init__(self, speakers: Sequence[Sequence[str | int]]):
        self.speakers = [[str(s) for s in group] for group in speakers]

    def groups(self, manifest: Manifest, indices: Indices) -> list[Indices]:
        """Return one group per list; a speaker in no list or in two lists is an error."""
        speakers = require_codes(manifest, indices, "speaker", "a scheme of speaker lists")
        lists = [sorted(set(manifest.find_codes("speaker", group))) for group in self.speakers]
        listed = Counter(code for codes in lists for code in codes)
        names = dict(zip(speakers.tolist(), manifest.column("speaker")[indices], strict=True))
        for code, name in sorted(names.items()):
            if listed[code] != 1:
                raise SeenetError(f"speaker '{name}' is in {listed[code]} folds of the scheme; expected 1")
        groups = [indices[np.isin(speakers, codes)] for codes in lists]
        empty = [k for k, group in enumerate(groups) if len(group) == 0]
        if empty:
            raise SeenetError(
                f"fold {empty[0]} is empty: {manifest.name} has none of the speakers "
                f"{', '.join(self.speakers[empty[0]])}; is the corpus complete?"
            )
        return groups


class LeaveOneOut(Groups):
    """One fold per speaker, session or other value of a field.

    Args:
        field: field that defines the test groups.
    """

    def __init__(self, field: Literal["speaker", "session", "language", "split"]):
        self.field: str = field

    def groups(self, manifest: Manifest, indices: Indices) -> list[Indices]:
        """Return one group per value, in natural order of names: 2 before 10."""
        codes = require_codes(manifest, indices, self.field, f"leaving one {self.field} out")
        first = np.unique(codes, return_index=True)[1]
        values = manifest.column(self.field)[indices[first]].tolist()
        order = sorted(range(len(values)), key=lambda k: _natural_key(values[k]))
        if len(values) < 2:
            raise SeenetError(
                f"leaving one {self.field} out requires two or more; {manifest.name} has only '{values[0]}'"
            )
        return [indices[codes == codes[first[k]]] for k in order]


def _natural_key(name: str) -> list[tuple[str, int]]:
    """Return a sort key that orders speaker 2 before speaker 10."""
    return [(text, int(number or -1)) for text, number in re.findall(r"(\D*)(\d*)", name)]


def stratify_groups(parts: int, seed: int, labels: Indices, groups: Indices) -> list[Indices]:
    """Split positions into sets without dividing a group, and balance the labels.

    A large corpus is stratified on a sample that contains every group.

    Args:
        parts: number of sets.
        seed: seed of the split and of the sample.
        labels: label code of each clip. Shape (clips,).
        groups: group of each clip. Shape (clips,).

    Raises:
        SeenetError: there are more sets than clips of the most frequent label.
    """
    most = int(np.bincount(labels).max())
    if parts > most:
        raise SeenetError(f"{parts} balanced parts cannot be made of {len(labels)} clips: a class has at most {most}")
    sample = np.arange(len(groups))
    if len(groups) > _MAX_STRATIFIED_CLIPS:
        chosen = np.random.default_rng(seed).choice(len(groups), _MAX_STRATIFIED_CLIPS, replace=False)
        sample = np.union1d(chosen, np.unique(groups, return_index=True)[1])
    groups_of_parts = divide_groups(parts, seed, labels[sample], groups[sample])
    return [np.flatnonzero(np.isin(groups, part)) for part in groups_of_parts]


class SpeakerFolds(Groups):
    """Speaker-disjoint folds with classes as balanced as the speakers allow.

    Args:
        count: number of folds.
        seed: seed of the split; it is independent of the training seed.
    """

    def __init__(self, count: int, seed: int = 0):
        self.count, self.seed = count, seed

    def groups(self, manifest: Manifest, indices: Indices) -> list[Indices]:
        """Return `count` groups without dividing a speaker (as StratifiedGroupKFold of scikit-learn)."""
        speakers = require_codes(manifest, indices, "speaker", "a scheme of speaker-disjoint folds")
        most = int(mark_present(speakers).sum())
        if not 2 <= self.count <= most:
            raise SeenetError(f"{self.count} folds cannot be made of {most} speakers; expected 2 to {most} folds")
        labels = manifest.codes("emotion")[indices]
        return [indices[part] for part in stratify_groups(self.count, self.seed, labels, speakers)]


class ClipFolds(Groups):
    """Class-balanced folds of clips that ignore speakers, for a corpus with unknown speakers.

    A speaker may be in several parts; figures are then optimistic. The audit reports known speakers in two parts and
    records unknown speakers.

    Args:
        count: number of folds.
        seed: seed of the split.
    """

    def __init__(self, count: int, seed: int = 0):
        self.count, self.seed = count, seed

    def groups(self, manifest: Manifest, indices: Indices) -> list[Indices]:
        """Return `count` groups of clips (scikit-learn's StratifiedKFold)."""
        from sklearn.model_selection import StratifiedKFold

        labels = manifest.codes("emotion")[indices]
        least = int(np.bincount(labels)[np.unique(labels)].min())
        if not 2 <= self.count <= least:
            raise SeenetError(
                f"{self.count} folds cannot be made of {least} clips of a class; expected 2 to {least} folds"
            )
        splitter = StratifiedKFold(self.count, shuffle=True, random_state=self.seed)
        return [indices[part] for _, part in splitter.split(indices, labels)]


class GivenSplit(Scheme):
    """Folds from the field `split`, which the corpus or the user's table provides.

    The values may be `train`, optionally `dev`, and values that begin with `test`: each test part is then a fold, and
    all folds have the same training part. Other values name folds; each of them is tested once.
    """

    def splits(self, manifest: Manifest, indices: Indices) -> list[Split]:
        """Return one fold per test part, or one per value."""
        require_codes(manifest, indices, "split", "a scheme of given splits", "another dataset.folds")
        values = manifest.column("split")[indices]
        names = sorted(set(values))
        if "train" not in set(manifest.column("split")):
            return LeaveOneOut("split").splits(manifest, indices)
        if "train" not in names:
            raise SeenetError(f"no clip of the classes is in the training part of {manifest.name}")
        tests = [name for name in names if name.startswith("test")]
        unknown = [name for name in names if name not in ("train", "dev", *tests)]
        if unknown or not tests:
            wrong = f"'{unknown[0]}'" if unknown else "no test part"
            raise SeenetError(
                f"the splits of {manifest.name} contain {wrong}; expected train, dev, test… or names of folds"
            )
        train, dev = (indices[values == name] for name in ("train", "dev"))
        return [Split(indices[values == test], train, dev, test, shared=True) for test in tests]
