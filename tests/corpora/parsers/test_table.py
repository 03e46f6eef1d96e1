"""Any corpus from a table or from folders: columns, delimiters, encodings, spellings, and what is said of mistakes."""

import io
import json
import re
import unicodedata
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.folds import make_folds
from seenet.corpora.loading import DATASET_SETTINGS, build_scheme, load_corpus
from seenet.corpora.manifest import Manifest
from seenet.corpora.parsers import folder
from seenet.corpora.parsers._spellings import SPELLINGS, normalize
from seenet.corpora.parsers.table import FIELDS
from seenet.corpora.parsers.table import read as read_table
from seenet.corpora.protocols import Paper, Strict
from seenet.corpora.vocabulary import EMOTIONS, NO_AGREEMENT
from seenet.reporting import fonts


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def touch(root: Path, *names: str) -> Path:
    for name in names:
        write(root / name, "")
    return root


def built(cfg) -> Manifest:
    return instantiate_checked(cfg.dataset, "dataset", skip=DATASET_SETTINGS)


FULL = (
    "utterance,path,emotion,speaker,gender,session,language,text,split,valence,arousal,dominance,more\n"
    'u1,a/1.wav,Happiness,anna,F,s1,de,"Guten Tag, du",Training,4.5,3,,x\n'
    "u2,a/2.wav, ANG ,ben,male,s2,en,,valid,,NA,1,x\n"
    "u3,b/3.flac,pleasant_surprise,ben,?,s2,en,hi,test,1,1,1,x\n"
)


def test_table_reads_every_column(config, tmp_path: Path):
    table = write(tmp_path / "lists" / "mine.csv", FULL)
    manifest = built(config("dataset=csv", f"dataset.table={table}", f"dataset.root={tmp_path}"))
    first, second, third = manifest
    assert (first.utterance, first.path, first.emotion, first.speaker, first.gender) == (
        "u1",
        "a/1.wav",
        "happy",
        "anna",
        "female",
    )
    assert (first.session, first.language, first.text, first.split) == ("s1", "de", "Guten Tag, du", "train")
    assert (first.valence, first.arousal) == (4.5, 3)
    assert np.isnan([first.dominance, second.valence, second.arousal]).all()
    assert (second.emotion, second.gender, second.split) == ("angry", "male", "dev")
    assert (third.emotion, third.gender, third.split) == ("surprised", "", "test")
    assert manifest.audio_path(2) == tmp_path / "b/3.flac"
    assert manifest.name == "mine"


def test_table_needs_only_path_and_emotion(tmp_path: Path):
    table = write(tmp_path / "t.csv", "emotion,path\nsad,deep/er/x.y.wav\nneu,C.WAV\n")
    manifest = read_table(str(table))
    assert [(row.utterance, row.path) for row in manifest] == [("deep/er/x.y", "deep/er/x.y.wav"), ("C", "C.WAV")]
    assert manifest.root == tmp_path
    assert manifest.column("speaker").tolist() == ["", ""]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_table_detects_delimiters_and_encodings(tmp_path: Path, mark: str, encoding: str):
    lines = [["path", "emotion", "text"], ["Größe 1/ä ö.wav", "Ärger", "schön"], ["b.wav", "Überraschung", ""]]
    table = write(tmp_path / "t.txt", "\r\n".join(mark.join(line) for line in lines), encoding)
    manifest = read_table(str(table), delimiter="|" if mark == "|" else None)
    assert [row.emotion for row in manifest] == ["angry", "surprised"]
    assert (manifest[0].path, manifest[0].text) == ("Größe 1/ä ö.wav", "schön")


def test_table_reads_decimal_commas_when_the_delimiter_is_another(tmp_path: Path):
    table = write(tmp_path / "t.csv", "path;emotion;valence\na.wav;sad;2,5\nb.wav;sad;\n")
    assert read_table(str(table)).column("valence")[0] == 2.5
    write(table, "path;emotion;valence\na.wav;sad;low\n")
    with pytest.raises(SeenetError, match="'low' in the column of valence is not a number"):
        read_table(str(table))


