"""Parser for CREMA-D, audio only: 7442 clips, 91 actors, 6 acted emotions (Cao et al. 2014)."""

import re
from pathlib import Path

import pandas as pd

from seenet.core.errors import SeenetError, one_line
from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._file_names import decode, read_named_clips

# The second X is missing in the published 1040_ITH_SAD_X.
GRAMMAR = r"(\d{4})_([A-Z]{3})_([A-Z]{3})_(LO|MD|HI|XX?)"
EMOTIONS = {"ANG": "angry", "DIS": "disgust", "FEA": "fearful", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
TEXTS = {
    "IEO": "It's eleven o'clock",
    "TIE": "That is exactly what happened",
    "IOM": "I'm on my way to the meeting",
    "IWW": "I wonder what this is about",
    "TAI": "The airplane is almost full",
    "MTI": "Maybe tomorrow it will be cold",
    "IWL": "I would like a new alarm clock",
    "ITH": "I think I have a doctor's appointment",
    "DFA": "Don't forget a jacket",
    "ITS": "I think I've seen this before",
    "TSI": "The surface is slick",
    "WSI": "We'll stop in a couple of minutes",
}


def read(root: str | None = None) -> Manifest:
    """Read the clips below a folder, and genders from `VideoDemographics.csv` if it exists.

    Args:
        root: folder of the corpus; None searches for `CREMA-D` or `AudioWAV` below `SEENET_DATA`.

    Raises:
        SeenetError: a missing folder, no clip, a name with an unknown actor, sentence or emotion, or a table of actors
            without the columns ActorID and Sex.
    """
    folder = find_corpus_root(root, "crema_d", ("crema-d", "crema_d", "cremad", "crema-d-master", "audiowav"))
    genders = _read_genders(folder)

    def row(match: re.Match[str], path: str) -> Utterance:
        actor, sentence, emotion, _ = match.groups()
        if not 1001 <= int(actor) <= 1091:
            raise SeenetError(f"'{path}': unknown actor {actor}; expected 1001 to 1091")
        return Utterance(
            utterance=Path(path).stem,
            path=path,
            emotion=decode(EMOTIONS, emotion, "emotion", path),
            speaker=actor,
            gender=genders.get(actor, ""),
            language="en",
            text=decode(TEXTS, sentence, "sentence", path),
        )

    return read_named_clips("crema_d", folder, GRAMMAR, "AudioWAV/1001_DFA_ANG_XX.wav", row)


def _read_genders(folder: Path) -> dict[str, str]:
    for table in (place / "VideoDemographics.csv" for place in (folder, folder.parent)):
        if table.is_file():
            try:
                actors = pd.read_csv(table, dtype=str, keep_default_na=False)
            except (ValueError, OSError) as error:
                raise SeenetError(f"'{table}' cannot be read: {one_line(error)}") from error
            if not {"ActorID", "Sex"} <= set(actors):
                raise SeenetError(f"'{table}' has the columns {', '.join(actors)}; expected ActorID and Sex")
            return dict(zip(actors["ActorID"].str.strip(), actors["Sex"].str.strip().str.lower(), strict=True))
    return {}
