"""Parser for RAVDESS speech: 1440 clips, 24 actors, 8 emotions.

Source: Livingstone & Russo 2018, Zenodo record 1188976.
"""

import re
from pathlib import Path

from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._file_names import decode, read_named_clips

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
    """Read the speech clips below a folder, at any depth.

    Songs and videos are ignored. Several copies of one name count once: the Kaggle copy contains all files twice.

    Args:
        root: folder of the corpus; None searches for `RAVDESS` below `SEENET_DATA`.

    Raises:
        SeenetError: a missing folder, no speech clip, or a name with an unknown emotion or actor.
    """
    folder = find_corpus_root(root, "ravdess", ("ravdess", "audio_speech_actors_01-24"))
    return read_named_clips("ravdess", folder, NAME, "Actor_01/03-01-01-01-01-01-01.wav", _build_clip)


def _build_clip(match: re.Match[str], path: str) -> Utterance | None:
    modality, channel, emotion, _, statement, _, actor = match.groups()
    if (modality, channel) != (AUDIO_ONLY, SPEECH):
        return None
    decode(ACTORS, actor, "actor", path)
    return Utterance(
        utterance=Path(path).stem,
        path=path,
        emotion=decode(EMOTIONS, emotion, "emotion", path),
        speaker=str(int(actor)),
        gender=ACTORS[actor],
        language="en",
        text=decode(STATEMENTS, statement, "statement", path),
    )
