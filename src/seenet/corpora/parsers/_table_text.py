"""Decode the text of a table, and detect other file formats."""

import codecs
import io
import re
import zipfile
from pathlib import Path

from seenet.core.errors import SeenetError, one_line

LEGACY = ("cp1252", "gb18030", "big5", "shift_jis", "euc_kr", "cp1251", "cp1250", "mac_roman")
"""Encodings other than Unicode that Excel and annotation tools write."""

WESTERN = set("áâäçéëíîóôöúüßÄÉÖÜ")
"""Letters beyond ASCII with the same bytes in Windows-1252 and Windows-1250; none can be a Slavic letter."""

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
FILE_SIGNATURES = (
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls)"),
    (b"PAR1", "a Parquet file"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\x80\x04\x95", "a Python pickle"),
    (b"version https://git-lfs", "a Git LFS pointer ('git lfs pull' fetches the file)"),
)


def decode_table(data: bytes, source: Path, encoding: str | None) -> list[tuple[str, str]]:
    """Return the possible decodings of a table, one if the encoding is certain.

    Windows-1252 counts as certain if every letter beyond ASCII is isolated and has the same meaning in Windows-1250.
    In East Asian encodings such bytes occur in pairs, in Cyrillic encodings in sequences.

    Args:
        data: content of the file.
        source: name of the file, for messages.
        encoding: encoding that the user gives; None detects it.

    Returns:
        Names of encodings, each with the decoded text.

    Raises:
        SeenetError: the file is not delimited text, or does not have the given encoding.
    """
    kind = _detect_format(data)
    if kind:
        raise SeenetError(
            f"dataset.table='{source}' is {kind}, not a delimited text file; export the table as CSV in UTF-8"
        )
    if encoding is not None:
        try:
            return [(encoding, data.decode(encoding))]
        except LookupError as error:
            expected = ", ".join(("utf-8", "utf-16", *LEGACY))
            raise SeenetError(f"dataset.encoding={encoding}: unknown encoding; expected e.g. {expected}") from error
        except UnicodeDecodeError as error:
            raise SeenetError(
                f"dataset.encoding={encoding}: '{source}' has another encoding ({one_line(error)})"
            ) from error
    try:
        for mark, name in BOMS:
            if data.startswith(mark):
                return [(name, data.decode(name))]
        for name, zeros in (("utf-16-le", data[1:200:2]), ("utf-16-be", data[:200:2])):
            if len(zeros) and 2 * zeros.count(0) > len(zeros):  # without a byte order mark
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
            f"the encoding of '{source}' is uncertain: it is not UTF-8; save it as UTF-8, or set dataset.encoding=NAME"
        )
    return found


def _is_western(data: bytes, text: str) -> bool:
    is_isolated = all(len(run) == 1 or (len(run) == 2 and 0xDF in run) for run in re.findall(rb"[\x80-\xff]+", data))
    return is_isolated and {letter for letter in text if not letter.isascii()} <= WESTERN


def _detect_format(data: bytes) -> str | None:
    """Return the format of a file that is not delimited text; None if it may be delimited text."""
    for magic, kind in FILE_SIGNATURES:
        if data.startswith(magic):
            return kind
    if data.startswith(b"PK\3\4"):
        return _detect_archive(data)
    head = data[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page or XML"
    return "JSON" if head[:1] in (b"{", b"[") else None


def _detect_archive(data: bytes) -> str:
    try:
        names = zipfile.ZipFile(io.BytesIO(data)).namelist()
    except zipfile.BadZipFile:
        return "a zip archive or an Excel workbook (.xlsx), damaged"
    if any(name.startswith("xl/") for name in names):
        return "an Excel workbook (.xlsx)"
    if "content.xml" in names:
        return "an OpenDocument spreadsheet"
    return "a Numbers spreadsheet" if any(name.endswith(".iwa") for name in names) else "a zip archive"
