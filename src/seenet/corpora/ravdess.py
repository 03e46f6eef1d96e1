"""RAVDESS, the speech part: 1440 clips, 24 actors, 8 emotions (Livingstone & Russo 2018, Zenodo 1188976)."""

import re

from seenet.corpora.files import files_below
from seenet.errors import SeenetError
from seenet.manifest import Manifest, Utterance
from seenet.paths import corpus_root

NAME = re.compile(r"(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)-(\d\d)\.wav", re.IGNORECASE)
AUDIO_ONLY, SPEECH = "03", "01"
EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
STATEMENTS = {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}


def read(root: str | None = None) -> Manifest:
    """The speech clips below a folder, wherever in it they lie.

    Song files and video sound tracks are passed over, and a file that is there twice under one name (the
    Kaggle copy holds everything twice) counts once.

    Args:
        root: the folder; None looks for `RAVDESS` below `SEENET_DATA`.

    Raises:
        SeenetError: no such folder, no speech clip in it, or a name with an emotion or actor that is none.
    """
    folder = corpus_root(root, "ravdess", ("ravdess", "audio_speech_actors_01-24"))
    rows: dict[str, Utterance] = {}
    # The shortest path first: of two copies the one nearer to the root is kept, on every machine.
    for path in sorted(files_below(folder, ".wav"), key=lambda p: len(p.parts)):
        match = NAME.fullmatch(path.name)
        if not match or match[1] != AUDIO_ONLY or match[2] != SPEECH or path.stem in rows:
            continue
        emotion, statement, actor = match[3], match[5], int(match[7])
        if emotion not in EMOTIONS or statement not in STATEMENTS or not 1 <= actor <= 24:
            raise SeenetError(f"'{path}' is no RAVDESS name: emotion 01-08, statement 01-02, actor 01-24 expected")
        rows[path.stem] = Utterance(
            utterance=path.stem,
            path=path.relative_to(folder).as_posix(),
            emotion=EMOTIONS[emotion],
            speaker=str(actor),
            gender="male" if actor % 2 else "female",
            text=STATEMENTS[statement],
        )
    if not rows:
        raise SeenetError(
            f"no RAVDESS speech clip (03-01-EE-II-SS-RR-AA.wav) in '{folder}'; "
            "dataset.root should hold Actor_01 to Actor_24"
        )
    return Manifest("ravdess", folder, [rows[name] for name in sorted(rows)])
