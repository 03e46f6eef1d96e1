"""Parser for tables: columns, labels, paths, split schemes and messages."""

import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.folds import make_folds
from seenet.corpora.loading import DATASET_SETTINGS, build_scheme, load_corpus
from seenet.corpora.manifest import Manifest
from seenet.corpora.parsers._spellings import SPELLINGS, normalize
from seenet.corpora.parsers.table import FIELDS
from seenet.corpora.parsers.table import read as read_table
from seenet.corpora.protocols import Paper
from seenet.corpora.vocabulary import EMOTIONS, NO_AGREEMENT
from support.corpus_files import format_table, touch_files, write_text


def instantiate_dataset(cfg) -> Manifest:
    return instantiate_checked(cfg.dataset, "dataset", skip=DATASET_SETTINGS)


FULL = (
    "utterance,path,emotion,speaker,gender,session,language,text,split,valence,arousal,dominance,more\n"
    'u1,a/1.wav,Happiness,anna,F,s1,de,"Guten Tag, du",Training,4.5,3,,x\n'
    "u2,a/2.wav, ANG ,ben,male,s2,en,,valid,,NA,1,x\n"
    "u3,b/3.flac,pleasant_surprise,ben,?,s2,en,hi,test,1,1,1,x\n"
)


def test_table_reads_every_column(config, tmp_path: Path):
    table = write_text(tmp_path / "lists" / "mine.csv", FULL)
    manifest = instantiate_dataset(config("dataset=csv", f"dataset.table={table}", f"dataset.root={tmp_path}"))
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
    table = write_text(tmp_path / "t.csv", "emotion,path\nsad,deep/er/x.y.wav\nneu,C.WAV\n")
    manifest = read_table(str(table))
    assert [(row.utterance, row.path) for row in manifest] == [("deep/er/x.y", "deep/er/x.y.wav"), ("C", "C.WAV")]
    assert manifest.root == tmp_path
    assert manifest.column("speaker").tolist() == ["", ""]


def test_table_reads_decimal_commas_when_the_delimiter_is_another(tmp_path: Path):
    table = write_text(tmp_path / "t.csv", "path;emotion;valence\na.wav;sad;2,5\nb.wav;sad;\n")
    assert read_table(str(table)).column("valence")[0] == 2.5
    write_text(table, "path;emotion;valence\na.wav;sad;low\n")
    with pytest.raises(SeenetError, match="'low' in the column of valence is not a number"):
        read_table(str(table))


def test_table_reads_columns_with_other_names(config, tmp_path: Path):
    table = write_text(tmp_path / "t.csv", "Datei,Gefühl,speaker\na.wav,Wut,anna\n")
    overrides = ["dataset=csv", f"dataset.table={table}", "dataset.columns.path=Datei"]
    manifest = instantiate_dataset(config(*overrides, 'dataset.columns.emotion="Gefühl"'))
    assert (manifest[0].path, manifest[0].emotion, manifest[0].speaker) == ("a.wav", "angry", "anna")
    with pytest.raises(SeenetError, match=r"no column 'emotion', only Datei, Gefühl, speaker; .*columns.emotion=NAME"):
        instantiate_dataset(config(*overrides))
    with pytest.raises(SeenetError, match="no column 'sprecher'"):
        instantiate_dataset(config(*overrides, 'dataset.columns.emotion="Gefühl"', "dataset.columns.speaker=sprecher"))
    ignored = read_table(str(table), columns={"path": "Datei", "emotion": "Gefühl", "speaker": None})
    assert ignored[0].speaker == ""
    with pytest.raises(SeenetError, match="dataset.columns.age: unknown field; expected one of utterance, path"):
        read_table(str(table), columns={"age": "Alter"})


def test_table_translates_labels_of_the_user(config, tmp_path: Path):
    table = write_text(tmp_path / "t.csv", "path,emotion\na.wav,W\nb.wav,sad\nc.wav,Lachen\nd.wav,sad\n")
    with pytest.raises(SeenetError, match=r"'Lachen' \(1\), 'W' \(1\); .*=\[…,Lachen,W\]'.*labels={Lachen: angry}'"):
        read_table(str(table))
    wanted = "dataset.labels={W: angry, Lachen: null, sad: bored}"
    manifest = instantiate_dataset(config("dataset=csv", f"dataset.table={table}", wanted))
    assert [(row.path, row.emotion) for row in manifest] == [
        ("a.wav", "angry"),
        ("b.wav", "bored"),
        ("d.wav", "bored"),
    ], "meanings of the user override the spellings, and null excludes clips"
    own = read_table(str(table), labels={"W": "fury", "Lachen": "Freude"})
    assert [row.emotion for row in own] == ["fury", "sad", "happy", "sad"], "another word, or a known spelling"
    with pytest.raises(SeenetError, match="dataset.labels: 'W' has an empty meaning"):
        read_table(str(table), labels={"W": " "})
    write_text(table, "path,emotion\na.wav,Überdruss\n")
    with pytest.raises(SeenetError, match="labels: {Überdruss: angry} in a dataset's YAML"):
        read_table(str(table))
    write_text(table, "path,emotion\na.wav,1\n")
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
    manifest = read_table(str(write_text(tmp_path / "t.csv", text)))
    assert [row.utterance for row in manifest] == ["long-0-1.5", "long-1.5-3"]
    assert [(row.emotion, row.speaker, row.start, row.end) for row in manifest] == [
        ("sad", "s1", 0.0, 1.5),
        ("happy", "s1", 1.5, 3.0),
    ]


