"""MSP-IMPROV: a miniature with the published layout, names, label syntax and irregularities."""

import math
from pathlib import Path

import numpy as np
import pytest

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.folds import make_folds
from seenet.corpora.loading import load_corpus
from seenet.corpora.parsers.msp_improv import read
from seenet.corpora.protocols import Paper

# One clip with intended and judged anger; one with intended anger and judged happiness, a repeated rater and no means.
BLOCKS = """\
UTD-IMPROV-S01A-F01-S-FM01.avi; A; A:2.666667; V:2.333333; D:3.000000 ; N:3.500000;
Online23042014_32; Angry; Frustrated,Angry; A:3.000000; V:2.000000; D:3.000000; N:4.000000;
Online23042014_33; Angry; Angry; A:2.000000; V:3.000000; D:3.000000; N:3.000000;
Lab_4; Neutral; ; A:3.000000; V:2.000000; D:NaN; N:NaN;

UTD-IMPROV-S01A-M02-R-FM03.avi; H; A:NaN; V:NaN; D:NaN ; N:NaN;
Lab_1; Happy; Excited; A:NaN; V:NaN; D:NaN; N:NaN;
Lab_1; Happy; Excited; A:NaN; V:NaN; D:NaN; N:NaN;
Lab_2; Other; Other (bored; tired); A:1.000000; V:1.000000; D:1.000000; N:1.000000;

"""


def format_blocks(*names: str) -> str:
    """Return a summary line and one rater for each `LABEL NAME`."""
    pairs = [name.split() for name in names]
    return "".join(
        f"UTD-IMPROV-{name}.avi; {label}; A:2.000000; V:3.000000; D:4.000000 ; N:5.000000;\n"
        f"Lab_1; Sad; Sad; A:2.000000; V:3.000000; D:4.000000; N:5.000000;\n\n"
        for label, name in pairs
    )


REST = format_blocks(
    *("O S02S-F01-P-FM07", "X S03H-M01-T-MM02", "S S04N-F03-P-FF12", "N S05H-F04-R-MF01"),
    *("H S06A-M05-S-FM30", "N S20N-M06-P-FM02", "N S20N-M06-P-FM04"),
)


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "MSP-IMPROV"
    root.mkdir()
    (root / "Evalution.txt").write_text(BLOCKS + REST)
    touch(
        root,
        "session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.wav",
        "session1/S01A/S/._MSP-IMPROV-S01A-F01-S-FM01.wav",
        "session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.avi",
        "session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM99.wav",
        "backup/session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.wav",
        "tools/beep.wav",
    )
    return root


def test_read_fills_every_field(corpus: Path):
    first, second = list(read(str(corpus)))[:2]
    assert first.utterance == "MSP-IMPROV-S01A-F01-S-FM01"
    assert first.path == "session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.wav"
    assert (first.speaker, first.gender, first.session, first.language) == ("F01", "female", "1", "en")
    assert (first.emotion, first.votes) == ("angry", "neutral:1 angry:2")
    assert (first.arousal, first.valence, first.dominance) == (2.666667, 2.333333, 3.0)
    assert (second.speaker, second.gender, second.session) == ("M02", "male", "2")
    assert second.path == "session2/S01A/R/MSP-IMPROV-S01A-M02-R-FM03.wav", "missing: where it should be"
    assert all(map(math.isnan, (second.arousal, second.valence, second.dominance)))


def test_read_uses_the_label_and_one_vote_of_each_rater(corpus: Path):
    row = read(str(corpus))[1]
    assert "S01A" in row.utterance
    assert (row.emotion, row.votes) == ("happy", "happy:1 other:1")


def test_read_counts_labels_and_lists_unlabelled_files(corpus: Path):
    manifest = read(str(corpus))
    assert manifest.counts() == {"happy": 2, "neutral": 3, "sad": 1, "angry": 1, "other": 1, "no_agreement": 1}
    assert manifest.unlabelled == ("session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM99.wav",)


@pytest.mark.parametrize(
    ("scheme", "sizes"),
    [("leave_one_session_out", [3, 1, 1, 1, 1, 2]), ("leave_one_speaker_out", [2, 1, 1, 1, 1, 1, 2])],
)
def test_folds(corpus: Path, config, scheme: str, sizes: list[int]):
    manifest = read(str(corpus))
    node = config("dataset=msp_improv").dataset.schemes[scheme]
    folds = make_folds(manifest, np.arange(9), instantiate_checked(node, scheme), Paper())
    assert [len(fold.test) for fold in folds] == sizes


def test_default_has_four_classes(corpus: Path, config):
    _, classes, indices = load_corpus(config("dataset=msp_improv", f"dataset.root={corpus}"))
    assert classes == ("happy", "neutral", "sad", "angry")
    assert len(indices) == 7, "other and no_agreement are dropped"


def test_known_counts_add_up(config):
    known = config("dataset=msp_improv").dataset.known
    assert sum(known.emotions.values()) == known.clips == 8438
    assert sum(known.emotions[e] for e in ("happy", "neutral", "sad", "angry")) == 7798


@pytest.mark.parametrize("name", ["Evaluation.txt", "Evalution.txt"])
@pytest.mark.parametrize("place", ["", "labels/", "../"])
def test_read_finds_the_label_file_under_both_names(tmp_path: Path, name: str, place: str):
    root = tmp_path / "Audio"
    touch(root, "session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.wav")
    (root / place).mkdir(exist_ok=True)
    (root / place / name).write_text(BLOCKS)
    manifest = read(str(root))
    assert [manifest.audio_path(k).exists() for k in range(2)] == [True, False]


def test_read_finds_audio_in_a_subfolder(tmp_path: Path):
    (tmp_path / "Evaluation.txt").write_text(BLOCKS)
    touch(tmp_path, "Audio/session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.wav")
    assert read(str(tmp_path))[0].path == "Audio/session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.wav"


def test_read_rejects_a_folder_without_label_file(tmp_path: Path):
    root = tmp_path / "MSP-IMPROV"
    touch(root, "session1/S01A/S/MSP-IMPROV-S01A-F01-S-FM01.wav")
    with pytest.raises(SeenetError, match=r"no label file Evaluation.txt or Evalution.txt"):
        read(str(root))


def test_read_rejects_a_label_file_without_clips(tmp_path: Path):
    (tmp_path / "Evaluation.txt").write_text("\n")
    with pytest.raises(SeenetError, match="labels no clip"):
        read(str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (".avi; A;", ".avi; Z;", r"Evaluation.txt' line 1: unknown label 'Z'; expected one of A, H, S, N, O, X"),
        ("33; Angry;", "33; Furious;", r"line 3: unknown label 'Furious'"),
        ("V:2.333333", "V:high", r"line 1: expected a line .* of MSP-IMPROV"),
        ("UTD-IMPROV-S01A-M02", "UTD-IMPROV-S01A-M07", r"line 6: expected a line .* of MSP-IMPROV"),
    ],
)
def test_read_names_an_invalid_line(tmp_path: Path, old: str, new: str, words: str):
    assert old in BLOCKS
    (tmp_path / "Evaluation.txt").write_text(BLOCKS.replace(old, new, 1))
    with pytest.raises(SeenetError, match=words):
        read(str(tmp_path))


def test_read_rejects_a_rater_before_the_first_clip(tmp_path: Path):
    (tmp_path / "Evaluation.txt").write_text(BLOCKS.split("\n", 1)[1])
    with pytest.raises(SeenetError, match="line 1: expected a line"):
        read(str(tmp_path))