def test_table_reads_columns_with_other_names(config, tmp_path: Path):
    table = write(tmp_path / "t.csv", "Datei,Gefühl,speaker\na.wav,Wut,anna\n")
    overrides = ["dataset=csv", f"dataset.table={table}", "dataset.columns.path=Datei"]
    manifest = built(config(*overrides, 'dataset.columns.emotion="Gefühl"'))
    assert (manifest[0].path, manifest[0].emotion, manifest[0].speaker) == ("a.wav", "angry", "anna")
    with pytest.raises(SeenetError, match=r"no column 'emotion', only Datei, Gefühl, speaker; .*columns.emotion=NAME"):
        built(config(*overrides))
    with pytest.raises(SeenetError, match="no column 'sprecher'"):
        built(config(*overrides, 'dataset.columns.emotion="Gefühl"', "dataset.columns.speaker=sprecher"))
    ignored = read_table(str(table), columns={"path": "Datei", "emotion": "Gefühl", "speaker": None})
    assert ignored[0].speaker == ""
    with pytest.raises(SeenetError, match="dataset.columns.age: unknown field; expected one of utterance, path"):
        read_table(str(table), columns={"age": "Alter"})


def test_table_translates_labels_of_the_user(config, tmp_path: Path):
    table = write(tmp_path / "t.csv", "path,emotion\na.wav,W\nb.wav,sad\nc.wav,Lachen\nd.wav,sad\n")
    with pytest.raises(SeenetError, match=r"'Lachen' \(1\), 'W' \(1\); .*=\[…,Lachen,W\]'.*labels={Lachen: angry}'"):
        read_table(str(table))
    wanted = "dataset.labels={W: angry, Lachen: null, sad: bored}"
    manifest = built(config("dataset=csv", f"dataset.table={table}", wanted))
    assert [(row.path, row.emotion) for row in manifest] == [
        ("a.wav", "angry"),
        ("b.wav", "bored"),
        ("d.wav", "bored"),
    ], "what a user says goes before the table, and null leaves out"
    own = read_table(str(table), labels={"W": "fury", "Lachen": "Freude"})
    assert [row.emotion for row in own] == ["fury", "sad", "happy", "sad"], "an own word, or a known spelling"
    with pytest.raises(SeenetError, match="dataset.labels: 'W' has an empty meaning"):
        read_table(str(table), labels={"W": " "})
    write(table, "path,emotion\na.wav,Überdruss\n")
    with pytest.raises(SeenetError, match="labels: {Überdruss: angry} in a dataset's YAML"):
        read_table(str(table))
    write(table, "path,emotion\na.wav,1\n")
    assert read_table(str(table), labels={1: "angry"})[0].emotion == "angry", "YAML reads 1 as a number"


def test_spellings_map_to_the_vocabulary():
    assert set(SPELLINGS.values()) == {*EMOTIONS, NO_AGREEMENT}
    assert all(normalize(spelling) == spelling for spelling in SPELLINGS)
    assert [SPELLINGS[normalize(s)] for s in ("Pleasant-Surprise", " No_Agreement", "BOREDOM", "xxx")] == [
        "surprised",
        "no_agreement",
        "bored",
        "no_agreement",
    ]


def test_table_reads_excerpts_and_trailing_delimiters(tmp_path: Path):
    text = "path,emotion,speaker,start,end\nlong.wav,sad,s1,0,1.5,\nlong.wav,happy,s1,1.5,3,\n"
    manifest = read_table(str(write(tmp_path / "t.csv", text)))
    assert [row.utterance for row in manifest] == ["long-0-1.5", "long-1.5-3"]
    assert [(row.emotion, row.speaker, row.start, row.end) for row in manifest] == [
        ("sad", "s1", 0.0, 1.5),
        ("happy", "s1", 1.5, 3.0),
    ]


