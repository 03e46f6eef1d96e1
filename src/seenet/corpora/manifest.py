"""Manifest of a corpus: a column-oriented table with one row per utterance."""

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
from seenet.corpora.canonical_names import canonicalize_name, canonicalize_names, merge_spellings, strip_zeros
from seenet.corpora.vocabulary import EMOTIONS, sort_labels


@dataclass(frozen=True, slots=True)
class Utterance:
    """One clip. An empty string or NaN means unknown.

    Attributes:
        utterance: unique name within the corpus.
        path: audio file, absolute or relative to the root of the manifest.
        emotion: emotion of the shared vocabulary, another label of the corpus, or `no_agreement`.
        speaker: name of the speaker.
        gender: `female` or `male`.
        session: recording session; clips of one session may share a room, a day and a dialogue.
        language: ISO 639-1 code.
        text: transcript.
        split: part in the official split of the corpus: `train`, `dev`, `test…`, or the name of a fold.
        votes: raters' votes, e.g. `angry:2 sad:1` (`seenet.corpora.votes` converts them to shares).
        valence: on the scale of the corpus, as the next two.
        arousal: also called activation.
        dominance: degree of control that the speaker expresses.
        start: start of the clip in its file, in seconds; NaN is the start of the file.
        end: end of the clip in its file, in seconds; NaN is the end of the file.
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
"""Fields that folds and training use. New fields must not change the digests of existing corpora."""

NAMES = ("speaker", "session")
"""Fields with merged spellings (`seenet.corpora.canonical_names`)."""

OWN_PEOPLE = "own recordings"
"""Value of `people` for a user's tables and folders, which may contain the same persons."""


def _get_dtype(column: str) -> str:
    return "category" if column in CATEGORIES else "float64" if column in NUMBERS else "object"


def build_table(rows: Iterable[Utterance]) -> pd.DataFrame:
    """Build a table of utterances with one column per field."""
    columns = list(zip(*map(astuple, rows), strict=True)) or [()] * len(COLUMNS)
    return pd.DataFrame({c: pd.Series(list(v), dtype=_get_dtype(c)) for c, v in zip(COLUMNS, columns, strict=True)})


