"""Any corpus that a table describes: one row a clip, columns separated by commas, semicolons or tabs."""

import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from seenet.corpora.files import as_on_disk
from seenet.corpora.spellings import GENDERS, SPLITS, emotions_of, renamed
from seenet.errors import SeenetError, reason
from seenet.manifest import COLUMNS, NUMBERS, OWN_PEOPLE, Manifest

FIELDS = tuple(column for column in COLUMNS if column != "votes")  # votes have a syntax of our own


def read(
    table: str | None = None,
    root: str | None = None,
    columns: dict[str, str | None] | None = None,
    labels: dict[str, str | None] | None = None,
    delimiter: str | None = None,
) -> Manifest:
    """The clips that a table names. No audio file is looked at, so a wrong path is found when it is decoded.

    Args:
        table: the file, in UTF-8, UTF-16 or Windows-1252, with a header.
        root: the folder that relative paths start from; None is the table's own.
        columns: the table's name for each of our fields (`seenet.manifest.Utterance`), where it is another; null
            leaves a column alone.
        labels: meanings of labels beyond those of `seenet.corpora.spellings`; null leaves the clips out.
        delimiter: between columns; None takes the one that the header has most of.

    Raises:
        SeenetError: no such file or folder, a table that cannot be read, a column that is not there, a row without a
            path, a label of unknown meaning, or a number that is none.
    """
    if table is None:
        raise SeenetError(
            "dataset=csv needs dataset.table=FILE (and dataset.root=FOLDER unless the audio is beside it)"
        )
    source = Path(table).expanduser().resolve()
    folder = source.parent if root is None else Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise SeenetError(f"dataset.root='{root}' is not a folder; give the one that the table's paths start from")
    found, mark = _table(source, delimiter)
    rows = _fields(found, columns or {}, source)
    rows = rows[(rows["path"] != "") | (rows["emotion"] != "")].copy()  # spreadsheets leave empty rows behind
    pathless = rows["path"] == ""
    if pathless.any():
        raise SeenetError(f"'{source}': row {pathless.idxmax() + 1} below the header has a label, and no path")
    rows["path"] = rows["path"].str.replace("\\", "/", regex=False)
    if "utterance" not in rows:
        rows["utterance"] = rows["path"].str.replace(r"\.[^./]+$", "", regex=True)
        for name in ("start", "end"):  # several clips of one file
            if name in rows:
                rows["utterance"] += "-" + rows[name]
    rows["path"] = as_on_disk(folder, rows["path"])
    labelled = rows["emotion"] != ""
    unlabelled, rows = rows["path"][~labelled], rows[labelled].copy()
    rows["emotion"] = emotions_of(rows["emotion"], labels, f"'{source}'")
    rows = rows[rows["emotion"].notna()].copy()
    if "gender" in rows:
        rows["gender"] = renamed(rows["gender"], GENDERS, default="")
    if "split" in rows:
        rows["split"] = renamed(rows["split"], SPLITS)
    for name in NUMBERS:
        if name in rows:
            rows[name] = _numbers(rows[name], mark, source)
    return Manifest(source.stem, folder, rows, unlabelled=tuple(unlabelled), people=OWN_PEOPLE)


def _table(path: Path, delimiter: str | None) -> tuple[pd.DataFrame, str]:
    """The table, all of it as text, and its delimiter."""
    try:
        text = _decoded(path.read_bytes())
    except (OSError, UnicodeDecodeError) as error:
        raise SeenetError(f"dataset.table='{path}' cannot be read: {reason(error)}") from error
    header = text.lstrip().partition("\n")[0]
    if delimiter is not None and len(delimiter) != 1:
        raise SeenetError(f"dataset.delimiter='{delimiter}': expected one character, or null to find it out")
    mark = delimiter or max(",;\t", key=header.count)
    try:
        as_text = {"dtype": str, "keep_default_na": False, "skipinitialspace": True, "index_col": False}
        table = pd.read_csv(io.StringIO(text), sep=mark, **as_text)
    except ValueError as error:
        raise SeenetError(f"dataset.table='{path}' cannot be read: {reason(error)}") from error
    return table.rename(columns=str.strip), mark


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252")  # what Excel writes in western Europe


def _fields(table: pd.DataFrame, columns: Mapping[str, str | None], source: Path) -> pd.DataFrame:
    """The table's columns under our names."""
    unknown = sorted(set(columns) - set(FIELDS))
    if unknown:
        raise SeenetError(f"dataset.columns.{unknown[0]}: there is no such field; expected {', '.join(FIELDS)}")
    taken = {}
    for field in FIELDS:
        column = columns.get(field, field)
        if column in table:
            codes, found = pd.factorize(table[column])  # most columns hold few values, many times each
            taken[field] = found.str.strip().to_numpy()[codes]
        elif column not in (field, None) or field in ("path", "emotion"):
            raise SeenetError(
                f"'{source}' has no column '{column}', but {', '.join(table.columns)}; "
                f"say which one it is: dataset.columns.{field}=NAME"
            )
    return pd.DataFrame(taken)


def _numbers(values: "pd.Series[str]", delimiter: str, source: Path) -> "pd.Series[float]":
    if delimiter != ",":
        values = values.str.replace(",", ".", regex=False)  # decimal commas
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = values[numbers.isna() & ~values.str.lower().isin(("", "nan", "na", "n/a", "null"))]
    if len(wrong):
        raise SeenetError(f"'{source}': '{wrong.iloc[0]}' in the column of {values.name} is no number")
    return numbers
