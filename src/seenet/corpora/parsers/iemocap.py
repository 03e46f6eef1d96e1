"""Parser for IEMOCAP: 10039 clips of dialogues, 10 speakers, 5 sessions (Busso et al. 2008)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from seenet.core.errors import SeenetError
from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._files import find_files
from seenet.corpora.parsers._label_files import find_near, format_votes, read_text, translate_label
from seenet.corpora.vocabulary import NO_AGREEMENT

LABEL_FOLDERS = [f"Session{number}/dialog/EmoEvaluation" for number in range(1, 6)]
MEAN = r"(\d+(?:\.\d+)?)"
# In a name, the letter after the session is the person with the motion-capture markers; the letter of the last part is
# the speaker. Some numbers of turns contain an X.
TURN = re.compile(
    r"\[[^\]]*\]\s+((Ses0([1-5])[FM]_\w+)_([FM])[\dX]+)\s+(\S+)"
    rf"\s+\[{MEAN},\s*{MEAN},\s*{MEAN}\]\s*"
)
# C-E1 to C-E6 are raters. C-F1 and C-M1 are self-assessments of the actors; the published means exclude them too.
VOTE = re.compile(r"C-E\d+:\s*([^(]*)")
TRANSCRIPT_LINE = re.compile(r"(\S+) \[[^\]]*\]:\s*(.*)")
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
    """Read all labelled turns, including those without agreement.

    Speakers are named by session and letter, `1F` to `5M`. A rater may vote for several emotions; each counts as one
    vote. Self-assessments of actors do not count. Valence, arousal and dominance are means from 1 to 5.

    Args:
        root: folder of Session1 to Session5, or its parent; None searches for `IEMOCAP` or `IEMOCAP_full_release` below
            `SEENET_DATA`.

    Raises:
        SeenetError: a missing folder, no label file, or an invalid line.
    """
    given = find_corpus_root(root, "iemocap", ("iemocap", "iemocap_full_release"))
    near = find_near(given, LABEL_FOLDERS)
    folder = near.parents[2] if near else given
    # Subfolders of EmoEvaluation repeat the turns in other formats.
    files = sorted(file for name in LABEL_FOLDERS for file in (folder / name).glob("[!.]*.txt"))
    if not files:
        raise SeenetError(
            f"no label file Session*/dialog/EmoEvaluation/*.txt in '{given}' or a folder below; "
            "dataset.root must contain Session1 to Session5"
        )
    rows = [row for file in files for row in _read_dialogue(file)]
    labelled = {row.path for row in rows}
    wav = (folder / f"Session{number}" / "sentences" / "wav" for number in range(1, 6))
    audio = (path for below in wav for path in find_files(below, ".wav"))
    found = (path.relative_to(folder).as_posix() for path in audio)
    return Manifest("iemocap", folder, rows, unlabelled=[path for path in found if path not in labelled])


def _read_dialogue(file: Path) -> Iterator[Utterance]:
    """Yield the turns of a label file: a summary line each, followed by lines of the raters."""
    texts = _read_transcripts(file.parents[1] / "transcriptions" / file.name)
    turn: Utterance | None = None
    votes: list[str] = []
    for number, line in enumerate(read_text(file).splitlines(), start=1):
        where = f"'{file}' line {number}"
        if line.startswith("["):
            if turn:
                yield replace(turn, votes=format_votes(votes))
            turn, votes = _parse_turn(line, where, texts), []
        elif match := VOTE.match(line):
            if not turn:
                raise SeenetError(f"{where}: a vote before any turn: {line}")
            votes += [translate_label(name, VOTES, where) for part in match[1].split(";") if (name := part.strip())]
    if turn:
        yield replace(turn, votes=format_votes(votes))


def _parse_turn(line: str, where: str, texts: Mapping[str, str]) -> Utterance:
    """Parse a summary line: times, name, label and means of the attributes, separated by tabs."""
    match = TURN.fullmatch(line)
    if not match:
        raise SeenetError(f"{where}: expected a line [START - END] TURN LABEL [V, A, D] of IEMOCAP: {line}")
    utterance, dialogue, session, letter, label, *means = match.groups()
    valence, arousal, dominance = map(float, means)
    return Utterance(
        utterance=utterance,
        path=f"Session{session}/sentences/wav/{dialogue}/{utterance}.wav",
        emotion=translate_label(label, LABELS, where),
        speaker=session + letter,
        gender="female" if letter == "F" else "male",
        session=session,
        language="en",
        text=texts.get(utterance, ""),
        valence=valence,
        arousal=arousal,
        dominance=dominance,
    )


def _read_transcripts(file: Path) -> dict[str, str]:
    """Read the transcript of each turn of a dialogue; empty if the file does not exist."""
    if not file.is_file():
        return {}
    matches = (TRANSCRIPT_LINE.match(line) for line in read_text(file).splitlines())
    return {match[1]: match[2].strip() for match in matches if match}
