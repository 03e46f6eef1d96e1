"""The manifest: one row for each utterance of a corpus."""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

from seenet.emotions import EMOTIONS
from seenet.errors import SeenetError


@dataclass(frozen=True, slots=True)
class Utterance:
    """One clip. An empty string means that the corpus does not say.

    Attributes:
        utterance: a name that is unique within the corpus.
        path: the audio file, absolute or relative to the manifest's root.
        emotion: an emotion of the shared vocabulary.
        speaker: who speaks.
        gender: `female` or `male`.
        session: the recording session.
        text: what is said.
    """

    utterance: str
    path: str
    emotion: str
    speaker: str = ""
    gender: str = ""
    session: str = ""
    text: str = ""


COLUMNS = tuple(field.name for field in fields(Utterance))


class Manifest(Sequence[Utterance]):
    """The utterances of one corpus, in a fixed order.

    Args:
        name: the corpus.
        root: the folder that relative paths start from.
        rows: the utterances.
        synthetic: whether a program made the speech; every result then says so.

    Raises:
        SeenetError: no rows, a repeated utterance name, or an emotion outside the vocabulary.
    """

    def __init__(self, name: str, root: Path, rows: Sequence[Utterance], synthetic: bool = False):
        self.name, self.root, self.rows, self.synthetic = name, Path(root), tuple(rows), synthetic
        if not self.rows:
            raise SeenetError(f"the corpus {name} in '{root}' is empty: no utterance was found")
        repeated = [u for u, n in Counter(row.utterance for row in self.rows).items() if n > 1]
        if repeated:
            raise SeenetError(f"the corpus {name} holds the utterance '{repeated[0]}' twice")
        unknown = sorted({row.emotion for row in self.rows} - set(EMOTIONS))
        if unknown:
            raise SeenetError(f"the corpus {name} holds '{unknown[0]}'; expected one of {', '.join(EMOTIONS)}")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Utterance:
        return self.rows[index]

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self.rows)

    def audio_path(self, index: int) -> Path:
        """The audio file of one utterance."""
        return self.root / self.rows[index].path

    def digest(self) -> str:
        """A hash of everything but the place on disk."""
        rows = sorted(astuple(replace(row, path="")) for row in self.rows)
        return hashlib.blake2b(json.dumps(rows).encode(), digest_size=16).hexdigest()

    def merged(self, merge: Mapping[str, str]) -> "Manifest":
        """The same utterances with some emotions merged into others, e.g. `{"calm": "neutral"}`."""
        unknown = [e for pair in merge.items() for e in pair if e not in EMOTIONS]
        if unknown:
            raise SeenetError(f"dataset.merge: unknown emotion '{unknown[0]}'; expected {', '.join(EMOTIONS)}")
        rows = [replace(row, emotion=merge.get(row.emotion, row.emotion)) for row in self.rows]
        return Manifest(self.name, self.root, rows, self.synthetic)


def write_manifest(rows: Sequence[Utterance], path: Path) -> None:
    """Write utterances as CSV, one column a field."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(astuple(row) for row in rows)


def read_rows(path: Path) -> list[Utterance]:
    """Read utterances that `write_manifest` wrote.

    Raises:
        SeenetError: the columns are not those of an utterance.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        if tuple(header) != COLUMNS:
            raise SeenetError(f"'{path}' has the columns {header}; expected {list(COLUMNS)}")
        return [Utterance(*row) for row in reader]
