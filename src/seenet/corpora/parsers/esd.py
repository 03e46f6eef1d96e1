"""Parser for ESD: 35000 Mandarin and English clips, 20 speakers, 5 emotions (Zhou et al. 2022)."""

import re
from pathlib import Path
from typing import Literal

from seenet.core.errors import SeenetError
from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._file_names import decode, read_named_clips
from seenet.corpora.parsers._files import find_files

# 0001/Angry/0001_000351.wav, or 0001/Angry/train/0001_000351.wav
GRAMMAR = r"([A-Z]\w+)/(?:(train|evaluation|test)/)?(\d{4})_(\d{6})"
EMOTIONS = {"Angry": "angry", "Happy": "happy", "Neutral": "neutral", "Sad": "sad", "Surprise": "surprised"}
SPLITS = {"train": "train", "evaluation": "dev", "test": "test"}
LINE = re.compile(r"\s*(\d{4}_\d{6})\s+(.+?)\s+\S+\s*")


def read(root: str | None = None, language: Literal["zh", "en"] | None = None) -> Manifest:
    """Read the clips below a folder, with transcripts if the .txt files of the speakers exist.

    Args:
        root: folder of the corpus; None searches for `ESD` below `SEENET_DATA`.
        language: `zh` for Mandarin speakers only (0001 to 0010), `en` for English ones (0011 to 0020); None keeps both.

    Raises:
        SeenetError: a missing folder, no clip of the language, or a path with an unknown speaker or emotion.
    """
    folder = find_corpus_root(root, "esd", ("esd", "emotional speech dataset (esd)", "emotion speech dataset"))
    texts = {name: text for path in find_files(folder, ".txt") for name, text in _read_texts(path).items()}

    def row(match: re.Match[str], path: str) -> Utterance | None:
        emotion, split, speaker, number = match.groups()
        if not 1 <= int(speaker) <= 20:
            raise SeenetError(f"'{path}': unknown speaker {speaker}; expected 0001 to 0020")
        spoken = "zh" if int(speaker) <= 10 else "en"
        name = f"{speaker}_{number}"
        clip = Utterance(
            utterance=name,
            path=path,
            emotion=decode(EMOTIONS, emotion, "emotion", path),
            speaker=speaker,
            language=spoken,
            text=texts.get(name, ""),
            split=SPLITS.get(split, ""),
        )
        return clip if language in (None, spoken) else None

    return read_named_clips("esd", folder, GRAMMAR, "0001/Angry/0001_000351.wav", row)


def _read_texts(path: Path) -> dict[str, str]:
    """Read transcripts by clip from lines of name, text and emotion.

    Tabs separate the columns, in some files spaces.
    """
    texts = {}
    for line in _decode_text(path.read_bytes(), "cp1252" if path.stem > "0010" else "gb18030").splitlines():
        columns = [column.strip() for column in line.split("\t")]
        match = LINE.fullmatch(line)
        if len(columns) > 1:
            texts[columns[0]] = columns[1]
        elif match:
            texts[match[1]] = match[2]
    return texts


def _decode_text(data: bytes, fallback: str) -> str:
    """Decode UTF-8 or UTF-16, with or without byte order mark, or the fallback encoding."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", errors="replace")
    if b"\0" in data[:64]:
        return data.decode("utf-16-le" if data[1:2] == b"\0" else "utf-16-be", errors="replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode(fallback, errors="replace")
