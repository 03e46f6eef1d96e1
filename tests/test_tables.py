"""Any corpus from a table or from folders: columns, delimiters, encodings, spellings, and what is said of mistakes."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from seenet.build import build
from seenet.corpora import csv, folder
from seenet.corpora.spellings import SPELLINGS, plain
from seenet.corpus import DATASET_SETTINGS, load_corpus
from seenet.emotions import LABELS
from seenet.errors import SeenetError
from seenet.folds import Paper, Strict, make_folds
from seenet.manifest import Manifest


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def touch(root: Path, *names: str) -> Path:
    for name in names:
        write(root / name, "")
    return root


def built(cfg) -> Manifest:
    return build(cfg.dataset, "dataset", skip=DATASET_SETTINGS)


FULL = (
    "utterance,path,emotion,speaker,gender,session,language,text,split,valence,arousal,dominance,more\n"
    'u1,a/1.wav,Happiness,anna,F,s1,de,"Guten Tag, du",Training,4.5,3,,x\n'
    "u2,a/2.wav, ANG ,ben,male,s2,en,,valid,,NA,1,x\n"
    "u3,b/3.flac,pleasant_surprise,ben,?,s2,en,hi,test,1,1,1,x\n"
)


def test_every_column_arrives(config, tmp_path: Path):
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


def test_path_and_emotion_are_enough(tmp_path: Path):
    table = write(tmp_path / "t.csv", "emotion,path\nsad,deep/er/x.y.wav\nneu,C.WAV\n")
    manifest = csv.read(str(table))
    assert [(row.utterance, row.path) for row in manifest] == [("deep/er/x.y", "deep/er/x.y.wav"), ("C", "C.WAV")]
    assert manifest.root == tmp_path
    assert manifest.column("speaker").tolist() == ["", ""]


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_delimiters_and_encodings(tmp_path: Path, mark: str, encoding: str):
    lines = [["path", "emotion", "text"], ["Größe 1/ä ö.wav", "Ärger", "schön"], ["b.wav", "Überraschung", ""]]
    table = write(tmp_path / "t.txt", "\r\n".join(mark.join(line) for line in lines), encoding)
    manifest = csv.read(str(table), delimiter="|" if mark == "|" else None)
    assert [row.emotion for row in manifest] == ["angry", "surprised"]
    assert (manifest[0].path, manifest[0].text) == ("Größe 1/ä ö.wav", "schön")


def test_decimal_commas_where_the_comma_does_not_delimit(tmp_path: Path):
    table = write(tmp_path / "t.csv", "path;emotion;valence\na.wav;sad;2,5\nb.wav;sad;\n")
    assert csv.read(str(table)).column("valence")[0] == 2.5
    write(table, "path;emotion;valence\na.wav;sad;low\n")
    with pytest.raises(SeenetError, match="'low' in the column of valence is no number"):
        csv.read(str(table))


def test_columns_by_other_names(config, tmp_path: Path):
    table = write(tmp_path / "t.csv", "Datei,Gefühl,speaker\na.wav,Wut,anna\n")
    overrides = ["dataset=csv", f"dataset.table={table}", "dataset.columns.path=Datei"]
    manifest = built(config(*overrides, 'dataset.columns.emotion="Gefühl"'))
    assert (manifest[0].path, manifest[0].emotion, manifest[0].speaker) == ("a.wav", "angry", "anna")
    with pytest.raises(SeenetError, match=r"no column 'emotion', but Datei, Gefühl, speaker; .*columns.emotion=NAME"):
        built(config(*overrides))
    with pytest.raises(SeenetError, match="no column 'sprecher'"):
        built(config(*overrides, 'dataset.columns.emotion="Gefühl"', "dataset.columns.speaker=sprecher"))
    ignored = csv.read(str(table), columns={"path": "Datei", "emotion": "Gefühl", "speaker": None})
    assert ignored[0].speaker == ""
    with pytest.raises(SeenetError, match="dataset.columns.age: there is no such field; expected utterance, path"):
        csv.read(str(table), columns={"age": "Alter"})


def test_labels_of_ones_own(config, tmp_path: Path):
    table = write(tmp_path / "t.csv", "path,emotion\na.wav,W\nb.wav,sad\nc.wav,Lachen\nd.wav,sad\n")
    with pytest.raises(SeenetError, match=r"unknown meaning: 'Lachen', 'W'; .*'dataset.labels={Lachen: angry}'"):
        csv.read(str(table))
    wanted = "dataset.labels={W: angry, Lachen: null, sad: bored}"
    manifest = built(config("dataset=csv", f"dataset.table={table}", wanted))
    assert [(row.path, row.emotion) for row in manifest] == [
        ("a.wav", "angry"),
        ("b.wav", "bored"),
        ("d.wav", "bored"),
    ], "what a user says goes before the table, and null leaves out"
    with pytest.raises(SeenetError, match="dataset.labels: 'W' as 'fury'; expected null or one of happy"):
        csv.read(str(table), labels={"W": "fury"})
    write(table, "path,emotion\na.wav,Überdruss\n")
    with pytest.raises(SeenetError, match="labels: {Überdruss: angry} in a dataset's YAML"):
        csv.read(str(table))
    write(table, "path,emotion\na.wav,1\n")
    assert csv.read(str(table), labels={1: "angry"})[0].emotion == "angry", "YAML reads 1 as a number"


def test_spellings_lead_to_the_vocabulary():
    assert set(SPELLINGS.values()) == set(LABELS)
    assert all(plain(spelling) == spelling for spelling in SPELLINGS)
    assert [SPELLINGS[plain(s)] for s in ("Pleasant-Surprise", " No_Agreement", "BOREDOM", "xxx")] == [
        "surprised",
        "no_agreement",
        "bored",
        "no_agreement",
    ]


def test_clips_of_one_file_and_trailing_delimiters(tmp_path: Path):
    text = "path,emotion,speaker,start,end\nlong.wav,sad,s1,0,1.5,\nlong.wav,happy,s1,1.5,3,\n"
    manifest = csv.read(str(write(tmp_path / "t.csv", text)))
    assert [row.utterance for row in manifest] == ["long-0-1.5", "long-1.5-3"]
    assert [(row.emotion, row.speaker, row.start, row.end) for row in manifest] == [
        ("sad", "s1", 0.0, 1.5),
        ("happy", "s1", 1.5, 3.0),
    ]


def test_rows_without_a_label_are_told(tmp_path: Path):
    table = write(tmp_path / "t.csv", "path,emotion\na.wav,sad\n,\nb.wav,\n\n")
    manifest = csv.read(str(table))
    assert (len(manifest), manifest.unlabelled) == (1, ("b.wav",))


def test_a_composed_path_finds_a_decomposed_file(tmp_path: Path):
    """macOS copies have é as e and an accent; tables mostly have it as one character."""
    name = "é/ü 1.wav"
    composed, decomposed = unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)
    touch(tmp_path, decomposed)
    table = write(tmp_path / "t.csv", f"path,emotion\n{composed},sad\né/none.wav,sad\nplain.wav,sad\n")
    manifest = csv.read(str(table))
    assert [row.path for row in manifest] == [decomposed, "é/none.wav", "plain.wav"]
    assert manifest.audio_path(0).is_file()
    assert manifest[0].utterance == composed.removesuffix(".wav"), "a name is the same on every machine"


def test_windows_paths(tmp_path: Path):
    table = write(tmp_path / "t.csv", "path,emotion\ndir\\a.wav,sad\n")
    assert csv.read(str(table))[0].path == "dir/a.wav"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,emotion\na.wav,sad\n,sad\n", "row 2 below the header has a label, and no path"),
        ("path,emotion\na.wav,sad\na.wav,sad\n", "holds the utterance 'a' twice"),
        ("path,emotion\n", "is empty"),
        ("", "cannot be read"),
        (
            "file,label\na.wav,sad\n",
            "no column 'path', but file, label; say which one it is: dataset.columns.path=NAME",
        ),
        ('path,emotion\n"a.wav,sad\n', "cannot be read"),
    ],
)
def test_mistakes_in_a_table(tmp_path: Path, text: str, words: str):
    with pytest.raises(SeenetError, match=words) as caught:
        csv.read(str(write(tmp_path / "t.csv", text)))
    assert "\n" not in str(caught.value)


def test_no_table(config, tmp_path: Path):
    with pytest.raises(SeenetError, match="dataset=csv needs dataset.table=FILE"):
        built(config("dataset=csv"))
    with pytest.raises(SeenetError, match="dataset.table='.*nothing.csv' cannot be read"):
        csv.read(str(tmp_path / "nothing.csv"))
    with pytest.raises(SeenetError, match="dataset.root='.*nowhere' is not a folder"):
        csv.read(str(write(tmp_path / "t.csv", FULL)), root=str(tmp_path / "nowhere"))
    binary = tmp_path / "t.xlsx"
    binary.write_bytes(b"PK\x03\x04\x81\x8d\xff" * 10)
    with pytest.raises(SeenetError, match="t.xlsx' cannot be read"):
        csv.read(str(binary))


def test_a_tables_schemes(config, tmp_path: Path):
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
        folds = make_folds(manifest, indices, build(node, name), Paper())
        assert [len(fold.test) for fold in folds] == expected.pop(name)
    assert not expected


def test_a_large_table_of_files_that_are_not_there(tmp_path: Path):
    """Nothing is asked of the disk."""
    lines = "\n".join(f"a/{k}.wav,{('ang', 'hap', 'neu', 'sad')[k % 4]},s{k % 50}" for k in range(100_000))
    table = write(tmp_path / "t.csv", f"path,emotion,speaker\n{lines}\n")
    manifest = csv.read(str(table))
    assert manifest.counts() == dict.fromkeys(("happy", "neutral", "sad", "angry"), 25_000)


def test_folders_named_after_emotions(config, tmp_path: Path):
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
    scheme = build(cfg.dataset.schemes.leave_one_speaker_out, "scheme")
    assert [len(fold.test) for fold in make_folds(manifest, np.arange(4), scheme, Paper())] == [2, 2]
    assert set(folder.read(str(tmp_path)).column("speaker")) == {""}


@pytest.mark.parametrize("layout", ["{split}/{emotion}/{k}.wav", "{emotion}/{split}/{k}.wav"])
def test_folders_named_after_splits(config, tmp_path: Path, layout: str):
    for split, emotion, k in [("train", "sad", 1), ("train", "angry", 2), ("val", "sad", 3), ("Test", "angry", 4)]:
        touch(tmp_path, layout.format(split=split, emotion=emotion, k=k))
    cfg = config("dataset=folder", f"dataset.root={tmp_path}")
    manifest = built(cfg)
    assert {Path(row.path).stem: row.split for row in manifest} == {"1": "train", "2": "train", "3": "dev", "4": "test"}
    (fold,) = make_folds(manifest, np.arange(4), build(cfg.dataset.schemes.given, "scheme"), Strict())
    assert (len(fold.train), len(fold.dev), len(fold.test)) == (2, 1, 1)


def test_folders_of_speakers_above_or_below(tmp_path: Path):
    touch(tmp_path, "anna/angry/1.wav", "sad/ben/1.wav")
    manifest = folder.read(str(tmp_path), speaker=r"^(anna)/|/(ben)/")
    assert [(row.emotion, row.speaker) for row in manifest] == [("angry", "anna"), ("sad", "ben")]


def test_a_folder_named_after_no_emotion(config, tmp_path: Path):
    touch(tmp_path, "angry/1.wav", "background/2.wav", "rage/3.wav")
    with pytest.raises(SeenetError, match="unknown meaning: 'background', 'rage'"):
        folder.read(str(tmp_path))
    overrides = ["dataset=folder", f"dataset.root={tmp_path}", "dataset.labels={background: null, rage: angry}"]
    manifest = built(config(*overrides))
    assert [(row.path, row.emotion) for row in manifest] == [("angry/1.wav", "angry"), ("rage/3.wav", "angry")]
    assert manifest.unlabelled == (), "left out on purpose"


def test_folders_that_are_ambiguous_or_spelled_with_accents(tmp_path: Path):
    touch(tmp_path, unicodedata.normalize("NFD", "Ärger/é.wav"), "sad/Sad/1.wav")
    manifest = folder.read(str(tmp_path))
    assert [(row.utterance, row.emotion) for row in manifest] == [("sad/Sad/1", "sad"), ("Ärger/é", "angry")]
    touch(tmp_path, "angry/Cal/1.wav")
    with pytest.raises(SeenetError, match="in folders of two emotions, cal and angry; rename one"):
        folder.read(str(tmp_path))


def test_mistakes_with_folders(config, tmp_path: Path):
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
    for pattern, words in (("(", "is no regular expression"), ("a+", "has no group"), ("(anna)", "finds nothing")):
        with pytest.raises(SeenetError, match=words):
            folder.read(str(tmp_path), speaker=pattern)


def test_the_yaml_lists_every_field(config):
    assert tuple(sorted(config("dataset=csv").dataset.columns)) == tuple(sorted(csv.FIELDS))
