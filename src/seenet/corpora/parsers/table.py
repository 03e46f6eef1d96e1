"""Parser for any corpus in a table with one row per clip, such as CSV."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from seenet.core.console import print_line
from seenet.core.errors import SeenetError, one_line
from seenet.corpora.manifest import COLUMNS, NUMBERS, OWN_PEOPLE, Manifest
from seenet.corpora.parsers._delimited import DelimitedTable, read_delimited
from seenet.corpora.parsers._files import match_unicode_form
from seenet.corpora.parsers._spellings import GENDERS, SPLITS, describe_merges, translate_emotions, translate_spellings
from seenet.corpora.parsers._table_text import decode_table

FIELDS = tuple(column for column in COLUMNS if column != "votes")  # votes have a syntax of seenet
MAX_TESTED_PATHS = 20
"""Number of paths with letters beyond ASCII that must exist to confirm an undeclared encoding."""


def read(
    table: str | None = None,
    root: str | None = None,
    columns: dict[str, str | None] | None = None,
    labels: dict[str, str | None] | None = None,
    delimiter: str | None = None,
    encoding: str | None = None,
) -> Manifest:
    """Read the clips of a table. Audio files are not opened; decoding reports wrong paths.

    Args:
        table: the table, with a header.
        root: base folder of relative paths; None is the folder of the table.
        columns: column names by field of `seenet.corpora.manifest.Utterance`, if they differ; null ignores a column.
        labels: meanings of labels beyond those of `seenet.corpora.parsers._spellings`; null excludes the clips.
        delimiter: delimiter between columns; None uses the most frequent one in the header.
        encoding: encoding of the table; None reads UTF-8 and UTF-16, and another encoding only if it is certain
            (`seenet.corpora.parsers._table_text`).

    Raises:
        SeenetError: a missing file, folder or column, an uncertain encoding, or two rows of one utterance; too many or
            too few cells, no path, a label of unknown meaning, or an invalid number in a row.
    """
    if table is None:
        raise SeenetError(
            "dataset=csv needs dataset.table=FILE (and dataset.root=FOLDER unless the audio is in the same folder)"
        )
    source = Path(table).expanduser().resolve()
    folder = source.parent if root is None else Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise SeenetError(f"dataset.root='{root}' is not a folder; expected the base folder of the table's paths")
    rows, mark = _read_rows(source, folder, delimiter, encoding, columns or {})
    if "utterance" not in rows:
        rows["utterance"] = _name_utterances(rows)
    rows["path"] = match_unicode_form(folder, rows["path"])
    _check_unique(rows, source)
    labelled = rows["emotion"] != ""
    unlabelled, rows = rows["path"][~labelled], rows[labelled].copy()
    emotions = translate_emotions(rows["emotion"], labels, f"'{source}'")
    merged = describe_merges(rows["emotion"], emotions)
    rows["emotion"] = emotions
    rows = rows[rows["emotion"].notna()].copy()
    if "gender" in rows:
        rows["gender"] = translate_spellings(rows["gender"], GENDERS, default="")
    if "split" in rows:
        rows["split"] = translate_spellings(rows["split"], SPLITS)
    for name in NUMBERS:
        if name in rows:
            rows[name] = _parse_numbers(rows[name], rows["line"], mark, source)
    return Manifest(source.stem, folder, rows, unlabelled=tuple(unlabelled), people=OWN_PEOPLE, parser="csv", **merged)


def _read_rows(
    source: Path, folder: Path, delimiter: str | None, encoding: str | None, columns: Mapping[str, str | None]
) -> tuple[pd.DataFrame, str]:
    """Read the rows with their line numbers, under the names of fields, and the delimiter.

    Several encodings may decode a table that is neither UTF-8 nor UTF-16. If its paths have letters beyond ASCII, the
    files on the disk determine the encoding.
    """
    try:
        data = source.read_bytes()
    except OSError as error:
        raise SeenetError(f"dataset.table='{source}' cannot be read: {one_line(error)}") from error
    found: list[tuple[str, pd.DataFrame, str]] = []
    first_error: SeenetError | None = None
    candidates = decode_table(data, source, encoding)
    for name, text in candidates:
        try:
            table = read_delimited(text, source, delimiter)
            rows = _clean_paths(_select_fields(table, columns, source), source)
        except SeenetError as error:
            first_error = first_error or error
            continue
        found.append((name, rows, table.delimiter))
    if len(candidates) == 1 and not found:
        raise first_error or AssertionError
    if len(candidates) > 1:
        found = [candidate for candidate in found if _do_paths_exist(candidate[1]["path"], folder)]
        if not found or not all(rows.equals(found[0][1]) for _, rows, _ in found):
            tried = ", ".join(name for name, _ in candidates)
            raise SeenetError(
                f"the encoding of '{source}' is uncertain: it is not UTF-8, and {tried} decode it; save it as UTF-8, "
                "or set dataset.encoding=NAME"
            )
    name, rows, mark = found[0]
    if encoding is None and not name.startswith("utf"):
        print_line(f"! '{source}' is not UTF-8 and is read as {name}; for another encoding set dataset.encoding=NAME")
    return rows, mark


def _clean_paths(rows: pd.DataFrame, source: Path) -> pd.DataFrame:
    """Remove empty rows and use `/` between folders; a label without a path is an error."""
    rows = rows[(rows["path"] != "") | (rows["emotion"] != "")].copy()  # spreadsheets export empty rows
    has_no_path = rows["path"] == ""
    if has_no_path.any():
        raise SeenetError(f"'{source}' line {rows['line'][has_no_path.idxmax()]}: a label without a path")
    rows["path"] = rows["path"].str.replace("\\", "/", regex=False)
    return rows


def _do_paths_exist(paths: "pd.Series[str]", folder: Path) -> bool:
    """Return whether there are paths with letters beyond ASCII and all tested ones exist."""
    tested = [path for path in paths if not path.isascii()][:MAX_TESTED_PATHS]
    return bool(tested) and all((folder / path).exists() for path in match_unicode_form(folder, pd.Series(tested)))


def _name_utterances(rows: pd.DataFrame) -> "pd.Series[str]":
    """Name clips by their path and times.

    The suffix is part of a name only if two files differ in nothing else.
    """
    stems = rows["path"].str.replace(r"\.[^./]+$", "", regex=True)
    files = rows["path"].groupby(stems).transform("nunique")
    names = stems.where(files == 1, rows["path"])
    for name in ("start", "end"):  # several clips of one file
        if name in rows:
            names = names + "-" + rows[name]
    return names


def _check_unique(rows: pd.DataFrame, source: Path) -> None:
    repeated = rows["utterance"].duplicated()
    if repeated.any():
        name = rows["utterance"][repeated.idxmax()]
        first, second = rows["line"][rows["utterance"] == name].iloc[:2]
        raise SeenetError(
            f"'{source}' contains the utterance '{name}' twice, in lines {first} and {second}"
            + (f", and {repeated.sum() - 1} more repetitions" if repeated.sum() > 1 else "")
            + "; remove one of the rows, or name the clips in a column 'utterance'"
        )


def _select_fields(table: DelimitedTable, columns: Mapping[str, str | None], source: Path) -> pd.DataFrame:
    """Return the columns of the table by field, and the first line of each row as `line`."""
    unknown = sorted(set(columns) - set(FIELDS))
    if unknown:
        raise SeenetError(f"dataset.columns.{unknown[0]}: unknown field; expected one of {', '.join(FIELDS)}")
    selected = {}
    for field in FIELDS:
        column = columns.get(field, field)
        count = 0 if column is None else table.header.count(column)
        if count > 1:
            raise SeenetError(f"'{source}' has {count} columns '{column}'; rename one")
        if column is not None and count:
            codes, found = pd.factorize(table.column(column))  # faster: most columns have few distinct values
            selected[field] = pd.Index(found).str.strip().to_numpy()[codes]
        elif column not in (field, None) or field in ("path", "emotion"):
            raise SeenetError(
                f"'{source}' has no column '{column}', only {', '.join(table.header)}; set dataset.columns.{field}=NAME"
            )
    return pd.DataFrame({**selected, "line": table.lines}).astype({name: object for name in selected})


def _parse_numbers(
    values: "pd.Series[str]", lines: "pd.Series[int]", delimiter: str, source: Path
) -> "pd.Series[float]":
    if delimiter != ",":
        values = values.str.replace(",", ".", regex=False)  # decimal commas
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = values[~np.isfinite(numbers) & ~values.str.lower().isin(("", "nan", "na", "n/a", "null"))]
    if len(wrong):
        raise SeenetError(
            f"'{source}' line {lines[wrong.index[0]]}: '{wrong.iloc[0]}' in the column of {values.name} is not a number"
        )
    return numbers