def test_table_lists_rows_without_a_label(tmp_path: Path):
    table = write(tmp_path / "t.csv", "path,emotion\na.wav,sad\n,\nb.wav,\n\n")
    manifest = read_table(str(table))
    assert (len(manifest), manifest.unlabelled) == (1, ("b.wav",))


def test_table_finds_files_in_another_unicode_form(tmp_path: Path):
    """macOS copies have é as e and an accent; tables mostly have it as one character."""
    name = "é/ü 1.wav"
    composed, decomposed = unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)
    touch(tmp_path, decomposed)
    table = write(tmp_path / "t.csv", f"path,emotion\n{composed},sad\né/none.wav,sad\nplain.wav,sad\n")
    manifest = read_table(str(table))
    assert [row.path for row in manifest] == [decomposed, "é/none.wav", "plain.wav"]
    assert manifest.audio_path(0).is_file()
    assert manifest[0].utterance == composed.removesuffix(".wav"), "a name is the same on every machine"


def test_table_reads_windows_paths(tmp_path: Path):
    table = write(tmp_path / "t.csv", "path,emotion\ndir\\a.wav,sad\n")
    assert read_table(str(table))[0].path == "dir/a.wav"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,emotion\na.wav,sad\n,sad\n", "line 3: a label without a path"),
        ("path,emotion\na.wav,sad\na.wav,sad\n", "contains the utterance 'a' twice, in lines 2 and 3"),
        ("path,emotion\n", "is empty"),
        ("", "cannot be read"),
        (
            "file,label\na.wav,sad\n",
            "no column 'path', only file, label; set dataset.columns.path=NAME",
        ),
        ('path,emotion\n"a.wav,sad\n', "cannot be read"),
    ],
)
def test_table_rejects_invalid_rows(tmp_path: Path, text: str, words: str):
    with pytest.raises(SeenetError, match=words) as caught:
        read_table(str(write(tmp_path / "t.csv", text)))
    assert "\n" not in str(caught.value)


def test_table_rejects_missing_files_and_folders(config, tmp_path: Path):
    with pytest.raises(SeenetError, match="dataset=csv needs dataset.table=FILE"):
        built(config("dataset=csv"))
    with pytest.raises(SeenetError, match="dataset.table='.*nothing.csv' cannot be read"):
        read_table(str(tmp_path / "nothing.csv"))
    with pytest.raises(SeenetError, match="dataset.root='.*nowhere' is not a folder"):
        read_table(str(write(tmp_path / "t.csv", FULL)), root=str(tmp_path / "nowhere"))
    binary = tmp_path / "t.xlsx"
    binary.write_bytes(b"PK\x03\x04\x81\x8d\xff" * 10)
    with pytest.raises(SeenetError, match="t.xlsx' is a zip archive or an Excel workbook"):
        read_table(str(binary))


def test_table_has_five_split_schemes(config, tmp_path: Path):
    lines = [
        f"{speaker}/{emotion}{k}.wav,{emotion},{speaker},s{speaker % 3},{'test' if speaker > 8 else 'train'}"
        for speaker in range(10)
        for emotion in ("sad", "angry")
        for k in range(3)
    ]
    table = write(tmp_path / "t.csv", "\n".join(["path,emotion,speaker,session,split", *lines]))
    cfg = config("dataset=csv", f"dataset.table={table}", "classes=all")
    manifest, classes, indices = load_corpus(cfg)
    assert (classes, len(indices)) == (("sad", "angry"), 60)
    expected = {
        "speakers5": [12] * 5,
        "clips5": [12] * 5,
        "leave_one_speaker_out": [6] * 10,
        "leave_one_session_out": [24, 18, 18],
        "given": [6],
    }
    for name, node in cfg.dataset.schemes.items():
        folds = make_folds(manifest, indices, instantiate_checked(node, name), Paper())
        assert [len(fold.test) for fold in folds] == expected.pop(name)
    assert not expected


