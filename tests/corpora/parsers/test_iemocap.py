"""IEMOCAP: a miniature with the published layout, names, label syntax and irregularities."""

from pathlib import Path

import numpy as np
import pytest

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.folds import make_folds
from seenet.corpora.loading import load_corpus
from seenet.corpora.parsers.iemocap import read
from seenet.corpora.protocols import Paper
from seenet.corpora.votes import vote_distribution

HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
# The person with the markers speaks in the first turn, the partner in the second.
BLOCKS = """\
[6.2901 - 8.2357]	Ses01F_impro01_F000	neu	[2.5000, 2.0000, 3.5000]
C-E2:	Neutral;	()
C-E3:	Neutral state;	()
C-E4:	Neutral; Anger;	(curious)
C-F1:	Frustration;	()
A-E3:	val 3; act 2; dom  2;	()
A-E4:	val 2; act 3;	(mildly aggravated but staying polite, attitude)
A-F1:	val 3; act 2; dom  1;	()

[10.0100 - 11.3925]	Ses01F_impro01_M000	xxx	[2.0000, 3.0000, 3.0000]
C-E2:	Frustration;	()
C-E3:	Surprise; Excited; Fear;	()
C-E4:	Disgust;	()
C-E1:	Other;	(amused [laughing])
A-E3:	val 2; act 3; dom  3;	()

[14.8872 - 18.0175]	Ses01F_impro01_FXX1	exc	[4.0000, 4.0000, 3.0000]
C-E2:	Excited;	()
C-E3:	Happiness; Excited;	()
C-E4:	Sadness;	()

"""


def format_turns(session: int, *labels: str) -> str:
    """Return one turn of the male speaker per label."""
    return "".join(
        f"[{k}.0000 - {k}.9000]\tSes0{session}F_script01_1_M{k:03d}\t{label}\t[3.0000, 3.0000, 3.0000]\n"
        f"C-E2:\tNeutral;\t()\n\n"
        for k, label in enumerate(labels)
    )


def write_dialogue(root: Path, session: int, dialogue: str, blocks: str) -> Path:
    file = root / f"Session{session}" / "dialog" / "EmoEvaluation" / f"{dialogue}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(HEADER + blocks)
    return file


