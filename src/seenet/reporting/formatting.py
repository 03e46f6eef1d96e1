"""A table of the report: numbers for a CSV file, text for people, and a caption."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from seenet.core.paths import whole
from seenet.evaluation.speaker_statistics import Interval

NONE = "–"
MINUS = "\N{MINUS SIGN}"


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
        with whole(folder / f"{self.name}.csv") as path:
            self.numbers.to_csv(path, index=False, lineterminator="\n")


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def percent(value: float | None) -> str:
    """A share as percent with one decimal."""
    return NONE if _missing(value) else f"{100 * value:.1f}"


def points(value: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    return NONE if _missing(value) else f"{100 * value:+.1f}".replace("-", MINUS)


def interval(value: Interval | None, shown=percent) -> str:
    """The two ends, e.g. `[70.1, 75.2]`."""
    return NONE if value is None else f"[{shown(value.low)},\N{NO-BREAK SPACE}{shown(value.high)}]"


def p_value(value: float | None) -> str:
    """Three decimals."""
    if _missing(value):
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