def test_large_table_needs_no_access_to_audio_files(tmp_path: Path):
    """Nothing is asked of the disk."""
    lines = "\n".join(f"a/{k}.wav,{('ang', 'hap', 'neu', 'sad')[k % 4]},s{k % 50}" for k in range(100_000))
    table = write(tmp_path / "t.csv", f"path,emotion,speaker\n{lines}\n")
    manifest = read_table(str(table))
    assert manifest.counts() == dict.fromkeys(("happy", "neutral", "sad", "angry"), 25_000)


def test_folder_reads_folders_named_after_emotions(config, tmp_path: Path):
    touch(tmp_path, "Anger/anna_1.wav", "Anger/ben_1.MP3", "happy/deep/er/anna_2.flac", "sad/ben 2.opus")
    touch(tmp_path, "sad/notes.txt", "sad/._ben 2.wav", "loose.wav")
    cfg = config("dataset=folder", f"dataset.root={tmp_path}", 'dataset.speaker="([^/]+)[_ ]\\d+\\."')
    manifest = built(cfg)
    assert [(row.utterance, row.emotion, row.speaker) for row in manifest] == [
        ("Anger/anna_1", "angry", "anna"),
        ("Anger/ben_1", "angry", "ben"),
        ("happy/deep/er/anna_2", "happy", "anna"),
        ("sad/ben 2", "sad", "ben"),
    ]
    assert manifest.unlabelled == ("loose.wav",)
    scheme = instantiate_checked(cfg.dataset.schemes.leave_one_speaker_out, "scheme")
    assert [len(fold.test) for fold in make_folds(manifest, np.arange(4), scheme, Paper())] == [2, 2]
    assert set(folder.read(str(tmp_path)).column("speaker")) == {""}


@pytest.mark.parametrize("layout", ["{split}/{emotion}/{k}.wav", "{emotion}/{split}/{k}.wav"])
def test_folder_reads_folders_named_after_splits(config, tmp_path: Path, layout: str):
    for split, emotion, k in [("train", "sad", 1), ("train", "angry", 2), ("val", "sad", 3), ("Test", "angry", 4)]:
        touch(tmp_path, layout.format(split=split, emotion=emotion, k=k))
    cfg = config("dataset=folder", f"dataset.root={tmp_path}")
    manifest = built(cfg)
    assert {Path(row.path).stem: row.split for row in manifest} == {"1": "train", "2": "train", "3": "dev", "4": "test"}
    (fold,) = make_folds(manifest, np.arange(4), instantiate_checked(cfg.dataset.schemes.given, "scheme"), Strict())
    assert (len(fold.train), len(fold.dev), len(fold.test)) == (2, 1, 1)


def test_folder_reads_speakers_above_or_below_the_emotion(tmp_path: Path):
    touch(tmp_path, "anna/angry/1.wav", "sad/ben/1.wav")
    manifest = folder.read(str(tmp_path), speaker=r"^(anna)/|/(ben)/")
    assert [(row.emotion, row.speaker) for row in manifest] == [("angry", "anna"), ("sad", "ben")]


def test_folder_rejects_unknown_labels(config, tmp_path: Path):
    touch(tmp_path, "angry/1.wav", "background/2.wav", "rage/3.wav")
    with pytest.raises(SeenetError, match=r"'background' \(1\), 'rage' \(1\)"):
        folder.read(str(tmp_path))
    overrides = ["dataset=folder", f"dataset.root={tmp_path}", "dataset.labels={background: null, rage: angry}"]
    manifest = built(config(*overrides))
    assert [(row.path, row.emotion) for row in manifest] == [("angry/1.wav", "angry"), ("rage/3.wav", "angry")]
    assert manifest.unlabelled == (), "left out on purpose"


def test_folder_rejects_two_emotions_and_reads_accents(tmp_path: Path):
    touch(tmp_path, unicodedata.normalize("NFD", "Ärger/é.wav"), "sad/Sad/1.wav")
    manifest = folder.read(str(tmp_path))
    assert [(row.utterance, row.emotion) for row in manifest] == [("sad/Sad/1", "sad"), ("Ärger/é", "angry")]
    touch(tmp_path, "angry/Cal/1.wav")
    with pytest.raises(SeenetError, match="in folders of two emotions, cal and angry; rename one"):
        folder.read(str(tmp_path))


