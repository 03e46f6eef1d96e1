"""RAVDESS, the speech part: 1440 clips, 24 actors, 8 emotions (Livingstone & Russo 2018, Zenodo 1188976)."""

import re
from pathlib import Path

from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._file_names import decoded, named_clips

NAME = "-".join([r"(\d\d)"] * 7)  # modality, channel, emotion, intensity, statement, repetition, actor
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
ACTORS = {f"{number:02d}": "male" if number % 2 else "female" for number in range(1, 25)}
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
    folder = find_corpus_root(root, "ravdess", ("ravdess", "audio_speech_actors_01-24"))
    return named_clips("ravdess", folder, NAME, "Actor_01/03-01-01-01-01-01-01.wav", _clip)


def _clip(match: re.Match[str], path: str) -> Utterance | None:
    modality, channel, emotion, _, statement, _, actor = match.groups()
    if (modality, channel) != (AUDIO_ONLY, SPEECH):
        return None
    decoded(ACTORS, actor, "actor", path)
    return Utterance(
        utterance=Path(path).stem,
        path=path,
        emotion=decoded(EMOTIONS, emotion, "emotion", path),
        speaker=str(int(actor)),
        gender=ACTORS[actor],
        language="en",
        text=decoded(STATEMENTS, statement, "statement", path),
    )
