"""MSP-IMPROV: 8438 clips of improvised dialogues, 12 speakers in 6 sessions (Busso et al. 2017)."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from seenet.core.errors import SeenetError
from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._files import files_below
from seenet.corpora.parsers._label_files import emotion_of, find_near, read_text, votes_of
from seenet.corpora.vocabulary import NO_AGREEMENT

LABEL_FILES = ("Evaluation.txt", "Evalution.txt")  # released under the second name too
MEAN = r"(\d+(?:\.\d+)?|NaN)"
MEANS = rf"A:{MEAN}\s*;\s*V:{MEAN}\s*;\s*D:{MEAN}\s*;\s*N:{MEAN}\s*;?\s*"
# The label file says UTD- and .avi where the disk says MSP- and .wav. The name's A, H, S or N is what was intended.
CLIP = re.compile(rf"UTD-(IMPROV-(S\d\d[AHSN])-([FM])0([1-6])-([PRST])-[FM]{{2}}\d\d)\.avi;\s*([^;\s]*)\s*;\s*{MEANS}")
RATER = re.compile(rf"([^;]+);\s*([^;]*?)\s*;.*;\s*{MEANS}")
LABELS = {"A": "angry", "H": "happy", "S": "sad", "N": "neutral", "O": "other", "X": NO_AGREEMENT}
VOTES = {"Angry": "angry", "Happy": "happy", "Sad": "sad", "Neutral": "neutral", "Other": "other"}


def read(root: str | None = None) -> Manifest:
    """Every labelled clip, those without agreement too; labels are the raters', not the intended emotions.

    Valence, arousal (their activation) and dominance are the raters' means from 1 to 5; naturalness is passed over.

    Args:
        root: the folder of session1 to session6, with the label file Evaluation.txt or Evalution.txt in it, in a
            folder directly below or in the one above; None looks for `MSP-IMPROV` below `SEENET_DATA`.

    Raises:
        SeenetError: no such folder, no label file, or a line in it that is none of MSP-IMPROV's.
    """
    folder = find_corpus_root(root, "msp_improv", ("msp-improv", "msp_improv"))
    above = (folder.parent / name for name in LABEL_FILES)
    labels = find_near(folder, LABEL_FILES) or next((path for path in above if path.is_file()), None)
    if labels is None:
        raise SeenetError(
            f"no label file {' or '.join(LABEL_FILES)} in '{folder}', directly below or above it; "
            "dataset.root should hold it and session1 to session6"
        )
    audio: dict[str, str] = {}
    # The shortest path first: of two copies the one nearer to the root is kept, on every machine.
    for path in sorted(files_below(folder, ".wav"), key=lambda p: len(p.parts)):
        audio.setdefault(path.stem, path.relative_to(folder).as_posix())
    rows = [replace(clip, path=audio.pop(clip.utterance, clip.path)) for clip in _clips(labels)]
    unlabelled = [path for name, path in audio.items() if name.startswith("MSP-IMPROV-")]
    return Manifest("msp_improv", folder, rows, unlabelled=sorted(unlabelled))


def _clips(labels: Path) -> Iterator[Utterance]:
    """The clips of the label file: a summary line each, with the raters' lines below it."""
    clip: Utterance | None = None
    votes: dict[str, str] = {}
    for number, line in enumerate(read_text(labels).splitlines(), start=1):
        where = f"'{labels}' line {number}"
        if match := CLIP.fullmatch(line):
            if clip:
                yield replace(clip, votes=votes_of(votes.values()))
            clip, votes = _clip(match, where), {}
        elif (match := RATER.fullmatch(line)) and clip:
            votes.setdefault(match[1], emotion_of(match[2], VOTES, where))  # some raters' lines are there twice
        elif line.strip():
            raise SeenetError(f"{where} is no line of MSP-IMPROV (UTD-IMPROV-….avi; LABEL; A:…; V:…; D:…; N:…): {line}")
    if clip is None:
        raise SeenetError(f"'{labels}' labels no clip; is the file complete?")
    yield replace(clip, votes=votes_of(votes.values()))


def _clip(match: re.Match[str], where: str) -> Utterance:
    name, sentence, letter, session, condition, label, *means = match.groups()
    arousal, valence, dominance, _ = map(float, means)
    return Utterance(
        utterance=f"MSP-{name}",
        path=f"session{session}/{sentence}/{condition}/MSP-{name}.wav",
        emotion=emotion_of(label, LABELS, where),
        speaker=f"{letter}0{session}",
        gender="female" if letter == "F" else "male",
        session=session,
        language="en",
        valence=valence,
        arousal=arousal,
        dominance=dominance,
    )
