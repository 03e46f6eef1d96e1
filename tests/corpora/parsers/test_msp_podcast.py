"""MSP-Podcast: a miniature with the published layout, names and columns, and a large table."""

import math
from pathlib import Path

import numpy as np
import pytest

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.folds import make_folds
from seenet.corpora.loading import load_corpus
from seenet.corpora.parsers.msp_podcast import read
from seenet.corpora.protocols import Strict

HEADER = "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n"
ROWS = """\
MSP-PODCAST_0001_0008.wav,N,2.2,4.0,2.6,30,Male,Test1
MSP-PODCAST_0001_0009.wav,A,3.777778,3.555556,NaN,39,Female,Train
MSP-PODCAST_0001_0011.wav,X,4.125,4.75,4.0,Unknown,Unknown,Development
MSP-PODCAST_0002_0001.wav,H,5.5,6.0,,39,Female,Train
MSP-PODCAST_0002_0002.wav,S,1.5,2.0,3.0,7,Male,Test2
MSP-PODCAST_0002_0003.wav,U,6.5,7.0,5.0,Unknown,,Train
MSP-PODCAST_0002_0004.wav,F,6.0,2.0,2.0,8,Male,Train
MSP-PODCAST_0002_0005.wav,D,4.0,2.0,5.0,8,Male,Train
MSP-PODCAST_0002_0006.wav,C,4.0,2.5,5.5,8,Male,Train
MSP-PODCAST_0002_0007.wav,O,4.0,4.0,4.0,9,Female,Development
MSP-PODCAST_0002_0008.wav,N,4.0,4.0,4.0,9,Female,Development
"""
DETAILED = """\
FileName,Workers,EmoClass_Major,EmoClass_Second,EmoAct,EmoVal,EmoDom
MSP-PODCAST_0001_0008.wav,WORKER00000001,Other-confused,"Concerned,Confused",3.0,3.0,4.0
MSP-PODCAST_0001_0008.wav,WORKER00000018,Neutral,Neutral,1.0,4.0,2.0
MSP-PODCAST_0001_0008.wav,WORKER00000021,Neutral,Neutral,3.0,4.0,2.0
MSP-PODCAST_0002_0003.wav,WORKER00000044,Surprise,"Neutral,Surprise",3.0,5.0,3.0
MSP-PODCAST_0002_0003.wav,WORKER00000045,Fear,Fear,3.0,5.0,3.0
MSP-PODCAST_9999_0001.wav,WORKER00000045,Contempt,Disgust,3.0,5.0,3.0
"""


def write_labels(root: Path, text: str, name: str = "Labels/labels_consensus.csv") -> Path:
    file = root / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "MSP-PODCAST-Publish-2.0"
    write_labels(root, HEADER + ROWS)
    write_labels(root, DETAILED, "Labels/labels_detailed.csv")
    (root / "Audios").mkdir()
    for name in ("0001_0008", "0001_0009", "0777_0001", "0555_0002"):
        (root / "Audios" / f"MSP-PODCAST_{name}.wav").touch()
    (root / "Audios" / "._MSP-PODCAST_0001_0008.wav").touch()
    (root / "Audios" / "readme.txt").touch()
    return root


def test_read_fills_every_field(corpus: Path):
    first, second, third = list(read(str(corpus)))[:3]
    assert first.utterance == "MSP-PODCAST_0001_0008"
    assert first.path == "Audios/MSP-PODCAST_0001_0008.wav"
    assert (first.emotion, first.speaker, first.gender, first.language) == ("neutral", "30", "male", "en")
    assert (first.arousal, first.valence, first.dominance) == (2.2, 4.0, 2.6)
    assert (second.emotion, second.gender, second.split) == ("angry", "female", "train")
    assert (second.arousal, second.valence) == (3.777778, 3.555556)
    assert math.isnan(second.dominance)
    assert (third.emotion, third.speaker, third.gender, third.split) == ("no_agreement", "", "", "dev")


def test_read_takes_votes_from_the_detailed_labels(corpus: Path):
    votes = [row.votes for row in read(str(corpus))]
    assert votes == ["neutral:2 other:1", "", "", "", "", "fearful:1 surprised:1", *[""] * 5]


def test_read_parses_votes_with_one_line_per_cell(corpus: Path):
    line = "MSP-PODCAST_0001_0009.wav,WORKER00000001; {}; Annoyed; A:3.000000; V:3.000000; D:4.000000;\n"
    text = "FileName,EmoDetail\n" + line.format("Angry") + line.format("Angry") + line.format("Other-fed up")
    write_labels(corpus, text, "Labels/labels_detailed.csv")
    assert read(str(corpus))[1].votes == "angry:2 other:1"


def test_read_counts_labels_and_lists_unlabelled_files(corpus: Path):
    manifest = read(str(corpus))
    every = ["happy", "sad", "angry", "disgust", "fearful", "surprised", "contempt", "other", "no_agreement"]
    assert manifest.counts() == {"happy": 1, "neutral": 2} | dict.fromkeys(every, 1)
    assert manifest.unlabelled == ("Audios/MSP-PODCAST_0555_0002.wav", "Audios/MSP-PODCAST_0777_0001.wav")


