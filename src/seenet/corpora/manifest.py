"""The manifest: one row for each utterance of a corpus, kept by columns so that a million rows are light."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seenet.core.atomic import atomic_path
from seenet.core.errors import SeenetError
from seenet.corpora.canonical_names import canonical_form, canonical_names, merge_spellings, number_form
from seenet.corpora.vocabulary import EMOTIONS, vocabulary_order


@dataclass(frozen=True, slots=True)
class Utterance:
    """One clip. An empty string or NaN means that the corpus does not say.

    Attributes:
        utterance: a name that is unique within the corpus.
        path: the audio file, absolute or relative to the manifest's root.
        emotion: an emotion of the shared vocabulary, a label of the corpus' own, or `no_agreement`.
        speaker: who speaks.
        gender: `female` or `male`.
        session: the recording session; clips of one session may share a room, a day and a dialogue.
        language: ISO 639-1 code.
        text: what is said.
        split: the part that the corpus' own protocol gives the clip to: `train`, `dev`, `test…`, or a fold's name.
        votes: raters' votes, e.g. `angry:2 sad:1` (`soft_labels` turns them into shares).
        valence: on the corpus' own scale, as are the next two.
        arousal: also called activation.
        dominance: how much in control the speaker sounds.
        start: where the clip begins in its file, in seconds; NaN is the file's beginning.
        end: where it ends, in seconds; NaN is the file's end.
    """

    utterance: str
    path: str
    emotion: str
    speaker: str = ""
    gender: str = ""
    session: str = ""
    language: str = ""
    text: str = ""
    split: str = ""
    votes: str = ""
    valence: float = float("nan")
    arousal: float = float("nan")
    dominance: float = float("nan")
    start: float = float("nan")
    end: float = float("nan")


COLUMNS = tuple(field.name for field in fields(Utterance))
CATEGORIES = ("emotion", "speaker", "gender", "session", "language", "split")
NUMBERS = ("valence", "arousal", "dominance", "start", "end")
LEARNED_COLUMNS = ("utterance", "emotion", "speaker", "gender", "session", "language", "split")
"""Fields that folds and training read. A new field is no part of older corpora's digests."""

NAMES = ("speaker", "session")
"""Fields whose spellings are merged (`seenet.corpora.canonical_names`)."""

OWN_PEOPLE = "own recordings"
"""The people of a user's own tables and folders, which may describe the same persons."""


def _dtype(column: str) -> str:
    return "category" if column in CATEGORIES else "float64" if column in NUMBERS else "object"


def table_of(rows: Iterable[Utterance]) -> pd.DataFrame:
    """Utterances as a table with one column a field."""
    columns = list(zip(*map(astuple, rows), strict=True)) or [()] * len(COLUMNS)
    return pd.DataFrame({c: pd.Series(list(v), dtype=_dtype(c)) for c, v in zip(COLUMNS, columns, strict=True)})