def test_folder_rejects_invalid_settings(config, tmp_path: Path):
    with pytest.raises(SeenetError, match="dataset=folder needs dataset.root=FOLDER"):
        built(config("dataset=folder"))
    with pytest.raises(SeenetError, match="dataset.root='.*nowhere' is not a folder"):
        folder.read(str(tmp_path / "nowhere"))
    with pytest.raises(SeenetError, match="no audio file in a folder of"):
        folder.read(str(tmp_path))
    touch(tmp_path, "1.wav")
    with pytest.raises(SeenetError, match="only 1 outside of any"):
        folder.read(str(tmp_path))
    touch(tmp_path, "sad/1.wav")
    for pattern, words in (("(", "is not a regular expression"), ("a+", "has no group"), ("(anna)", "matches no path")):
        with pytest.raises(SeenetError, match=words):
            folder.read(str(tmp_path), speaker=pattern)


def test_yaml_lists_every_field(config):
    assert tuple(sorted(config("dataset=csv").dataset.columns)) == tuple(sorted(FIELDS))


ROWS = [("d/a.wav", "happy", "s1", "one"), ("d/b.wav", "sad", "s2", "two"), ("d/c.wav", "sad", "s1", "three")]


def delimited(rows: list[tuple[str, ...]], mark: str = ",", end: str = "\n") -> str:
    return "".join(mark.join(row) + end for row in [("path", "emotion", "speaker", "text"), *rows])


@pytest.mark.parametrize("row", [1, 2, 3])
@pytest.mark.parametrize("text", ["well, yes", ""])
def test_table_rejects_rows_of_the_wrong_length(tmp_path: Path, row: int, text: str):
    """pandas makes an index of the first column where the first row is too long."""
    lines = delimited(ROWS).splitlines()
    lines[row] = ",".join([*ROWS[row - 1][:3], text]) if text else ",".join(ROWS[row - 1][:3])
    table = write(tmp_path / "t.csv", "\n".join(lines))
    with pytest.raises(SeenetError, match=f"line {row + 1} has {5 if text else 3} cells, the header has 4"):
        read_table(str(table))


def test_table_line_numbers_count_lines_of_quoted_cells(tmp_path: Path):
    rows = [(*ROWS[0][:3], '"two\nlines"'), ROWS[1]]
    table = write(tmp_path / "t.csv", delimited(rows) + "d/x.wav,sad\n")
    with pytest.raises(SeenetError, match="line 5 has 2 cells"):
        read_table(str(table))
    assert read_table(str(write(table, delimited(rows))))[0].text == "two\nlines"


@pytest.mark.parametrize("mark", ["\t", ","])
def test_table_loses_no_row_to_unmatched_quotes(tmp_path: Path, mark: str):
    """Annotation tools write tabs without quoting; elsewhere a lone quote cannot be understood."""
    rows = [(*row[:3], '"oh') for row in ROWS]
    table = write(tmp_path / "t.txt", delimited(rows, mark))
    if mark == "\t":
        assert [row.text for row in read_table(str(table))] == ['"oh'] * 3
    else:
        with pytest.raises(SeenetError, match="an unmatched quote .* in line 2"):
            read_table(str(table))
    rows = [(*ROWS[0][:3], '"oh'), ROWS[1], (*ROWS[2][:3], 'oh"')]  # two quotes that match, with a row between them
    write(table, delimited(rows, mark))
    if mark == "\t":
        assert len(read_table(str(table))) == 3
    else:
        with pytest.raises(SeenetError, match="a quote that spans several rows in line 2"):
            read_table(str(table))


