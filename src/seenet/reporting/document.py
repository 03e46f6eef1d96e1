"""What the page is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from seenet.core.atomic import atomic_path
from seenet.reporting.formatting import _missing
from seenet.reporting.report_plots import Picture


@dataclass(frozen=True)
class Sound:
    """A clip that can be played.

    Attributes:
        caption: what is heard, and what the model said.
        uri: the MP3 itself.
    """

    caption: str
    uri: str


@dataclass(frozen=True)
class Table:
    """A table in its two forms, row by row the same.

    Attributes:
        name: of its files.
        caption: says what it shows, and how.
        numbers: for the CSV file.
        text: for people; its columns' names are the head.
        keys: by column of `text` the column of `numbers` that sorts it.
        folded: whether the page shows it only when asked to.
        prose: whether its cells are sentences, which are wrapped.
    """

    name: str
    caption: str
    numbers: pd.DataFrame
    text: pd.DataFrame
    keys: Mapping[str, str] = field(default_factory=dict)
    folded: bool = False
    prose: bool = False

    def cells(self) -> list[list[tuple[str, object]]]:
        """Every row's cells: the text, and what sorts it."""
        keys = pd.DataFrame({head: self.numbers[self.keys.get(head, head)] for head in self.keys})
        rows = []
        for number, texts in enumerate(self.text.itertuples(index=False)):
            row = []
            for head, text in zip(self.text.columns, texts, strict=True):
                key = keys[head].iloc[number] if head in self.keys else text
                row.append((text, "" if _missing(key) else key))
            rows.append(row)
        return rows

    def write_csv(self, folder: Path) -> None:
        """Write `<name>.csv` with the numbers as they are, shares between 0 and 1."""
        with atomic_path(folder / f"{self.name}.csv") as path:
            self.numbers.to_csv(path, index=False, lineterminator="\n")


@dataclass(frozen=True)
class Section:
    """A heading and what stands beneath it, in this order.

    Attributes:
        heading: of the section.
        notes: paragraphs.
        pictures: figures.
        tables: below them.
        sounds: last of all.
    """

    heading: str
    notes: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Table] = field(default=())
    sounds: Sequence[Sound] = ()
