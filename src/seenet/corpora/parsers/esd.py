"""ESD: 35000 clips, 10 Mandarin and 10 English speakers, 5 emotions (Zhou et al. 2022)."""

import re
from pathlib import Path
from typing import Literal

from seenet.core.errors import SeenetError
from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._file_names import decoded, named_clips
from seenet.corpora.parsers._files import files_below

# 0001/Angry/0001_000351.wav, or 0001/Angry/train/0001_000351.wav
GRAMMAR = r"([A-Z]\w+)/(?:(train|evaluation|test)/)?(\d{4})_(\d{6})"
EMOTIONS = {"Angry": "angry", "Happy": "happy", "Neutral": "neutral", "Sad": "sad", "Surprise": "surprised"}
SPLITS = {"train": "train", "evaluation": "dev", "test": "test"}
LINE = re.compile(r"\s*(\d{4}_\d{6})\s+(.+?)\s+\S+\s*")


def read(root: str | None = None, language: Literal["zh", "en"] | None = None) -> Manifest:
    """The clips below a folder, with what is said where the speakers' own .txt files are there.

    Args:
        root: the folder; None looks for `ESD` below `SEENET_DATA`.
        language: Mandarin speakers (0001 to 0010) or English ones (0011 to 0020) only; None keeps both.

    Raises:
        SeenetError: no such folder, no clip in it or none of the language, or a path with a speaker or emotion that
            is none.
    """
    folder = find_corpus_root(root, "esd", ("esd", "emotional speech dataset (esd)", "emotion speech dataset"))
    texts = {name: text for path in files_below(folder, ".txt") for name, text in _texts(path).items()}

    def row(match: re.Match[str], path: str) -> Utterance | None:
        emotion, split, speaker, number = match.groups()
        if not 1 <= int(speaker) <= 20:
            raise SeenetError(f"'{path}': there is no speaker {speaker}; expected 0001 to 0020")
        spoken = "zh" if int(speaker) <= 10 else "en"
        name = f"{speaker}_{number}"
        clip = Utterance(
            utterance=name,
            path=path,
            emotion=decoded(EMOTIONS, emotion, "emotion", path),
            speaker=speaker,
            language=spoken,
            text=texts.get(name, ""),
            split=SPLITS.get(split, ""),
        )
        return clip if language in (None, spoken) else None

    return named_clips("esd", folder, GRAMMAR, "0001/Angry/0001_000351.wav", row)


def _texts(path: Path) -> dict[str, str]:
    """What is said, by clip: lines of name, text and emotion, set off by tabs or, in some files, by spaces."""
    texts = {}
    for line in _unicode(path.read_bytes(), "cp1252" if path.stem > "0010" else "gb18030").splitlines():
        columns = [column.strip() for column in line.split("\t")]
        match = LINE.fullmatch(line)
        if len(columns) > 1:
            texts[columns[0]] = columns[1]
        elif match:
            texts[match[1]] = match[2]
    return texts


def _unicode(data: bytes, otherwise: str) -> str:
    """Text in UTF-8 or UTF-16, with a byte order mark or without, else in a named encoding."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    if b"\0" in data[:64]:
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode(otherwise, errors="replace")