@pytest.mark.parametrize("suffix", [".wav", ""])
@pytest.mark.parametrize("mark", [",", ";", "|", "\t"])
@pytest.mark.parametrize("between", [0, 1, 2])
def test_table_rejects_quotes_that_span_rows(tmp_path: Path, suffix: str, mark: str, between: int):
    """The text stands in the middle, so the cells of two rows add up to those of one."""
    rows = [("path", "text", "emotion", "speaker"), ("a", '"oh', "happy", "s1")]
    rows += [(f"m{k}", "hm", "sad", "s3") for k in range(between)] + [("b", 'oh"', "sad", "s2")]
    lines = [mark.join((f"{row[0]}{suffix}" if k else row[0], *row[1:])) for k, row in enumerate(rows)]
    table = write(tmp_path / "t.csv", "\n".join(lines))
    if mark == "\t":
        assert [(row.emotion, row.speaker) for row in read_table(str(table))] == [row[2:] for row in rows[1:]]
    else:
        with pytest.raises(SeenetError, match="a quote that spans several rows in line 2"):
            read_table(str(table))


def test_table_reads_quoted_text_of_several_lines(tmp_path: Path):
    text = 'path,text,emotion\na.wav,"well, yes\nno, never",happy\nb.wav,"see\nit",sad\n'
    assert [row.emotion for row in read_table(str(write(tmp_path / "t.csv", text)))] == ["happy", "sad"]


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n', "\ufeffsep=;\n"])
def test_table_reads_a_declared_delimiter(tmp_path: Path, first: str):
    table = write(tmp_path / "t.csv", first + delimited(ROWS, ";", "\r\n"))
    assert len(read_table(str(table))) == 3
    write(table, first + delimited(ROWS, ";") + "d/x.wav\n")
    with pytest.raises(SeenetError, match="line 6 has 1 cells"):
        read_table(str(table))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_table_reads_all_line_ends_and_skips_empty_rows(tmp_path: Path, end: str):
    text = delimited(ROWS, end=end + end) + ",,," + end + end
    assert len(read_table(str(write(tmp_path / "t.csv", text)))) == 3


@pytest.mark.parametrize("encoding", ["gb18030", "big5", "shift_jis", "cp1252", "cp1251", "mac_roman"])
def test_table_in_a_legacy_encoding_needs_existing_paths(tmp_path: Path, encoding: str):
    names = {"cp1252": "créée", "mac_roman": "créée", "cp1251": "Аня"}
    name = names.get(encoding, "語音")
    rows = [(f"d/{name}{k}.wav", "sad", name, "x") for k in range(3)]
    table = write(tmp_path / "t.csv", delimited(rows), encoding)
    with pytest.raises(SeenetError, match=r"the encoding of .* is uncertain.*dataset\.encoding=NAME"):
        read_table(str(table))
    assert read_table(str(table), encoding=encoding)[0].speaker == name
    touch(tmp_path, *(row[0] for row in rows))
    assert [row.speaker for row in read_table(str(table))] == [name] * 3


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("Kovač", "cp1250"), ("Groß", "mac_roman"), ("Jörg", "cp850"), ("靜", "big5"), ("本", "shift_jis")],
)
def test_table_does_not_read_other_encodings_as_windows_1252(tmp_path: Path, name: str, encoding: str):
    table = write(tmp_path / "t.csv", delimited([("a.wav", "sad", name, "x")]), encoding)
    with pytest.raises(SeenetError, match="is uncertain"):
        read_table(str(table))
    assert read_table(str(table), encoding=encoding)[0].speaker == name


def test_table_is_uncertain_when_encodings_agree_on_paths_only(tmp_path: Path):
    touch(tmp_path, "é.wav")
    table = write(tmp_path / "t.csv", delimited([("é.wav", "sad", "Kovač", "x")]), "cp1250")
    with pytest.raises(SeenetError, match="is uncertain"):
        read_table(str(table))


def test_table_announces_windows_1252(tmp_path: Path, capsys):
    table = write(tmp_path / "t.csv", delimited([("a.wav", "sad", "Jürgen", "x")]), "cp1252")
    assert read_table(str(table))[0].speaker == "Jürgen"
    assert "is read as cp1252; for another encoding set dataset.encoding=NAME" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["x", "inf", '"0,5"'])
