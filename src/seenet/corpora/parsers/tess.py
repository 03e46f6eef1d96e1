"""TESS: 2800 clips, an older and a younger actress, 7 emotions (Pichora-Fuller & Dupuis 2020)."""

import re

from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._file_names import decoded, named_clips

# One published file, OA_bite_neutral.wav, lacks the F.
GRAMMAR = r"([OY]A)F?_([A-Za-z']+)_([A-Za-z]+)"
EMOTIONS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprised",  # pleasant surprise
    "sad": "sad",
}


def read(root: str | None = None) -> Manifest:
    """The clips below a folder; one that is there twice (the Kaggle copy holds everything twice) counts once.

    Args:
        root: the folder; None looks for `TESS` below `SEENET_DATA`.

    Raises:
        SeenetError: no such folder, no clip in it, or a name with an emotion that is none.
    """
    folder = find_corpus_root(root, "tess", ("tess", "tess toronto emotional speech set data"))

    def row(match: re.Match[str], path: str) -> Utterance:
        speaker, word, emotion = match[1] + "F", match[2], match[3]
        return Utterance(
            utterance=f"{speaker}_{word}_{emotion}",
            path=path,
            emotion=decoded(EMOTIONS, emotion, "emotion", path),
            speaker=speaker,
            gender="female",
            language="en",
            text=f"Say the word {word}",
        )

    return named_clips("tess", folder, GRAMMAR, "OAF_lid_fear.wav", row)