def test_official_folds(corpus: Path, config):
    cfg = config("dataset=msp_podcast", f"dataset.root={corpus}")
    manifest, classes, indices = load_corpus(cfg)
    assert classes == ("happy", "neutral", "sad", "angry")
    folds = make_folds(manifest, indices, instantiate_checked(cfg.dataset.schemes.official, "official"), Strict())
    assert [(list(f.train), list(f.dev), list(f.test)) for f in folds] == [([1, 3], [10], [0]), ([1, 3], [10], [4])]


def test_read_accepts_old_releases(tmp_path: Path):
    rows = ROWS.replace("Development", "Validation").replace("Test2", "Test").replace("Test1", "Test")
    write_labels(tmp_path, HEADER + rows, "Labels/labels_concensus.csv")
    manifest = read(str(tmp_path))
    assert sorted(set(manifest.column("split"))) == ["dev", "test", "train"]
    assert set(manifest.column("votes")) == {""}
    assert manifest.unlabelled == (), "no Audios folder"


def test_read_accepts_the_parent_folder(corpus: Path):
    assert read(str(corpus.parent)).root == corpus


def test_read_rejects_a_folder_without_label_file(tmp_path: Path):
    (tmp_path / "Audios").mkdir()
    with pytest.raises(SeenetError, match=r"no Labels/labels_consensus.csv"):
        read(str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "0009.wav,A,",
            "0009.wav,Z,",
            r"consensus.csv' line 3 \(EmoClass\): unknown label 'Z'; expected one of",
        ),
        ("Unknown,Unknown,", "Unknown,Robot,", r"line 4 \(Gender\): unknown label 'Robot'"),
        ("Test2", "Test9", r"line 6 \(Split_Set\): unknown label 'Test9'"),
        (",5.5,6.0,", ",high,6.0,", r"line 5: EmoAct is 'high'; expected a number"),
        ("SpkrID", "Speaker", r"lacks the column SpkrID"),
        ("39,Female,Train\n", "39,Female\n", r"line 3 \(Split_Set\): unknown label ''"),
    ],
)
def test_read_names_an_invalid_line(tmp_path: Path, old: str, new: str, words: str):
    assert old in HEADER + ROWS
    write_labels(tmp_path, (HEADER + ROWS).replace(old, new, 1))
    with pytest.raises(SeenetError, match=words):
        read(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (DETAILED.replace("Contempt", "Contemptuous"), r"labels_detailed.csv' line 7 \(EmoClass_Major\): unknown"),
        ("FileName,Vote\n", r"lacks the column EmoClass_Major or EmoDetail"),
        ("", r"is not a CSV file"),
    ],
)
def test_read_names_invalid_votes(corpus: Path, text: str, words: str):
    write_labels(corpus, text, "Labels/labels_detailed.csv")
    with pytest.raises(SeenetError, match=words):
        read(str(corpus))


def test_read_rejects_a_repeated_clip(corpus: Path):
    write_labels(corpus, HEADER + ROWS + ROWS)
    with pytest.raises(SeenetError, match="'MSP-PODCAST_0001_0008' twice"):
        read(str(corpus))


def test_read_rejects_an_empty_file(tmp_path: Path):
    write_labels(tmp_path, "")
    with pytest.raises(SeenetError, match="is not a CSV file"):
        read(str(tmp_path))


def test_read_rejects_a_header_without_rows(tmp_path: Path):
    write_labels(tmp_path, HEADER)
    with pytest.raises(SeenetError, match="empty"):
        read(str(tmp_path))


@pytest.mark.slow
def test_read_handles_the_size_of_release_2(tmp_path: Path):
    """264705 clips with five votes each; the row number determines every value."""
    count = 264705
    letters, words = "AHSNUFDCOX", ("Angry", "Happy", "Sad", "Neutral", "Other-tired")
    splits = ("Train", "Train", "Development", "Test1", "Test2")
    names = [f"MSP-PODCAST_{k // 100:04d}_{k % 100:04d}.wav" for k in range(count)]
    lines = (
        f"{name},{letters[k % 10]},{k % 7},{k % 5}.5,{k % 3},{k % 999},Male,{splits[k % 5]}\n"
        for k, name in enumerate(names)
    )
    write_labels(tmp_path, HEADER + "".join(lines))
    voted = (f"{name},W{r},{words[k % 5 if r < 3 else r]}\n" for k, name in enumerate(names) for r in range(5))
    write_labels(tmp_path, "FileName,Workers,EmoClass_Major\n" + "".join(voted), "Labels/labels_detailed.csv")
    manifest = read(str(tmp_path))
    assert len(manifest) == count
    assert manifest.counts()["angry"] == 26471
    assert len(np.unique(manifest.column("speaker"))) == 999
    row = manifest[264703]
    assert (row.utterance, row.emotion, row.speaker, row.split) == ("MSP-PODCAST_2647_0003", "neutral", "967", "test1")
    assert (row.arousal, row.valence, row.dominance) == (264703 % 7, 3.5, 264703 % 3)
    assert row.votes == "neutral:4 other:1"
    assert manifest[1].votes == "happy:3 neutral:1 other:1"
