"""Any corpus that a table describes: one row a clip, columns separated by commas, semicolons or tabs."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from seenet.core.console import print_line
from seenet.core.errors import SeenetError, one_line
from seenet.corpora.manifest import COLUMNS, NUMBERS, OWN_PEOPLE, Manifest
from seenet.corpora.parsers._delimited import Delimited, read_delimited
from seenet.corpora.parsers._files import as_on_disk
from seenet.corpora.parsers._spellings import GENDERS, SPLITS, emotions_of, merged_into_other, renamed
from seenet.corpora.parsers._table_text import readings

FIELDS = tuple(column for column in COLUMNS if column != "votes")  # votes have a syntax of our own
PATHS_TRIED = 20
"""Paths with letters beyond ASCII that must exist before a table in an undeclared encoding is read."""


def read(
    table: str | None = None,
    root: str | None = None,
    columns: dict[str, str | None] | None = None,
    labels: dict[str, str | None] | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> Manifest:
    """The clips that a table names. No audio file is looked at, so a wrong path is found when it is decoded.

    Args:
        table: the file, with a header.
        root: the folder that relative paths start from; None is the table's own.
        columns: the table's name for each field of `seenet.corpora.manifest.Utterance`, where it is another; null
            ignores a column.
        labels: meanings of labels beyond those of `seenet.corpora.parsers._spellings`; null leaves the clips out.
        delimiter: between columns; None takes the one that the header has most of.
        encoding: of the table; None reads UTF-8 and UTF-16, and another encoding only where it is certain
            (`seenet.corpora.parsers._table_text`).

    Raises:
        SeenetError: no such file or folder, a table that cannot be read with certainty, a row with too many or too few
            cells, a column that is not there, a row without a path, a label of unknown meaning, a number that is none,
            or two rows of one utterance.
    """
    if table is None:
        raise SeenetError(
            "dataset=csv needs dataset.table=FILE (and dataset.root=FOLDER unless the audio is beside it)"
        )
    source = Path(table).expanduser().resolve()
    folder = source.parent if root is None else Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise SeenetError(f"dataset.root='{root}' is not a folder; give the one that the table's paths start from")
    rows, mark = _decoded_rows(source, folder, delimiter, encoding, columns or {})
    if "utterance" not in rows:
        rows["utterance"] = _utterances(rows)
    rows["path"] = as_on_disk(folder, rows["path"])
    _refuse_repeated(rows, source)
    labelled = rows["emotion"] != ""
    unlabelled, rows = rows["path"][~labelled], rows[labelled].copy()
    emotions = emotions_of(rows["emotion"], labels, f"'{source}'")
    merged = merged_into_other(rows["emotion"], emotions)
    rows["emotion"] = emotions
    rows = rows[rows["emotion"].notna()].copy()
    if "gender" in rows:
        rows["gender"] = renamed(rows["gender"], GENDERS, default="")
    if "split" in rows:
        rows["split"] = renamed(rows["split"], SPLITS)
    for name in NUMBERS:
        if name in rows:
            rows[name] = _numbers(rows[name], rows["line"], mark, source)
    return Manifest(source.stem, folder, rows, unlabelled=tuple(unlabelled), people=OWN_PEOPLE, parser="csv", **merged)


def _decoded_rows(
    source: Path, folder: Path, delimiter: str | None, encoding: str | None, columns: Mapping[str, str | None]
) -> tuple[pd.DataFrame, str]:
    """The rows under our names, with their line numbers, and the delimiter; decoded in the one encoding that fits.

    A table that is neither UTF-8 nor UTF-16 may be read in several encodings. Where its paths have letters beyond
    ASCII, the files on the disk decide.
    """
    try:
        data = source.read_bytes()
    except OSError as error:
        raise SeenetError(f"dataset.table='{source}' cannot be read: {one_line(error)}") from error
    found: list[tuple[str, pd.DataFrame, str]] = []
    refused: SeenetError | None = None
    candidates = readings(data, source, encoding)
    for name, text in candidates:
        try:
            table = read_delimited(text, source, delimiter)
            rows = _with_paths(_fields(table, columns, source), source)
        except SeenetError as error:
            refused = refused or error
            continue
        found.append((name, rows, table.delimiter))
    if len(candidates) == 1 and not found:
        raise refused or AssertionError
    if len(candidates) > 1:
        found = [each for each in found if _names_files(each[1]["path"], folder)]
        if not found or not all(rows.equals(found[0][1]) for _, rows, _ in found):
            tried = ", ".join(name for name, _ in candidates)
            raise SeenetError(
                f"the encoding of '{source}' is uncertain: it is not UTF-8, and {tried} decode it; save it as UTF-8, "
                "or name its encoding: dataset.encoding=NAME"
            )
    name, rows, mark = found[0]
    if encoding is None and not name.startswith("utf"):
        print_line(f"! '{source}' is not UTF-8 and is read as {name}; another encoding: dataset.encoding=NAME")
    return rows, mark


def _with_paths(rows: pd.DataFrame, source: Path) -> pd.DataFrame:
    """The rows that are not empty, with `/` between folders; a label without a path is an error."""
    rows = rows[(rows["path"] != "") | (rows["emotion"] != "")].copy()  # spreadsheets keep empty rows
    pathless = rows["path"] == ""
    if pathless.any():
        raise SeenetError(f"'{source}' line {rows['line'][pathless.idxmax()]}: a label, and no path")
    rows["path"] = rows["path"].str.replace("\\", "/", regex=False)
    return rows


def _names_files(paths: "pd.Series[str]", folder: Path) -> bool:
    """Whether some paths have letters beyond ASCII, and all of them that are tried exist."""
    some = [path for path in paths if not path.isascii()][:PATHS_TRIED]
    return bool(some) and all((folder / path).exists() for path in as_on_disk(folder, pd.Series(some)))


def _utterances(rows: pd.DataFrame) -> "pd.Series[str]":
    """Names of the clips: the path without its suffix, unless two files differ in the suffix alone; and the times."""
    stems = rows["path"].str.replace(r"\.[^./]+$", "", regex=True)
    files = rows["path"].groupby(stems).transform("nunique")
    names = stems.where(files == 1, rows["path"])
    for name in ("start", "end"):  # several clips of one file
        if name in rows:
            names = names + "-" + rows[name]
    return names


def _refuse_repeated(rows: pd.DataFrame, source: Path) -> None:
    repeated = rows["utterance"].duplicated()
    if repeated.any():
        name = rows["utterance"][repeated.idxmax()]
        first, second = rows["line"][rows["utterance"] == name].iloc[:2]
        raise SeenetError(
            f"'{source}' names the utterance '{name}' twice, in lines {first} and {second}"
            + (f"; so are {repeated.sum() - 1} others" if repeated.sum() > 1 else "")
            + "; remove one of the rows (a column 'utterance' may give clips other names)"
        )


def _fields(table: Delimited, columns: Mapping[str, str | None], source: Path) -> pd.DataFrame:
    """The table's columns under our names, and `line`, where each row begins in the file."""
    unknown = sorted(set(columns) - set(FIELDS))
    if unknown:
        raise SeenetError(f"dataset.columns.{unknown[0]}: there is no such field; expected {', '.join(FIELDS)}")
    taken = {}
    for field in FIELDS:
        column = columns.get(field, field)
        if table.header.count(column) > 1:
            raise SeenetError(f"'{source}' has {table.header.count(column)} columns '{column}'; rename one")
        if column in table.header:
            codes, found = pd.factorize(table.column(column))  # most columns hold few values, many times each
            taken[field] = pd.Index(found).str.strip().to_numpy()[codes]
        elif column not in (field, None) or field in ("path", "emotion"):
            raise SeenetError(
                f"'{source}' has no column '{column}', but {', '.join(table.header)}; "
                f"say which one it is: dataset.columns.{field}=NAME"
            )
    return pd.DataFrame({**taken, "line": table.lines}).astype({name: object for name in taken})


def _numbers(values: "pd.Series[str]", lines: "pd.Series[int]", delimiter: str, source: Path) -> "pd.Series[float]":
    if delimiter != ",":
        values = values.str.replace(",", ".", regex=False)  # decimal commas
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = values[~np.isfinite(numbers) & ~values.str.lower().isin(("", "nan", "na", "n/a", "null"))]
    if len(wrong):
        raise SeenetError(
            f"'{source}' line {lines[wrong.index[0]]}: '{wrong.iloc[0]}' in the column of {values.name} is no number"
        )
    return numbers
