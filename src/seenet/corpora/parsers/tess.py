"""Parser for TESS: 2800 clips, 2 actresses, 7 emotions (Pichora-Fuller & Dupuis 2020)."""

import re

from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._file_names import decode, read_named_clips

# The F is missing in one published file, OA_bite_neutral.wav.
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
    """Read the clips below a folder.

    Several copies of a name count once: the Kaggle copy contains all files twice.

    Args:
        root: folder of the corpus; None searches for `TESS` below `SEENET_DATA`.

    Raises:
        SeenetError: a missing folder, no clip, or a name with an unknown emotion.
    """
    folder = find_corpus_root(root, "tess", ("tess", "tess toronto emotional speech set data"))

    def row(match: re.Match[str], path: str) -> Utterance:
        speaker, word, emotion = match[1] + "F", match[2], match[3]
        return Utterance(
            utterance=f"{speaker}_{word}_{emotion}",
            path=path,
            emotion=decode(EMOTIONS, emotion, "emotion", path),
            speaker=speaker,
            gender="female",
            language="en",
            text=f"Say the word {word}",
        )

    return read_named_clips("tess", folder, GRAMMAR, "OAF_lid_fear.wav", row)
