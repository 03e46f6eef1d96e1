"""Decoding of tables: encodings, and detection of other file formats."""

import io
import zipfile
from pathlib import Path

import pytest

from seenet.core.errors import SeenetError
from seenet.corpora.parsers.table import read as read_table
from support.corpus_files import TABLE_ROWS, format_table, touch_files, write_text


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_table_detects_delimiters_and_encodings(tmp_path: Path, mark: str, encoding: str):
    lines = [["path", "emotion", "text"], ["Größe 1/ä ö.wav", "Ärger", "schön"], ["b.wav", "Überraschung", ""]]
    table = write_text(tmp_path / "t.txt", "\r\n".join(mark.join(line) for line in lines), encoding)
    manifest = read_table(str(table), delimiter="|" if mark == "|" else None)
    assert [row.emotion for row in manifest] == ["angry", "surprised"]
    assert (manifest[0].path, manifest[0].text) == ("Größe 1/ä ö.wav", "schön")


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "shift_jis", "cp1252", "cp1251", "mac_roman"])
def test_table_in_a_legacy_encoding_needs_existing_paths(tmp_path: Path, encoding: str):
    names = {"cp1252": "créée", "mac_roman": "créée", "cp1251": "Аня"}
    name = names.get(encoding, "語音")
    rows = [(f"d/{name}{k}.wav", "sad", name, "x") for k in range(3)]
    table = write_text(tmp_path / "t.csv", format_table(rows), encoding)
    with pytest.raises(SeenetError, match=r"the encoding of .* is uncertain.*dataset\.encoding=NAME"):
        read_table(str(table))
    assert read_table(str(table), encoding=encoding)[0].speaker == name
    touch_files(tmp_path, *(row[0] for row in rows))
    assert [row.speaker for row in read_table(str(table))] == [name] * 3


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("Kovač", "cp1250"), ("Groß", "mac_roman"), ("Jörg", "cp850"), ("靜", "big5"), ("本", "shift_jis")],
)
def test_table_does_not_read_other_encodings_as_windows_1252(tmp_path: Path, name: str, encoding: str):
    table = write_text(tmp_path / "t.csv", format_table([("a.wav", "sad", name, "x")]), encoding)
    with pytest.raises(SeenetError, match="is uncertain"):
        read_table(str(table))
    assert read_table(str(table), encoding=encoding)[0].speaker == name


def test_table_is_uncertain_when_encodings_agree_on_paths_only(tmp_path: Path):
    touch_files(tmp_path, "é.wav")
    table = write_text(tmp_path / "t.csv", format_table([("é.wav", "sad", "Kovač", "x")]), "cp1250")
    with pytest.raises(SeenetError, match="is uncertain"):
        read_table(str(table))


def test_table_announces_windows_1252(tmp_path: Path, capsys):
    table = write_text(tmp_path / "t.csv", format_table([("a.wav", "sad", "Jürgen", "x")]), "cp1252")
    assert read_table(str(table))[0].speaker == "Jürgen"
    assert "is read as cp1252; for another encoding set dataset.encoding=NAME" in capsys.readouterr().out


def test_table_rejects_wrong_declared_encodings(tmp_path: Path):
    table = write_text(tmp_path / "t.csv", format_table([("é.wav", "sad", "a", "b")]))
    with pytest.raises(SeenetError, match="dataset.encoding=utf-9: unknown encoding"):
        read_table(str(table), encoding="utf-9")
    with pytest.raises(SeenetError, match="dataset.encoding=ascii: '.*' has another encoding"):
        read_table(str(table), encoding="ascii")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_table_reads_unicode_without_a_byte_order_mark(tmp_path: Path, encoding: str):
    assert len(read_table(str(write_text(tmp_path / "t.csv", format_table(TABLE_ROWS), encoding)))) == 3


def workbook(member: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, "x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (workbook("xl/workbook.xml"), "an Excel workbook"),
        (workbook("content.xml"), "an OpenDocument spreadsheet"),
        (workbook("Index/Document.iwa"), "a Numbers spreadsheet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), r"an Excel workbook \(.xls\)"),
        (b"PAR1" + bytes(100), "a Parquet file"),
        (b'[{"path": "a.wav"}]', "JSON"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    ],
)
def test_table_names_other_file_formats(tmp_path: Path, content: bytes, kind: str):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(SeenetError, match=rf"is {kind}.*export the table as CSV in UTF-8"):
        read_table(str(tmp_path / "t.csv"))
