"""Strict reader of delimited text: rejects rows of wrong length and quotes across rows."""

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
FILE_NAME_END = re.compile(r"\.[A-Za-z0-9]{2,5}[\"']?$")
"""Pattern for the end of a cell that contains a file name."""


@dataclass(frozen=True)
class DelimitedTable:
    """A table of texts.

    Attributes:
        header: names of the columns.
        cells: cells of each row. Shape (rows, columns).
        lines: number of the first line of each row in the file, from 1. Shape (rows,).
        delimiter: delimiter between columns.
    """

    header: list[str]
    cells: list[list[str]]
    lines: NDArray[np.int64]
    delimiter: str

    def column(self, name: str) -> "pd.Series[str]":
        """Return the cells of a column. Shape (rows,)."""
        position = self.header.index(name)
        return pd.Series([row[position] for row in self.cells], dtype=object)


def read_delimited(text: str, source: Path, delimiter: str | None = None) -> DelimitedTable:
    """Read a table with a header.

    A first line `sep=;`, as Excel writes it, sets the delimiter. Empty rows and empty cells after the last column are
    ignored. Quotes delimit cells. If quotes in a table with tabs do not match, they are ordinary characters.

    Args:
        text: content of the file.
        source: name of the file, for messages.
        delimiter: delimiter between columns; None uses `sep=`, or the most frequent of `DELIMITERS` in the header.

    Raises:
        SeenetError: no header, a row with too many or too few cells, or unmatched quotes, with the line number.
    """
    if delimiter is not None and len(delimiter) != 1:
        raise SeenetError(f"dataset.delimiter='{delimiter}': expected one character, or null to detect it")
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise SeenetError(f"dataset.table='{source}' cannot be read: line {line} contains a NUL byte")
    skipped = 0
    declared = re.match(r'"?sep=(.)"?[ ;,\t]*\n', text)
    if declared:
        text, skipped = text[declared.end() :], 1
        delimiter = delimiter or declared[1]
    if not text.strip():
        raise SeenetError(f"dataset.table='{source}' cannot be read: it has no header")
    first = next(line for line in text.split("\n") if line.strip())
    mark = delimiter or max(DELIMITERS, key=first.count)
    try:
        rows = list(_read_rows(text, mark, quoted=True))
    except _QuoteError as error:
        if mark != "\t":
            line = error.line + skipped
            raise SeenetError(f"dataset.table='{source}' cannot be read: {error.problem} in line {line}") from error
        rows = list(_read_rows(text, mark, quoted=False))
    (_, header), *rows = rows
    header = [name.strip() for name in header]
    while header and not header[-1]:
        header.pop()
    for line, row in rows:
        if len(row) < len(header) or any(cell.strip() for cell in row[len(header) :]):
            extra = " (is a cell that contains the delimiter not quoted?)" if len(row) > len(header) else ""
            raise SeenetError(
                f"'{source}' line {line + skipped} has {len(row)} cells, the header has {len(header)}{extra}"
            )
    lines = np.array([line + skipped for line, _ in rows], dtype=np.int64)
    return DelimitedTable(header, [row for _, row in rows], lines, mark)


class _QuoteError(Exception):
    """Unmatched quotes, with the number of the row's first line."""

    def __init__(self, problem: str, line: int):
        self.problem, self.line = problem, line


def _read_rows(text: str, mark: str, quoted: bool) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows that are not empty, each with the number of its first line."""
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=mark,
        skipinitialspace=True,
        strict=True,
        quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
    )
    line, width = 1, 0
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _QuoteError(f"an unmatched quote ({one_line(error)})", line) from error
        if any(map(str.strip, row)):
            width = width or len(row)
            if reader.line_num > line and any(_contains_rows(cell, k, mark, width) for k, cell in enumerate(row)):
                raise _QuoteError("a quote that spans several rows", line)
            yield line, row
        line = reader.line_num + 1


def _contains_rows(cell: str, column: int, mark: str, width: int) -> bool:
    """Return whether a cell contains rows: a quote opens in one row and closes in another.

    The lines of such a cell have the delimiters of the original rows: the first line those after the column, the last
    line those before it. Prose may have equally many, but with a space after each and without a file name.
    """
    lines = cell.split("\n")
    has_file_name = [any(FILE_NAME_END.search(part.strip()) for part in line.split(mark)) for line in lines]
    marks = [line.count(mark) for line in lines]
    if width > 1 and marks == [width - 1 - column, *[width - 1] * (len(lines) - 2), column]:
        return f"{mark} " not in cell or any(has_file_name[1:])
    return any(count >= width - 1 > 0 and has for count, has in zip(marks[1:], has_file_name[1:], strict=True))
