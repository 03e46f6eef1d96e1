"""Parser for MSP-IMPROV: 8438 clips of dialogues, 12 speakers, 6 sessions (Busso et al. 2017)."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from seenet.core.errors import SeenetError
from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._files import find_files
from seenet.corpora.parsers._label_files import find_near, format_votes, read_text, translate_label
from seenet.corpora.vocabulary import NO_AGREEMENT

LABEL_FILES = ("Evaluation.txt", "Evalution.txt")  # released under the second name too
MEAN = r"(\d+(?:\.\d+)?|NaN)"
MEANS = rf"A:{MEAN}\s*;\s*V:{MEAN}\s*;\s*D:{MEAN}\s*;\s*N:{MEAN}\s*;?\s*"
# The label file has UTD- and .avi, the file names have MSP- and .wav. A, H, S or N in a name is the intended emotion.
CLIP = re.compile(rf"UTD-(IMPROV-(S\d\d[AHSN])-([FM])0([1-6])-([PRST])-[FM]{{2}}\d\d)\.avi;\s*([^;\s]*)\s*;\s*{MEANS}")
RATER = re.compile(rf"([^;]+);\s*([^;]*?)\s*;.*;\s*{MEANS}")
LABELS = {"A": "angry", "H": "happy", "S": "sad", "N": "neutral", "O": "other", "X": NO_AGREEMENT}
VOTES = {"Angry": "angry", "Happy": "happy", "Sad": "sad", "Neutral": "neutral", "Other": "other"}


def read(root: str | None = None) -> Manifest:
    """Read all labelled clips, including those without agreement, with the labels of the raters.

    Valence, arousal (activation) and dominance are the raters' means from 1 to 5; naturalness is ignored.

    Args:
        root: folder of session1 to session6; the label file Evaluation.txt or Evalution.txt is in it, directly below
            or in its parent. None searches for `MSP-IMPROV` below `SEENET_DATA`.

    Raises:
        SeenetError: a missing folder, no label file, or an invalid line.
    """
    folder = find_corpus_root(root, "msp_improv", ("msp-improv", "msp_improv"))
    above = (folder.parent / name for name in LABEL_FILES)
    labels = find_near(folder, LABEL_FILES) or next((path for path in above if path.is_file()), None)
    if labels is None:
        raise SeenetError(
            f"no label file {' or '.join(LABEL_FILES)} in '{folder}', directly below or above it; "
            "dataset.root must contain it and session1 to session6"
        )
    audio: dict[str, str] = {}
    # The shortest path first: on every machine the copy nearest to the root is used.
    for path in sorted(find_files(folder, ".wav"), key=lambda p: len(p.parts)):
        audio.setdefault(path.stem, path.relative_to(folder).as_posix())
    rows = [replace(clip, path=audio.pop(clip.utterance, clip.path)) for clip in _read_clips(labels)]
    unlabelled = [path for name, path in audio.items() if name.startswith("MSP-IMPROV-")]
    return Manifest("msp_improv", folder, rows, unlabelled=sorted(unlabelled))


def _read_clips(labels: Path) -> Iterator[Utterance]:
    """Yield the clips of the label file: a summary line each, followed by lines of the raters."""
    clip: Utterance | None = None
    votes: dict[str, str] = {}
    for number, line in enumerate(read_text(labels).splitlines(), start=1):
        where = f"'{labels}' line {number}"
        if match := CLIP.fullmatch(line):
            if clip:
                yield replace(clip, votes=format_votes(votes.values()))
            clip, votes = _build_clip(match, where), {}
        elif (match := RATER.fullmatch(line)) and clip:
            votes.setdefault(match[1], translate_label(match[2], VOTES, where))  # some lines of raters are repeated
        elif line.strip():
            raise SeenetError(
                f"{where}: expected a line UTD-IMPROV-….avi; LABEL; A:…; V:…; D:…; N:… of MSP-IMPROV: {line}"
            )
    if clip is None:
        raise SeenetError(f"'{labels}' labels no clip; check that the file is complete")
    yield replace(clip, votes=format_votes(votes.values()))


def _build_clip(match: re.Match[str], where: str) -> Utterance:
    name, sentence, letter, session, condition, label, *means = match.groups()
    arousal, valence, dominance, _ = map(float, means)
    return Utterance(
        utterance=f"MSP-{name}",
        path=f"session{session}/{sentence}/{condition}/MSP-{name}.wav",
        emotion=translate_label(label, LABELS, where),
        speaker=f"{letter}0{session}",
        gender="female" if letter == "F" else "male",
        session=session,
        language="en",
        valence=valence,
        arousal=arousal,
        dominance=dominance,
    )
