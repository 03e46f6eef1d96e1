"""Delimited text: rows, quotes, delimiters and line numbers of errors."""

from pathlib import Path

import pytest

from seenet.core.errors import SeenetError
from seenet.corpora.parsers.table import read as read_table
from support.corpus_files import TABLE_ROWS, format_table, write_text


@pytest.mark.parametrize("row", [1, 2, 3])
@pytest.mark.parametrize("text", ["well, yes", ""])
def test_table_rejects_rows_of_the_wrong_length(tmp_path: Path, row: int, text: str):
    """pandas would use the first column as an index if the first row is too long."""
    lines = format_table(TABLE_ROWS).splitlines()
    lines[row] = ",".join([*TABLE_ROWS[row - 1][:3], text]) if text else ",".join(TABLE_ROWS[row - 1][:3])
    table = write_text(tmp_path / "t.csv", "\n".join(lines))
    with pytest.raises(SeenetError, match=f"line {row + 1} has {5 if text else 3} cells, the header has 4"):
        read_table(str(table))


def test_table_line_numbers_count_lines_of_quoted_cells(tmp_path: Path):
    rows = [(*TABLE_ROWS[0][:3], '"two\nlines"'), TABLE_ROWS[1]]
    table = write_text(tmp_path / "t.csv", format_table(rows) + "d/x.wav,sad\n")
    with pytest.raises(SeenetError, match="line 5 has 2 cells"):
        read_table(str(table))
    assert read_table(str(write_text(table, format_table(rows))))[0].text == "two\nlines"


@pytest.mark.parametrize("mark", ["\t", ","])
def test_table_loses_no_row_to_unmatched_quotes(tmp_path: Path, mark: str):
    """Annotation tools write tabs without quoting; with other delimiters an unmatched quote is ambiguous."""
    rows = [(*row[:3], '"oh') for row in TABLE_ROWS]
    table = write_text(tmp_path / "t.txt", format_table(rows, mark))
    if mark == "\t":
        assert [row.text for row in read_table(str(table))] == ['"oh'] * 3
    else:
        with pytest.raises(SeenetError, match="an unmatched quote .* in line 2"):
            read_table(str(table))
    rows = [
        (*TABLE_ROWS[0][:3], '"oh'),
        TABLE_ROWS[1],
        (*TABLE_ROWS[2][:3], 'oh"'),
    ]
    write_text(table, format_table(rows, mark))
    if mark == "\t":
        assert len(read_table(str(table))) == 3
    else:
        with pytest.raises(SeenetError, match="a quote that spans several rows in line 2"):
            read_table(str(table))


@pytest.mark.parametrize("suffix", [".wav", ""])
@pytest.mark.parametrize("mark", [",", ";", "|", "\t"])
@pytest.mark.parametrize("between", [0, 1, 2])
def test_table_rejects_quotes_that_span_rows(tmp_path: Path, suffix: str, mark: str, between: int):
    """The text is in the middle: the cells of two rows add up to those of one row."""
    rows = [("path", "text", "emotion", "speaker"), ("a", '"oh', "happy", "s1")]
    rows += [(f"m{k}", "hm", "sad", "s3") for k in range(between)] + [("b", 'oh"', "sad", "s2")]
    lines = [mark.join((f"{row[0]}{suffix}" if k else row[0], *row[1:])) for k, row in enumerate(rows)]
    table = write_text(tmp_path / "t.csv", "\n".join(lines))
    if mark == "\t":
        assert [(row.emotion, row.speaker) for row in read_table(str(table))] == [row[2:] for row in rows[1:]]
    else:
        with pytest.raises(SeenetError, match="a quote that spans several rows in line 2"):
            read_table(str(table))


def test_table_reads_quoted_text_of_several_lines(tmp_path: Path):
    text = 'path,text,emotion\na.wav,"well, yes\nno, never",happy\nb.wav,"see\nit",sad\n'
    assert [row.emotion for row in read_table(str(write_text(tmp_path / "t.csv", text)))] == ["happy", "sad"]


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n', "\ufeffsep=;\n"])
def test_table_reads_a_declared_delimiter(tmp_path: Path, first: str):
    table = write_text(tmp_path / "t.csv", first + format_table(TABLE_ROWS, ";", "\r\n"))
    assert len(read_table(str(table))) == 3
    write_text(table, first + format_table(TABLE_ROWS, ";") + "d/x.wav\n")
    with pytest.raises(SeenetError, match="line 6 has 1 cells"):
        read_table(str(table))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_table_reads_all_line_ends_and_skips_empty_rows(tmp_path: Path, end: str):
    text = format_table(TABLE_ROWS, end=end + end) + ",,," + end + end
    assert len(read_table(str(write_text(tmp_path / "t.csv", text)))) == 3


@pytest.mark.parametrize("value", ["x", "inf", '"0,5"'])
def test_table_names_the_line_of_an_invalid_number(tmp_path: Path, value: str):
    table = write_text(tmp_path / "t.csv", f"path,emotion,start\na.wav,sad,0.5\n\nb.wav,sad,{value}\n")
    with pytest.raises(SeenetError, match="line 4: .* in the column of start is not a number"):
        read_table(str(table))


@pytest.mark.parametrize("row", [b"a.wav,sad\0\n", b"a.wav,sad\n" * 40 + b"b.wav,sad\0\n"])
def test_table_names_the_line_of_a_nul_byte(tmp_path: Path, row: bytes):
    (tmp_path / "t.csv").write_bytes(b"path,emotion\n" + row)
    with pytest.raises(SeenetError, match=f"line {1 + row.count(b'.wav')} contains a NUL byte"):
        read_table(str(tmp_path / "t.csv"))
