"""IEMOCAP: 10039 clips of acted dialogues, 10 speakers in 5 sessions (Busso et al. 2008)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from seenet.core.errors import SeenetError
from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._files import files_below
from seenet.corpora.parsers._label_files import emotion_of, find_near, read_text, votes_of
from seenet.corpora.vocabulary import NO_AGREEMENT

LABEL_FOLDERS = [f"Session{number}/dialog/EmoEvaluation" for number in range(1, 6)]
MEAN = r"(\d+(?:\.\d+)?)"
# In a name the letter behind the session says who wore the markers; the last part's letter says who speaks. Some
# turns are numbered with an X.
TURN = re.compile(
    r"\[[^\]]*\]\s+((Ses0([1-5])[FM]_\w+)_([FM])[\dX]+)\s+(\S+)"
    rf"\s+\[{MEAN},\s*{MEAN},\s*{MEAN}\]\s*"
)
# C-E1 to C-E6 are raters; C-F1 and C-M1 are the actors' judgements of themselves, which are not in the means either.
VOTE = re.compile(r"C-E\d+:\s*([^(]*)")
SAID = re.compile(r"(\S+) \[[^\]]*\]:\s*(.*)")
LABELS = {
    "hap": "happy",
    "neu": "neutral",
    "sad": "sad",
    "ang": "angry",
    "dis": "disgust",
    "fea": "fearful",
    "sur": "surprised",
    "exc": "excited",
    "fru": "frustrated",
    "oth": "other",
    "xxx": NO_AGREEMENT,
}
VOTES = {
    "Happiness": "happy",
    "Neutral": "neutral",
    "Neutral state": "neutral",
    "Sadness": "sad",
    "Anger": "angry",
    "Disgust": "disgust",
    "Fear": "fearful",
    "Surprise": "surprised",
    "Excited": "excited",
    "Frustration": "frustrated",
    "Other": "other",
}


def read(root: str | None = None) -> Manifest:
    """Every labelled turn, those without agreement too.

    A speaker is named by session and letter, `1F` to `5M`. A rater may vote for several emotions at once; each counts
    as one vote, and what actors said of themselves as none. Valence, arousal and dominance are means from 1 to 5.

    Args:
        root: the folder of Session1 to Session5, or the one above it; None looks for `IEMOCAP` or
            `IEMOCAP_full_release` below `SEENET_DATA`.

    Raises:
        SeenetError: no such folder, no label file in it, or a line that is none of IEMOCAP's.
    """
    given = find_corpus_root(root, "iemocap", ("iemocap", "iemocap_full_release"))
    near = find_near(given, LABEL_FOLDERS)
    folder = near.parents[2] if near else given
    # Sub-folders of EmoEvaluation repeat the turns in other formats, so only its own files are read.
    files = sorted(file for name in LABEL_FOLDERS for file in (folder / name).glob("[!.]*.txt"))
    if not files:
        raise SeenetError(
            f"no label file Session*/dialog/EmoEvaluation/*.txt in '{given}' or a folder below; "
            "dataset.root should hold Session1 to Session5"
        )
    rows = [row for file in files for row in _dialogue(file)]
    labelled = {row.path for row in rows}
    wav = (folder / f"Session{number}" / "sentences" / "wav" for number in range(1, 6))
    audio = (path for below in wav for path in files_below(below, ".wav"))
    found = (path.relative_to(folder).as_posix() for path in audio)
    return Manifest("iemocap", folder, rows, unlabelled=[path for path in found if path not in labelled])


def _dialogue(file: Path) -> Iterator[Utterance]:
    """The turns of one label file: a summary line each, with the raters' lines below it."""
    texts = _transcription(file.parents[1] / "transcriptions" / file.name)
    turn: Utterance | None = None
    votes: list[str] = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        where = f"'{file}' line {number}"
        if line.startswith("["):
            if turn:
                yield replace(turn, votes=votes_of(votes))
            turn, votes = _turn(line, where, texts), []
        elif match := VOTE.match(line):
            if not turn:
                raise SeenetError(f"{where}: a vote before any turn: {line}")
            votes += [emotion_of(name, VOTES, where) for part in match[1].split(";") if (name := part.strip())]
    if turn:
        yield replace(turn, votes=votes_of(votes))


def _turn(line: str, where: str, texts: Mapping[str, str]) -> Utterance:
    """A summary line: times, name, label and the means of the attributes, between tabs."""
    match = TURN.fullmatch(line)
    if not match:
        raise SeenetError(f"{where} is no line of IEMOCAP ([START - END] TURN LABEL [V, A, D]): {line}")
    utterance, dialogue, session, letter, label, *means = match.groups()
    valence, arousal, dominance = map(float, means)
    return Utterance(
        utterance=utterance,
        path=f"Session{session}/sentences/wav/{dialogue}/{utterance}.wav",
        emotion=emotion_of(label, LABELS, where),
        speaker=session + letter,
        gender="female" if letter == "F" else "male",
        session=session,
        language="en",
        text=texts.get(utterance, ""),
        valence=valence,
        arousal=arousal,
        dominance=dominance,
    )


def _transcription(file: Path) -> dict[str, str]:
    """What is said in each turn of a dialogue; nothing where there is no such file."""
    if not file.is_file():
        return {}
    return {match[1]: match[2].strip() for line in read_text(file).splitlines() if (match := SAID.match(line))}
