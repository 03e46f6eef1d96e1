"""Parser for SAVEE: 480 English clips, 4 male speakers, 7 emotions (Haq & Jackson 2009)."""

import re

from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._file_names import decode, read_named_clips

# As published (DC/sa01.wav) or flat (DC_sa01.wav).
GRAMMAR = r"(DC|JE|JK|KL)[/_]([a-z]{1,2})(\d\d)"
EMOTIONS = {
    "sa": "sad",
    "su": "surprised",
    "a": "angry",
    "d": "disgust",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
}


def read(root: str | None = None) -> Manifest:
    """Read the clips below a folder, in the published or the flat layout.

    Args:
        root: folder of the corpus; None searches for `SAVEE` or `AudioData` below `SEENET_DATA`.

    Raises:
        SeenetError: a missing folder, no clip, or a name with an unknown emotion.
    """
    folder = find_corpus_root(root, "savee", ("savee", "audiodata"))

    def row(match: re.Match[str], path: str) -> Utterance:
        speaker, emotion, number = match.groups()
        return Utterance(
            utterance=f"{speaker}_{emotion}{number}",
            path=path,
            emotion=decode(EMOTIONS, emotion, "emotion", path),
            speaker=speaker,
            gender="male",
            language="en",
        )

    return read_named_clips("savee", folder, GRAMMAR, "AudioData/DC/sa01.wav", row)