def test_table_names_the_line_of_an_invalid_number(tmp_path: Path, value: str):
    table = write(tmp_path / "t.csv", f"path,emotion,start\na.wav,sad,0.5\n\nb.wav,sad,{value}\n")
    with pytest.raises(SeenetError, match="line 4: .* in the column of start is not a number"):
        read_table(str(table))


@pytest.mark.parametrize("row", [b"a.wav,sad\0\n", b"a.wav,sad\n" * 40 + b"b.wav,sad\0\n"])
def test_table_names_the_line_of_a_nul_byte(tmp_path: Path, row: bytes):
    (tmp_path / "t.csv").write_bytes(b"path,emotion\n" + row)
    with pytest.raises(SeenetError, match=f"line {1 + row.count(b'.wav')} contains a NUL byte"):
        read_table(str(tmp_path / "t.csv"))


def test_table_rejects_wrong_declared_encodings(tmp_path: Path):
    table = write(tmp_path / "t.csv", delimited([("é.wav", "sad", "a", "b")]))
    with pytest.raises(SeenetError, match="dataset.encoding=utf-9: unknown encoding"):
        read_table(str(table), encoding="utf-9")
    with pytest.raises(SeenetError, match="dataset.encoding=ascii: '.*' has another encoding"):
        read_table(str(table), encoding="ascii")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32"])
def test_table_reads_unicode_without_a_byte_order_mark(tmp_path: Path, encoding: str):
    assert len(read_table(str(write(tmp_path / "t.csv", delimited(ROWS), encoding)))) == 3


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


def test_table_rejects_nul_bytes_and_repeated_columns(tmp_path: Path):
    text = "".join(f"d/{k}.wav,sad,s{k},x\n" for k in range(20))
    table = write(tmp_path / "t.csv", delimited([]) + text + "d/x.wav,sad,a\0b,x\n")
    with pytest.raises(SeenetError, match="line 22 contains a NUL byte"):
        read_table(str(table))
    write(table, "path,emotion,emotion\na.wav,sad,happy\n")
    with pytest.raises(SeenetError, match="has 2 columns 'emotion'; rename one"):
        read_table(str(table))
    write(table, "path,emotion,note,note\na.wav,sad,1,2\n")
    assert len(read_table(str(table))) == 1, "columns that nobody asked for may be called the same"


def test_table_names_clips_by_suffix_when_only_it_differs(tmp_path: Path):
    table = write(tmp_path / "t.csv", "path,emotion\na.wav,sad\na.mp3,happy\nb.wav,sad\n")
    assert [row.utterance for row in read_table(str(table))] == ["a.wav", "a.mp3", "b"]


def test_table_names_both_lines_of_a_repeated_clip(tmp_path: Path):
    lines = [f"d/{k}.wav,sad,s1,x" for k in range(5000)]
    lines[4000] = lines[12]
    table = write(tmp_path / "t.csv", delimited([]) + "\n".join(lines))
    with pytest.raises(SeenetError, match="the utterance 'd/12' twice, in lines 14 and 4002"):
        read_table(str(table))


def test_messages_without_speakers_lead_to_valid_settings(config, tmp_path: Path):
    """Doing what each message says ends in folds."""
    table = write(
        tmp_path / "t.csv", "path,emotion\n" + "".join(f"{k}.wav,{('sad', 'happy')[k % 2]}\n" for k in range(20))
    )
    overrides = ["dataset=csv", f"dataset.table={table}"]
    for _ in range(2):
        cfg = config(*overrides)
        manifest, _, indices = load_corpus(cfg)
        try:
            folds = make_folds(manifest, indices, build_scheme(cfg), instantiate_checked(cfg.protocol, "protocol"))
            assert len(folds) == 5
            break
        except SeenetError as error:
            overrides += re.findall(r"dataset\.folds=\w+|protocol=paper", str(error))
    else:
        pytest.fail(f"no folds with {overrides}")


