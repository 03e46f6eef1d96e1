"""MELD: a miniature with the published layout, names, columns and irregularities."""

from pathlib import Path

import numpy as np
import pytest

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.folds import make_folds
from seenet.corpora.leak_audit import audit_leaks
from seenet.corpora.loading import load_corpus
from seenet.corpora.parsers.meld import read
from seenet.corpora.protocols import Strict
from seenet.corpora.waveform_store import open_store

HEADER = b"Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
TIMES = b'8,21,"00:16:16,059","00:16:21,731"\r\n'
# The published train file contains Windows-1252 quotes that were decoded as Latin-1; the dev file has correct ones.
# Some copies are saved as Windows-1252.
TRAIN = (
    b'1,"also I was the point person on my company\xc2\x92s transition\xc2\x85",Chandler,neutral,neutral,0,0,' + TIMES,
    b'2,"He answered ""fine"",\nand left.",The Interviewer,joy,positive,0,1,' + TIMES,
    b"3,Twice?,Ross,anger,negative,125,2," + TIMES,
    b"4,Ohh no-no-no,Ross,neutral,neutral,125,3," + TIMES,
)
DEV = (
    "1,It\u2019s from yore.,Rachel ,disgust,negative,0,0,".encode() + TIMES,
    b"2,Did they tell you anything?,Phoebe,neutral,neutral,110,7," + TIMES,
)
TEST = (
    b"1,Why do all you\x92re coffee mugs,Mark,surprise,positive,0,0," + TIMES,
    b"2,No.,Ross and Rachel,fear,negative,0,1," + TIMES,
    b"3,Go.,Chandler,sadness,negative,108,0," + TIMES,
)
FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}


def write_tables(root: Path, below: dict[str, str] | None = None, **changed: tuple[bytes, ...]) -> None:
    for split, rows in {"train": TRAIN, "dev": DEV, "test": TEST, **changed}.items():
        folder = root / (below or {}).get(split, "")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{split}_sent_emo.csv").write_bytes(HEADER + b"".join(rows))


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "MELD.Raw"
    write_tables(root)
    touch(root / "train_splits", "dia0_utt0.mp4", "dia0_utt0.wav", "dia0_utt1.mp4", "dia125_utt3.mp4")
    touch(root / "dev_splits_complete", "dia0_utt0.mp4", "dia66_utt9.mp4", "dia66_utt9.wav")
    test = root / "output_repeated_splits_test"
    touch(test, "dia0_utt0.wav", "._dia0_utt1.mp4", "dia108_utt0.mp4", "final_videos_testdia108_utt0.mp4")
    touch(root, "README.txt", "trailer.mp4")
    return root


def test_read_fills_every_field(corpus: Path):
    rows = {row.utterance: row for row in read(str(corpus))}
    row = rows["train_dia0_utt0"]
    assert (row.emotion, row.speaker, row.split, row.language, row.session) == (
        "neutral",
        "Chandler",
        "train",
        "en",
        "",
    )
    assert row.text == "also I was the point person on my company\u2019s transition\u2026"
    assert rows["train_dia0_utt1"].text == 'He answered "fine",\nand left.'
    assert (rows["dev_dia0_utt0"].speaker, rows["dev_dia0_utt0"].text) == ("Rachel", "It\u2019s from yore.")
    assert rows["test_dia0_utt0"].text == "Why do all you\u2019re coffee mugs"
    assert [row.emotion for row in rows.values()] == [
        *("neutral", "happy", "angry", "disgust", "surprised", "fearful", "sad")
    ]


def test_read_prefers_audio_to_video(corpus: Path):
    paths = [row.path for row in read(str(corpus))]
    assert paths == [
        "train_splits/dia0_utt0.wav",
        "train_splits/dia0_utt1.mp4",
        "train_splits/dia125_utt2.wav",  # a missing file has its expected path
        "dev_splits_complete/dia0_utt0.mp4",
        "output_repeated_splits_test/dia0_utt0.wav",
        "output_repeated_splits_test/dia0_utt1.wav",
        "output_repeated_splits_test/dia108_utt0.mp4",
    ]


def test_read_ignores_unavailable_and_repeated_clips(corpus: Path):
    manifest = read(str(corpus))
    assert not {"train_dia125_utt3", "dev_dia110_utt7"} & set(manifest.column("utterance"))
    assert manifest.unlabelled == ("dev_splits_complete/dia66_utt9.wav",)


