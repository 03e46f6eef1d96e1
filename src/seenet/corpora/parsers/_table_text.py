"""Decoding a table: UTF-8, UTF-16, or another encoding where it is certain; other kinds of file are named."""

import codecs
import io
import re
import zipfile
from pathlib import Path

from seenet.core.errors import SeenetError, one_line

LEGACY = ("cp1252", "gb18030", "big5", "shift_jis", "euc_kr", "cp1251", "cp1250", "mac_roman")
"""Encodings of Excel and annotation tools that are not Unicode."""

WESTERN = set("áâäçéëíîóôöúüßÄÉÖÜ")
"""Letters beyond ASCII that Windows-1252 shares with Windows-1250: no Slavic letter is taken for one of them."""

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
KINDS = (
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls)"),
    (b"PAR1", "a Parquet file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"version https://git-lfs", "a Git LFS pointer ('git lfs pull' fetches the file)"),
)


def readings(data: bytes, source: Path, encoding: str | None) -> list[tuple[str, str]]:
    """Every way to decode a table: one where the encoding is certain, several where it is not.

    Windows-1252 counts as certain where every letter beyond ASCII stands alone and means the same in
    Windows-1250: in the East Asian encodings such bytes stand in pairs, in Cyrillic ones in rows.

    Args:
        data: the file.
        source: its name, for messages.
        encoding: what the user says.

    Returns:
        Names of encodings, and the text in each.

    Raises:
        SeenetError: the file is no delimited text, or not of the encoding that the user says.
    """
    kind = _kind(data)
    if kind:
        raise SeenetError(
            f"dataset.table='{source}' is {kind}, not a delimited text file; export the table as CSV in UTF-8"
        )
    if encoding is not None:
        try:
            return [(encoding, data.decode(encoding))]
        except LookupError as error:
            expected = ", ".join(("utf-8", "utf-16", *LEGACY))
            raise SeenetError(f"dataset.encoding={encoding}: no such encoding; expected e.g. {expected}") from error
        except UnicodeDecodeError as error:
            raise SeenetError(f"dataset.encoding={encoding}: '{source}' is not in it ({one_line(error)})") from error
    try:
        for mark, name in BOMS:
            if data.startswith(mark):
                return [(name, data.decode(name))]
        for name, zeros in (("utf-16-le", data[1:200:2]), ("utf-16-be", data[:200:2])):
            if len(zeros) and 2 * zeros.count(0) > len(zeros):  # no mark, but each second byte of ASCII letters is zero
                return [(name, data.decode(name))]
        return [("utf-8", data.decode("utf-8"))]
    except UnicodeDecodeError as error:
        if not (error.encoding == "utf-8" and not data.startswith(codecs.BOM_UTF8)):
            raise SeenetError(
                f"dataset.table='{source}' cannot be read: {one_line(error)}; save it as UTF-8"
            ) from error
    found = []
    for name in LEGACY:
        try:
            found.append((name, data.decode(name)))
        except UnicodeDecodeError:
            continue
    if found and found[0][0] == "cp1252" and _is_western(data, found[0][1]):
        return found[:1]
    if len(found) < 2:
        raise SeenetError(
            f"the encoding of '{source}' is uncertain: it is not UTF-8; save it as UTF-8, or name its encoding: "
            "dataset.encoding=NAME"
        )
    return found


def _is_western(data: bytes, text: str) -> bool:
    alone = all(len(run) == 1 or (len(run) == 2 and 0xDF in run) for run in re.findall(rb"[\x80-\xff]+", data))
    return alone and {letter for letter in text if not letter.isascii()} <= WESTERN


def _kind(data: bytes) -> str | None:
    """What a file is that holds no delimited text; None where it may hold some."""
    for magic, kind in KINDS:
        if data.startswith(magic):
            return kind
    if data.startswith(b"PK\3\4"):
        return _archive(data)
    head = data[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page or XML"
    return "JSON" if head[:1] in (b"{", b"[") else None


def _archive(data: bytes) -> str:
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except zipfile.BadZipFile:
        return "a zip archive or an Excel workbook (.xlsx), damaged"
    if any(name.startswith("xl/") for name in names):
        return "an Excel workbook (.xlsx)"
    if "content.xml" in names:
        return "an OpenDocument spreadsheet"
    return "a Numbers spreadsheet" if any(name.endswith(".iwa") for name in names) else "a zip archive"