OWN = ("生气", "very happy", "سعيد")


def test_classes_accept_words_of_the_user(config, tmp_path: Path):
    lines = "".join(f"{k}.wav,{OWN[k % 3]},s{k % 4}\n" for k in range(12))
    table = write(tmp_path / "t.csv", f"path,emotion,speaker\n{lines}x.wav,sad,s1\n")
    overrides = ["dataset=csv", f"dataset.table={table}"]
    with pytest.raises(SeenetError, match=r"'very happy' \(4\), 'سعيد' \(4\), '生气' \(4\); make them classes"):
        load_corpus(config(*overrides))
    manifest, classes, rows = load_corpus(config(*overrides, 'classes=["生气","very happy","سعيد"]'))
    assert classes == OWN, "in the order that the user states"
    assert (manifest.counts()["sad"], len(rows)) == (1, 12)
    assert manifest.counts().keys() == {"sad", *OWN}
    with pytest.raises(SeenetError, match="class 'generous' has no clips in t, which contains sad 1"):
        load_corpus(config(*overrides, 'classes=["生气","very happy","سعيد",generous]'))


def test_classes_of_the_user_train_and_appear_in_the_report(seenet_train, seenet_report, tmp_path: Path):
    rate = 16000
    time = np.arange(rate // 2) / rate
    lines = []
    for k in range(18):
        soundfile.write(tmp_path / f"{k}.wav", 0.2 * np.sin(2 * np.pi * (110 + 20 * k) * time), rate)
        lines.append(f"{k}.wav,{OWN[k % 3]},s{k // 3}")
    write(tmp_path / "t.csv", "path,emotion,speaker\n" + "\n".join(lines))
    run = seenet_train(
        *("dataset=csv", f"dataset.table={tmp_path / 't.csv'}", 'classes=["生气","very happy","سعيد"]', "fold=0"),
        *("dataset.folds=leave_one_speaker_out", "trainer=cpu", "trainer.max_epochs=1", "data.batch_size=8"),
    )
    assert run.returncode == 0, run.stderr
    assert "生气 6, very happy 6, سعيد 6" in run.stdout
    (result,) = tmp_path.glob("outputs/*/fold0/clean/result.json")
    found = json.loads(result.read_text(encoding="utf-8"))
    assert found["classes"] == list(OWN)
    header = (result.parent / "predictions.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.endswith("p_生气,p_very happy,p_سعيد")
    report = seenet_report("outputs")
    assert report.returncode == 0, report.stderr
    assert "Glyph" not in report.stderr
    page = Path(tmp_path / "outputs/report/index.html").read_text(encoding="utf-8")
    assert all(word in page for word in OWN)


def test_figure_shows_code_points_when_no_font_has_a_letter(tmp_path: Path, monkeypatch, capsys):
    """Boxes would hide which class is which; an ASCII name of the code points stands in PNG and PDF."""
    manager = fonts.font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [font for font in manager.ttflist if font.name == fonts.DEFAULT])
    fonts._fonts_for.cache_clear()
    classes = ("生气", "难过", "calm")
    figure = Figure()
    axes, other = figure.subplots(1, 2)
    axes.barh(classes, [1, 2, 3])  # labels of categories
    other.set_yticks(range(3), classes)  # labels of positions
    axes.set_title("生")
    FigureCanvasAgg(figure)
    with warnings.catch_warnings(), fonts.drawable_text(figure) as undrawn:
        warnings.simplefilter("error")
        with fonts.spelled_out(figure, undrawn):
            figure.draw_without_rendering()
            for each in (axes, other):
                shown = [label.get_text() for label in each.get_yticklabels()]
                assert shown == ["U+751F U+6C14", "U+96BE U+8FC7", "calm"]
            assert axes.get_title() == "U+751F"
        assert [label.get_text() for label in axes.get_yticklabels()] == list(classes)
        assert axes.get_title() == "生"
    assert capsys.readouterr().out.count("no installed font draws") == 1
    fonts._fonts_for.cache_clear()