def test_official_split_has_three_parts(corpus: Path, config):
    cfg = config("dataset=meld", f"dataset.root={corpus}")
    manifest, classes, indices = load_corpus(cfg)
    assert len(classes) == 7
    folds = make_folds(manifest, indices, instantiate_checked(cfg.dataset.schemes.official, "official"), Strict())
    assert [(list(f.train), list(f.dev), list(f.test)) for f in folds] == [([0, 1, 2], [3], [4, 5, 6])]


def test_audit_requires_allowing_shared_roles(corpus: Path, config):
    manifest = read(str(corpus))
    scheme = instantiate_checked(config("dataset=meld").dataset.schemes.official, "official")
    fold = make_folds(manifest, np.arange(7), scheme, Strict())[0]
    with pytest.raises(SeenetError, match=r"speaker 'Chandler'; .*protocol.allow_leaks=\[speaker\]"):
        audit_leaks(manifest, range(7), fold, Strict())
    found = audit_leaks(manifest, range(7), fold, Strict(allow_leaks=["speaker"]))
    assert (found["verdict"], found["speaker"]) == ("leaks allowed", 1)


def test_known_counts_add_up(config):
    known = config("dataset=meld").dataset.known
    assert sum(known.emotions.values()) == known.clips == 9989 + 1109 + 2610 - 2


def test_read_finds_tables_and_clips_in_subfolders(tmp_path: Path, write_tone):
    write_tables(tmp_path, {"train": "MELD.Raw/train", "dev": "MELD.Raw", "test": "MELD.Raw"}, train=TRAIN[:2])
    below = {"train": "MELD.Raw/train/train_splits", "dev": "MELD.Raw/dev_splits_complete"}
    below["test"] = "MELD.Raw/output_repeated_splits_test"
    clips = {"train": ("dia0_utt0", "dia0_utt1"), "dev": ("dia0_utt0",), "test": ("dia0_utt0", "dia108_utt0")}
    for k, (split, name) in enumerate((s, n) for s, names in clips.items() for n in names):
        write_tone(tmp_path / below[split] / f"{name}.wav", hertz=300 + 50 * k, seconds=0.2, rate=44100)
    manifest = read(str(tmp_path))
    assert manifest[0].path == "MELD.Raw/train/train_splits/dia0_utt0.wav"
    assert manifest[4].path == "MELD.Raw/output_repeated_splits_test/dia0_utt1.wav", "a missing file"
    assert open_store(manifest, 6.0).bad == {4: "No such file or directory"}
    write_tone(tmp_path / manifest[4].path)
    assert list(open_store(manifest, 6.0).lengths) == [3200] * 4 + [16000, 3200]


def test_read_uses_the_table_nearest_to_the_root(corpus: Path):
    (corpus / "old").mkdir()
    (corpus / "old" / "dev_sent_emo.csv").write_bytes(HEADER)
    assert len(read(str(corpus))) == 7


@pytest.mark.parametrize("split", FOLDERS)
def test_read_rejects_a_missing_table(corpus: Path, split: str):
    (corpus / f"{split}_sent_emo.csv").unlink()
    with pytest.raises(SeenetError, match=f"no {split}_sent_emo.csv in .*{FOLDERS[split]}"):
        read(str(corpus))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b",disgust,", b",disgusted,", r"dev_sent_emo.csv' line 2: unknown label 'disgusted'; expected one of joy"),
        (b",110,7,", b",110,,", r"line 3: dialogue '110' and utterance '' must be numbers"),
        (b",110,7," + TIMES, b"\n", r"line 3: dialogue '' and utterance '' must be numbers"),
    ],
)
def test_read_names_an_invalid_line(tmp_path: Path, old: bytes, new: bytes, words: str):
    rows = tuple(row.replace(old, new) for row in DEV)
    assert rows != DEV
    write_tables(tmp_path, dev=rows)
    with pytest.raises(SeenetError, match=words):
        read(str(tmp_path))


def test_read_rejects_a_table_without_its_columns(corpus: Path):
    (corpus / "dev_sent_emo.csv").write_text("Speaker,Utterance,Feeling\n")
    with pytest.raises(SeenetError, match="lacks the column Emotion"):
        read(str(corpus))