def touch(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """IEMOCAP_full_release with five sessions; the first has all irregularities."""
    root = tmp_path / "IEMOCAP_full_release"
    file = write_dialogue(root, 1, "Ses01F_impro01", BLOCKS)
    for session, labels in ((2, ("ang", "sad")), (3, ("hap", "fea", "sur")), (4, ("dis", "fru")), (5, ("oth", "neu"))):
        write_dialogue(root, session, f"Ses0{session}F_script01_1", format_turns(session, *labels))
    other_format = "Ses01F_impro01_F000 :Neutral state; ()\n"
    for below in ("Categorical", "Attribute", "Self-evaluation"):
        (file.parent / below).mkdir()
        (file.parent / below / "Ses01F_impro01_e2_cat.txt").write_text(other_format)
    (file.parent / "._Ses01F_impro01.txt").write_bytes(b"\x00apple")
    transcript = root / "Session1" / "dialog" / "transcriptions" / "Ses01F_impro01.txt"
    transcript.parent.mkdir()
    transcript.write_bytes(
        b"Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.\nM: [LAUGHTER]\n"
        b"Ses01F_impro01_M000 [010.0100-011.3925]: Let\x92s go [BREATHING] now.\n"
    )
    wav = "Session1/sentences/wav/Ses01F_impro01"
    touch(root, *(f"{wav}/Ses01F_impro01_{turn}.wav" for turn in ("F000", "M000", "M009")))
    touch(root, f"{wav}/._Ses01F_impro01_F000.wav", "Session1/dialog/wav/Ses01F_impro01.wav")
    return root


def test_read_fills_every_field(corpus: Path):
    manifest = read(str(corpus))
    first, second, third = list(manifest)[:3]
    assert first.path == "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    assert (first.emotion, first.votes) == ("neutral", "neutral:3 angry:1")
    assert (first.valence, first.arousal, first.dominance) == (2.5, 2.0, 3.5)
    assert (first.text, first.language, first.session) == ("Excuse me.", "en", "1")
    assert (second.emotion, second.text) == ("no_agreement", "Let\u2019s go [BREATHING] now.")
    assert second.votes == "disgust:1 fearful:1 surprised:1 excited:1 frustrated:1 other:1"
    assert (third.utterance, third.emotion, third.text) == ("Ses01F_impro01_FXX1", "excited", "")
    assert third.votes == "happy:1 sad:1 excited:2"
    assert vote_distribution(third.votes, ["happy", "sad", "excited"]) == [0.25, 0.25, 0.5]


def test_read_takes_the_speaker_from_the_last_part_of_the_name(corpus: Path):
    rows = {row.utterance: row for row in read(str(corpus))}
    assert (rows["Ses01F_impro01_F000"].speaker, rows["Ses01F_impro01_F000"].gender) == ("1F", "female")
    assert (rows["Ses01F_impro01_M000"].speaker, rows["Ses01F_impro01_M000"].gender) == ("1M", "male")
    assert rows["Ses05F_script01_1_M001"].speaker == "5M"


def test_read_counts_labels_and_lists_unlabelled_files(corpus: Path):
    manifest = read(str(corpus))
    assert len(manifest) == 12
    every = ["happy", "neutral", "sad", "angry", "disgust", "fearful", "surprised", "excited", "frustrated", "other"]
    assert manifest.counts() == {**dict.fromkeys(every, 1), "neutral": 2, "no_agreement": 1}
    assert manifest.unlabelled == ("Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M009.wav",)
    assert not manifest.audio_path(2).exists(), "a missing file has a row, and the store names it"


def test_default_merges_excited_into_happy(corpus: Path, config):
    cfg = config("dataset=iemocap", f"dataset.root={corpus}")
    manifest, classes, indices = load_corpus(cfg)
    assert classes == ("happy", "neutral", "sad", "angry")
    assert sorted(manifest.column("emotion")[indices]) == ["angry", "happy", "happy", "neutral", "neutral", "sad"]
    cfg = config("dataset=iemocap", f"dataset.root={corpus}", "dataset.merge=null")
    assert len(load_corpus(cfg)[2]) == 5


@pytest.mark.parametrize(
    ("scheme", "sizes"), [("leave_one_session_out", [3, 2, 3, 2, 2]), ("leave_one_speaker_out", [2, 1, 2, 3, 2, 2])]
)
def test_folds(corpus: Path, config, scheme: str, sizes: list[int]):
    manifest = read(str(corpus))
    node = config("dataset=iemocap").dataset.schemes[scheme]
    folds = make_folds(manifest, np.arange(len(manifest)), instantiate_checked(node, scheme), Paper())
    assert [len(fold.test) for fold in folds] == sizes


def test_known_counts_add_up(config):
    known = config("dataset=iemocap").dataset.known
    assert sum(known.emotions.values()) == known.clips == 10039
    assert sum(known.emotions[e] for e in ("happy", "excited", "neutral", "sad", "angry")) == 5531


def test_read_accepts_the_parent_folder(corpus: Path, monkeypatch: pytest.MonkeyPatch):
    assert read(str(corpus.parent)).root == corpus
    monkeypatch.setenv("SEENET_DATA", str(corpus.parent))
    assert len(read()) == 12


def test_read_needs_neither_transcripts_nor_audio(tmp_path: Path):
    write_dialogue(tmp_path, 3, "Ses03F_script01_1", format_turns(3, "ang"))
    row = read(str(tmp_path))[0]
    assert (row.speaker, row.session, row.text, row.votes) == ("3M", "3", "", "neutral:1")


def test_read_rejects_a_folder_without_label_file(tmp_path: Path):
    touch(tmp_path, "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav")
    with pytest.raises(SeenetError, match="no label file .*must contain Session1 to Session5"):
        read(str(tmp_path))
    touch(tmp_path, "Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt")
    with pytest.raises(SeenetError, match="no label file"):
        read(str(tmp_path))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("\tneu\t", "\tcon\t", r"Ses01F_impro01.txt' line 3: unknown label 'con'; expected one of hap, neu"),
        ("C-E3:\tNeutral state", "C-E3:\tNeutrality", r"line 5: unknown label 'Neutrality'"),
        ("[2.5000, 2.0000, 3.5000]", "[2.5000, 2.0000]", r"line 3: expected a line .* of IEMOCAP"),
        ("Ses01F_impro01_F000\t", "Ses06F_impro01_F000\t", r"line 3: expected a line .* of IEMOCAP"),
        ("[6.2901 - 8.2357]", "(6.2901 - 8.2357)", r"line 4: a vote before any turn"),
    ],
)
def test_read_names_an_invalid_line(tmp_path: Path, old: str, new: str, words: str):
    assert old in BLOCKS
    write_dialogue(tmp_path, 1, "Ses01F_impro01", BLOCKS.replace(old, new, 1))
    with pytest.raises(SeenetError, match=words):
        read(str(tmp_path))


def test_read_rejects_a_repeated_turn(tmp_path: Path):
    write_dialogue(tmp_path, 1, "Ses01F_impro01", BLOCKS)
    write_dialogue(tmp_path, 1, "Ses01F_impro01 copy", BLOCKS)
    with pytest.raises(SeenetError, match="'Ses01F_impro01_F000' twice"):
        read(str(tmp_path))


def test_read_rejects_a_header_without_rows(tmp_path: Path):
    write_dialogue(tmp_path, 1, "Ses01F_impro01", "")
    with pytest.raises(SeenetError, match="empty"):
        read(str(tmp_path))