def test_table_lists_rows_without_a_label(tmp_path: Path):
    table = write_text(tmp_path / "t.csv", "path,emotion\na.wav,sad\n,\nb.wav,\n\n")
    manifest = read_table(str(table))
    assert (len(manifest), manifest.unlabelled) == (1, ("b.wav",))


def test_table_finds_files_in_another_unicode_form(tmp_path: Path):
    """macOS writes é as e and an accent; most tables contain one character."""
    name = "é/ü 1.wav"
    composed, decomposed = unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)
    touch_files(tmp_path, decomposed)
    table = write_text(tmp_path / "t.csv", f"path,emotion\n{composed},sad\né/none.wav,sad\nplain.wav,sad\n")
    manifest = read_table(str(table))
    assert [row.path for row in manifest] == [decomposed, "é/none.wav", "plain.wav"]
    assert manifest.audio_path(0).is_file()
    assert manifest[0].utterance == composed.removesuffix(".wav"), "a name is the same on every machine"


def test_table_reads_windows_paths(tmp_path: Path):
    table = write_text(tmp_path / "t.csv", "path,emotion\ndir\\a.wav,sad\n")
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
        read_table(str(write_text(tmp_path / "t.csv", text)))
    assert "\n" not in str(caught.value)


def test_table_rejects_missing_files_and_folders(config, tmp_path: Path):
    with pytest.raises(SeenetError, match="dataset=csv needs dataset.table=FILE"):
        instantiate_dataset(config("dataset=csv"))
    with pytest.raises(SeenetError, match="dataset.table='.*nothing.csv' cannot be read"):
        read_table(str(tmp_path / "nothing.csv"))
    with pytest.raises(SeenetError, match="dataset.root='.*nowhere' is not a folder"):
        read_table(str(write_text(tmp_path / "t.csv", FULL)), root=str(tmp_path / "nowhere"))
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
    table = write_text(tmp_path / "t.csv", "\n".join(["path,emotion,speaker,session,split", *lines]))
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
    """The parser accesses no audio file."""
    lines = "\n".join(f"a/{k}.wav,{('ang', 'hap', 'neu', 'sad')[k % 4]},s{k % 50}" for k in range(100_000))
    table = write_text(tmp_path / "t.csv", f"path,emotion,speaker\n{lines}\n")
    manifest = read_table(str(table))
    assert manifest.counts() == dict.fromkeys(("happy", "neutral", "sad", "angry"), 25_000)


def test_yaml_lists_every_field(config):
    assert tuple(sorted(config("dataset=csv").dataset.columns)) == tuple(sorted(FIELDS))


def test_table_rejects_nul_bytes_and_repeated_columns(tmp_path: Path):
    text = "".join(f"d/{k}.wav,sad,s{k},x\n" for k in range(20))
    table = write_text(tmp_path / "t.csv", format_table([]) + text + "d/x.wav,sad,a\0b,x\n")
    with pytest.raises(SeenetError, match="line 22 contains a NUL byte"):
        read_table(str(table))
    write_text(table, "path,emotion,emotion\na.wav,sad,happy\n")
    with pytest.raises(SeenetError, match="has 2 columns 'emotion'; rename one"):
        read_table(str(table))
    write_text(table, "path,emotion,note,note\na.wav,sad,1,2\n")
    assert len(read_table(str(table))) == 1, "unused columns may have the same name"


def test_table_names_clips_by_suffix_when_only_it_differs(tmp_path: Path):
    table = write_text(tmp_path / "t.csv", "path,emotion\na.wav,sad\na.mp3,happy\nb.wav,sad\n")
    assert [row.utterance for row in read_table(str(table))] == ["a.wav", "a.mp3", "b"]


def test_table_names_both_lines_of_a_repeated_clip(tmp_path: Path):
    lines = [f"d/{k}.wav,sad,s1,x" for k in range(5000)]
    lines[4000] = lines[12]
    table = write_text(tmp_path / "t.csv", format_table([]) + "\n".join(lines))
    with pytest.raises(SeenetError, match="the utterance 'd/12' twice, in lines 14 and 4002"):
        read_table(str(table))


def test_messages_without_speakers_lead_to_valid_settings(config, tmp_path: Path):
    """Following the advice of each message leads to folds."""
    table = write_text(
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
    table = write_text(tmp_path / "t.csv", f"path,emotion,speaker\n{lines}x.wav,sad,s1\n")
    overrides = ["dataset=csv", f"dataset.table={table}"]
    with pytest.raises(SeenetError, match=r"'very happy' \(4\), 'سعيد' \(4\), '生气' \(4\); make them classes"):
        load_corpus(config(*overrides))
    manifest, classes, rows = load_corpus(config(*overrides, 'classes=["生气","very happy","سعيد"]'))
    assert classes == OWN, "in the order of the user's list"
    assert (manifest.counts()["sad"], len(rows)) == (1, 12)
    assert manifest.counts().keys() == {"sad", *OWN}
    with pytest.raises(SeenetError, match="class 'generous' has no clips in t, which contains sad 1"):
        load_corpus(config(*overrides, 'classes=["生气","very happy","سعيد",generous]'))