class Manifest:
    """The utterances of one corpus, in a fixed order.

    Args:
        name: name of the corpus.
        root: base folder of relative paths.
        table: utterances, or a table with one row per utterance and the columns of `Utterance`; a missing column means
            unknown values.
        synthetic: whether a program generated the speech; every result then records it.
        unlabelled: audio files without a label, relative to the root.
        skipped: other files below the root that are not used, each with the reason.
        parts: corpora that were joined into this one (`join_corpora`), in the order of its rows.
        merge: labels that were merged into others.
        merged_clips: number of clips of each merged label.
        people: group of people that speak; equal names in two corpora of one group mean the same person. None is the
            name of the corpus; empty means that no other corpus has these speakers.
        parser: name of the parser if it differs from that of the corpus: `csv` reads corpora of any name.

    Attributes:
        notes: notes for the user on names of speakers and sessions, one line each.

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
        skipped: Sequence[tuple[str, str]] = (),
        people: str | None = None,
        merged_clips: Mapping[str, int] | None = None,
        parser: str | None = None,
    ):
        self.people = name if people is None else people
        self.parser = name if parser is None else parser
        self.notes: tuple[str, ...] = ()
        self.skipped = tuple(skipped)
        self.merge, self.merged_clips = dict(merge or {}), dict(merged_clips or {})
        self.unlabelled, self.parts = tuple(unlabelled), tuple(parts)
        self._codes: dict[str, NDArray[np.int64]] = {}
        self.name, self.root, self.synthetic = name, Path(root), synthetic
        if not isinstance(table, pd.DataFrame):
            table = build_table(table)
        if len(table) == 0:
            raise SeenetError(f"the corpus {name} in '{root}' is empty: no utterance was found")
        self.table = pd.DataFrame({c: _convert_column(table, c) for c in COLUMNS})
        if not parts:  # otherwise `join_corpora` has merged the spellings
            for field in NAMES:
                self.table[field], notes = merge_spellings(self.table[field].array, field)
                self.notes += notes
        repeated = self.table["utterance"][self.table["utterance"].duplicated()]
        if len(repeated):
            first, second = self.table["path"][self.table["utterance"] == repeated.iloc[0]].iloc[:2]
            raise SeenetError(
                f"the corpus {name} contains the utterance '{repeated.iloc[0]}' twice: '{first}' and '{second}'"
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
        """Return one field of all utterances. Shape (clips,), str objects (float64 for `NUMBERS`)."""
        values: NDArray[Any] = self.table[name].to_numpy()
        return values

    def codes(self, name: str) -> NDArray[np.int64]:
        """Return a field as integer codes, -1 for unknown. Shape (clips,).

        The codes of a categorical field have the order of its sorted values.
        """
        if name not in self._codes:
            values = self.table[name]
            if name in CATEGORIES:
                numbers = values.cat.codes.to_numpy().astype(np.int64)
                # "" has the first code: without it, known values start at 0
                self._codes[name] = numbers - 1 if "" in values.cat.categories else numbers
            else:
                self._codes[name] = pd.factorize(values)[0]
        return self._codes[name]

    def find_codes(self, field: str, names: Iterable[str]) -> list[int]:
        """Return the code of each name in any spelling, -1 if the corpus does not contain it.

        Args:
            field: one of `NAMES`.
            names: names in any spelling.
        """
        known = [name for name in self.table[field].cat.categories if name]
        numbers = {form: number for number, form in enumerate(canonicalize_names(known))}
        forms = map(canonicalize_name, names)
        return [numbers.get(form, numbers.get(strip_zeros(form), -1)) for form in forms]

    @cached_property
    def files(self) -> NDArray[np.int64]:
        """Code of each clip's audio file, equal for all links to a file. Shape (clips,)."""
        codes, paths = pd.factorize(self._paths)
        identities = [_identify_file(os.path.join(self.root, path)) for path in paths]  # noqa: PTH118
        files: NDArray[np.int64] = pd.factorize(np.array(identities, dtype=object))[0][codes]
        return files

    @cached_property
    def _paths(self) -> NDArray[Any]:
        return self.column("path")

    def audio_path(self, index: int) -> Path:
        """Return the audio file of one utterance."""
        path: str = self._paths[index]
        return self.root / path

    def counts(self) -> dict[str, int]:
        """Return the number of utterances of each label, in the order of the vocabulary."""
        counts = self.table["emotion"].value_counts()
        return {label: int(counts[label]) for label in sort_labels(counts.index) if counts[label]}

    def digest(self, rows: NDArray[np.int64] | slice = slice(None)) -> str:
        """Hash the fields that folds and training use; the location on disk does not matter.

        Args:
            rows: rows to hash, all by default.
        """
        state = hashlib.blake2b(digest_size=16)
        for column in LEARNED_COLUMNS:
            state.update("\x1f".join(self.column(column)[rows]).encode() + b"\x1e")
        return state.hexdigest()

    def merge_labels(self, merge: Mapping[str, str]) -> "Manifest":
        """Return the utterances with labels merged into others, e.g. `{"calm": "neutral"}`."""
        known = sort_labels({*EMOTIONS, *self.counts()})
        unknown = [e for pair in merge.items() for e in pair if e not in known]
        if unknown:
            raise SeenetError(f"dataset.merge: unknown label '{unknown[0]}'; expected one of {', '.join(known)}")
        table = self.table.assign(emotion=self.table["emotion"].astype(object).replace(dict(merge)))
        parts = [part.merge_labels(merge) for part in self.parts]
        counts = self.counts()
        manifest = Manifest(
            self.name,
            self.root,
            table,
            self.synthetic,
            self.unlabelled,
            parts,
            merge={**self.merge, **merge},
            skipped=self.skipped,
            merged_clips={**self.merged_clips, **{label: counts.get(label, 0) for label in merge}},
            people=self.people,
            parser=self.parser,
        )
        manifest.notes = self.notes
        return manifest


def _identify_file(path: str) -> str:
    """Return a text that is equal for all paths to a file: its inode, or otherwise the path."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):  # missing, or not a valid path
        return os.path.normpath(path)
    if status.st_ino == 0:  # some network drives have no inodes
        return os.path.realpath(path)
    return f"{status.st_dev}-{status.st_ino}-{status.st_size}"


def _convert_column(table: pd.DataFrame, column: str) -> Any:
    """Return a column in its type, with sorted categories and without unused ones."""
    if column in NUMBERS:
        return table[column].to_numpy(np.float64) if column in table else np.full(len(table), np.nan)
    values = table[column] if column in table else [""] * len(table)
    if column not in CATEGORIES:
        return np.asarray(values, dtype=object)
    category = pd.Categorical(values).remove_unused_categories()
    return category.reorder_categories(sorted(category.categories))


def write_manifest(table: pd.DataFrame, path: Path) -> None:
    """Write utterances as CSV, with one column per field."""
    with atomic_path(path) as building:
        table.to_csv(building, index=False, columns=list(COLUMNS))


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a CSV file of `write_manifest`.

    Raises:
        SeenetError: the columns are not those of `Utterance`.
    """
    header = pd.read_csv(path, nrows=0).columns.tolist()
    if tuple(header) != COLUMNS:
        raise SeenetError(f"'{path}' has the columns {header}; expected {list(COLUMNS)}")
    texts = {c: _get_dtype(c) for c in COLUMNS if c not in NUMBERS}
    table = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values={c: [""] for c in NUMBERS})
    return table.astype({c: "float64" for c in NUMBERS})