class Manifest:
    """The utterances of one corpus, in a fixed order.

    Args:
        name: the corpus.
        root: the folder that relative paths start from.
        table: utterances, or a table with one row each and columns of `Utterance`; a column that is missing is one
            that the corpus does not say.
        synthetic: whether a program made the speech; every result then says so.
        unlabelled: audio files of the corpus, relative to the root, that no label names.
        passed_over: other files below the root that are not used, each with why.
        parts: the corpora that were joined into this one (`join`), in the order of its rows.
        merge: which labels were merged into others.
        merged_clips: how many clips had each of those labels.
        people: whose voices these are; a speaker of another corpus with the same name and the same `people` is the same
            person. None is the corpus' name; empty means that nobody of this corpus is in another one.
        parser: what read the corpus, where that is not called as the corpus itself: `csv` reads corpora of any name.

    Attributes:
        notes: what a user must know of the names of speakers and sessions, a line each.

    Raises:
        SeenetError: no rows, a repeated utterance name, or an empty label.
    """

    def __init__(
        self,
        name: str,
        root: Path,
        table: pd.DataFrame | Iterable[Utterance],
        synthetic: bool = False,
        unlabelled: Sequence[str] = (),
        parts: Sequence["Manifest"] = (),
        merge: Mapping[str, str] | None = None,
        passed_over: Sequence[tuple[str, str]] = (),
        people: str | None = None,
        merged_clips: Mapping[str, int] | None = None,
        parser: str | None = None,
    ):
        self.people = name if people is None else people
        self.parser = name if parser is None else parser
        self.notes: tuple[str, ...] = ()
        self.passed_over = tuple(passed_over)
        self.merge, self.merged_clips = dict(merge or {}), dict(merged_clips or {})
        self.unlabelled, self.parts = tuple(unlabelled), tuple(parts)
        self._codes: dict[str, NDArray[np.int64]] = {}
        self.name, self.root, self.synthetic = name, Path(root), synthetic
        if not isinstance(table, pd.DataFrame):
            table = table_of(table)
        if len(table) == 0:
            raise SeenetError(f"the corpus {name} in '{root}' is empty: no utterance was found")
        self.table = pd.DataFrame({c: _filled(table, c) for c in COLUMNS})
        if not parts:  # else `join` merged the spellings, of the corpora that share people
            for field in NAMES:
                self.table[field], notes = merge_spellings(self.table[field].array, field)
                self.notes += notes
        repeated = self.table["utterance"][self.table["utterance"].duplicated()]
        if len(repeated):
            first, second = self.table["path"][self.table["utterance"] == repeated.iloc[0]].iloc[:2]
            raise SeenetError(
                f"the corpus {name} holds the utterance '{repeated.iloc[0]}' twice: '{first}' and '{second}'"
            )
        if "" in self.table["emotion"].cat.categories:
            row = int(np.argmax(self.table["emotion"] == ""))
            raise SeenetError(f"the corpus {name} has no label for the utterance '{self.table['utterance'].iat[row]}'")

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Utterance:
        return Utterance(*(self.table[c].iat[index] for c in COLUMNS))

    def __iter__(self) -> Iterator[Utterance]:
        return (Utterance(*values) for values in zip(*map(self.column, COLUMNS), strict=True))

    def column(self, name: str) -> NDArray[Any]:
        """One field of every utterance. Shape (clips,), str objects (float64 for `NUMBERS`)."""
        return self.table[name].to_numpy()

    def codes(self, name: str) -> NDArray[np.int64]:
        """A field as numbers, -1 where unknown; in the order of the names where it is categorical. Shape (clips,)."""
        if name not in self._codes:
            values = self.table[name]
            if name in CATEGORIES:
                numbers = values.cat.codes.to_numpy().astype(np.int64)
                # "" sorts first, so the known values are numbered from 0 once it is taken away
                self._codes[name] = numbers - 1 if "" in values.cat.categories else numbers
            else:
                self._codes[name] = pd.factorize(values)[0]
        return self._codes[name]

    def codes_of(self, field: str, names: Iterable[str]) -> list[int]:
        """The number, as in `codes`, of each name in any spelling; -1 where the corpus does not have it.

        Args:
            field: one of `NAMES`.
            names: how someone else spells them.
        """
        known = [name for name in self.table[field].cat.categories if name]
        numbers = {form: number for number, form in enumerate(canonical_names(known))}
        forms = map(canonical_form, names)
        return [numbers.get(form, numbers.get(number_form(form), -1)) for form in forms]

    @cached_property
    def files(self) -> NDArray[np.int64]:
        """A number for each audio file, the same for all paths and links that lead to it. Shape (clips,)."""
        codes, paths = pd.factorize(self._paths)
        return pd.factorize(np.array([_file_id(os.path.join(self.root, p)) for p in paths], dtype=object))[0][codes]  # noqa: PTH118

    @cached_property
    def _paths(self) -> NDArray[Any]:
        return self.column("path")

    def audio_path(self, index: int) -> Path:
        """The audio file of one utterance."""
        return self.root / self._paths[index]

    def counts(self) -> dict[str, int]:
        """How many utterances each label has, in the order of the vocabulary."""
        counts = self.table["emotion"].value_counts()
        return {label: int(counts[label]) for label in vocabulary_order(counts.index) if counts[label]}

    def digest(self, rows: NDArray[np.int64] | slice = slice(None)) -> str:
        """Return a hash of what folds and training read of some utterances, not of their place on disk.

        Args:
            rows: which, all by default.
        """
        state = hashlib.blake2b(digest_size=16)
        for column in LEARNED_COLUMNS:
            state.update("\x1f".join(self.column(column)[rows]).encode() + b"\x1e")
        return state.hexdigest()

    def merged(self, merge: Mapping[str, str]) -> "Manifest":
        """The same utterances with some emotions merged into others, e.g. `{"calm": "neutral"}`."""
        known = vocabulary_order({*EMOTIONS, *self.counts()})
        unknown = [e for pair in merge.items() for e in pair if e not in known]
        if unknown:
            raise SeenetError(f"dataset.merge: unknown label '{unknown[0]}'; expected one of {', '.join(known)}")
        table = self.table.assign(emotion=self.table["emotion"].astype(object).replace(dict(merge)))
        parts = [part.merged(merge) for part in self.parts]
        counts = self.counts()
        manifest = Manifest(
            self.name,
            self.root,
            table,
            self.synthetic,
            self.unlabelled,
            parts,
            merge={**self.merge, **merge},
            passed_over=self.passed_over,
            merged_clips={**self.merged_clips, **{label: counts.get(label, 0) for label in merge}},
            people=self.people,
            parser=self.parser,
        )
        manifest.notes = self.notes
        return manifest


def _file_id(path: str) -> str:
    """What is the same for every path to a file: where the disk keeps it, or the path where there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):  # missing, or no path at all
        return os.path.normpath(path)
    if status.st_ino == 0:  # some network drives number nothing
        return os.path.realpath(path)
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}"


def _filled(table: pd.DataFrame, column: str) -> Any:
    """A column in its type; categories stand in the order of their names, and all of them occur."""
    if column in NUMBERS:
        return table[column].to_numpy(np.float64) if column in table else np.full(len(table), np.nan)
    values = table[column] if column in table else [""] * len(table)
    if column not in CATEGORIES:
        return np.asarray(values, dtype=object)
    category = pd.Categorical(values).remove_unused_categories()
    return category.reorder_categories(sorted(category.categories))


def write_manifest(table: pd.DataFrame, path: Path) -> None:
    """Write utterances as CSV, one column a field."""
    with atomic_path(path) as building:
        table.to_csv(building, index=False, columns=list(COLUMNS))


def read_table(path: Path) -> pd.DataFrame:
    """Read utterances that `write_manifest` wrote.

    Raises:
        SeenetError: the columns are not those of an utterance.
    """
    header = pd.read_csv(path, nrows=0).columns.tolist()
    if tuple(header) != COLUMNS:
        raise SeenetError(f"'{path}' has the columns {header}; expected {list(COLUMNS)}")
    texts = {c: _dtype(c) for c in COLUMNS if c not in NUMBERS}
    table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values={c: [""] for c in NUMBERS})
    return table.astype({c: "float64" for c in NUMBERS})
