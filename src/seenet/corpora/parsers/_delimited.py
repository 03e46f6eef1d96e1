"""Reading delimited text strictly: every row has the header's cells, and no quote swallows a row."""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seenet.core.errors import SeenetError, one_line

DELIMITERS = ",;\t|"
AUDIO_NAME = re.compile(r"\.[A-Za-z0-9]{2,5}[\"']?$")
"""The end of a cell that names a file."""


@dataclass(frozen=True)
class Delimited:
    """A table as text.

    Attributes:
        header: names of the columns.
        cells: of each row. Shape (rows, columns).
        lines: the line of the file in which each row begins, from 1. Shape (rows,).
        delimiter: between columns.
    """

    header: list[str]
    cells: list[list[str]]
    lines: NDArray[np.int64]
    delimiter: str

    def column(self, name: str) -> "pd.Series[str]":
        """The cells of a column. Shape (rows,)."""
        position = self.header.index(name)
        return pd.Series([row[position] for row in self.cells], dtype=object)


def read_delimited(text: str, source: Path, delimiter: str | None = None) -> Delimited:
    """Read a table with a header.

    A first line `sep=;` (Excel's) names the delimiter. Rows whose cells are all empty are skipped; so are empty cells
    behind the last column. Quotes delimit cells; in a table separated by tabs, where they do not, they are letters.

    Args:
        text: all of the file.
        source: the file, for messages.
        delimiter: None takes `sep=`, or the one of `DELIMITERS` that the header has most of.

    Raises:
        SeenetError: no header, a row with too many or too few cells, or quotes that do not match; the message names
            the line.
    """
    if delimiter is not None and len(delimiter) != 1:
        raise SeenetError(f"dataset.delimiter='{delimiter}': expected one character, or null to detect it")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise SeenetError(f"dataset.table='{source}' cannot be read: line {line} holds a NUL byte")
    skipped = 0
    declared = re.match(r'"?sep=(.)"?[ ;,\t]*\n', text)
    if declared:
        text, skipped = text[declared.end() :], 1
        delimiter = delimiter or declared[1]
    if not text.strip():
        raise SeenetError(f"dataset.table='{source}' cannot be read: it holds no header")
    first = next(line for line in text.split("\n") if line.strip())
    mark = delimiter or max(DELIMITERS, key=first.count)
    try:
        rows = list(_rows(text, mark, quoted=True))
    except _BadQuote as error:
        if mark != "\t":
            line = error.line + skipped
            raise SeenetError(f"dataset.table='{source}' cannot be read: {error.problem} in line {line}") from error
        rows = list(_rows(text, mark, quoted=False))
    (_, header), *rows = rows
    header = [name.strip() for name in header]
    while header and not header[-1]:
        header.pop()
    for line, row in rows:
        if len(row) < len(header) or any(cell.strip() for cell in row[len(header) :]):
            extra = " (is a cell with the delimiter in it not quoted?)" if len(row) > len(header) else ""
            raise SeenetError(
                f"'{source}' line {line + skipped} has {len(row)} cells, the header has {len(header)}{extra}"
            )
    lines = np.array([line + skipped for line, _ in rows], dtype=np.int64)
    return Delimited(header, [row for _, row in rows], lines, mark)


class _BadQuote(Exception):
    """Quotes that do not match; the line in which the row begins."""

    def __init__(self, problem: str, line: int):
        self.problem, self.line = problem, line


def _rows(text: str, mark: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of its first line."""
    quoting = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=mark, skipinitialspace=True, strict=True, quoting=quoting
    )
    line, width = 1, 0
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _BadQuote(f"a quote that does not match ({one_line(error)})", line) from error
        if any(map(str.strip, row)):
            width = width or len(row)
            if reader.line_num > line and any(_swallows_rows(cell, k, mark, width) for k, cell in enumerate(row)):
                raise _BadQuote("a quote that swallows rows", line)
            yield line, row
        line = reader.line_num + 1


def _swallows_rows(cell: str, column: int, mark: str, width: int) -> bool:
    """Whether a cell of several lines holds rows: a quote opened in one row and closed in another.

    The lines then have exactly the delimiters of the rows that they are from: the first those behind the column, the
    last those before it. Prose can have as many, but has a space behind each and names no file.
    """
    lines = cell.split("\n")
    names_file = [any(AUDIO_NAME.search(part.strip()) for part in line.split(mark)) for line in lines]
    marks = [line.count(mark) for line in lines]
    if width > 1 and marks == [width - 1 - column, *[width - 1] * (len(lines) - 2), column]:
        return f"{mark} " not in cell or any(names_file[1:])
    return any(count >= width - 1 > 0 and named for count, named in zip(marks[1:], names_file[1:], strict=True))
