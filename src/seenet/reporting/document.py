"""Sections of the report page and their parts: figures, tables and audio."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from seenet.core.atomic import atomic_path
from seenet.reporting.figure_export import Picture


@dataclass(frozen=True)
class Sound:
    """A clip that the page can play.

    Attributes:
        caption: label and prediction of the clip.
        uri: the MP3 file as a data URI.
    """

    caption: str
    uri: str


@dataclass(frozen=True)
class Table:
    """A table in two forms with the same rows: numbers and text.

    Attributes:
        name: the name of its files without suffix.
        caption: the content and how it was computed.
        numbers: the content of the CSV file.
        text: the content of the page and of the LaTeX file.
        keys: maps columns of `text` to the columns of `numbers` that sort them.
        is_collapsed: whether the page hides the table until a click.
        is_prose: whether the cells are sentences, which need line breaks.
    """

    name: str
    caption: str
    numbers: pd.DataFrame
    text: pd.DataFrame
    keys: Mapping[str, str] = field(default_factory=dict)
    is_collapsed: bool = False
    is_prose: bool = False

    def list_cells(self) -> list[list[tuple[str, object]]]:
        """Return the rows as cells of text and sort key."""
        keys = pd.DataFrame({head: self.numbers[self.keys.get(head, head)] for head in self.keys})
        rows = []
        for number, texts in enumerate(self.text.itertuples(index=False)):
            row = []
            for head, text in zip(self.text.columns, texts, strict=True):
                key = keys[head].iloc[number] if head in self.keys else text
                row.append((text, "" if pd.isna(key) else key))
            rows.append(row)
        return rows

    def write_csv(self, folder: Path) -> None:
        """Write the unrounded numbers to `<name>.csv`; shares are between 0 and 1."""
        with atomic_path(folder / f"{self.name}.csv") as path:
            self.numbers.to_csv(path, index=False, lineterminator="\n")


@dataclass(frozen=True)
class Section:
    """A heading with its content, in the order of the fields.

    Attributes:
        heading: the title of the section.
        notes: paragraphs.
        pictures: figures.
        tables: tables.
        sounds: clips to play.
    """

    heading: str
    notes: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    sounds: Sequence[Sound] = ()
