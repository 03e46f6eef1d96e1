"""Functions for parsers of label files: search, decoding, labels, raters' votes."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from seenet.core.errors import SeenetError
from seenet.corpora.vocabulary import EMOTIONS

# Windows-1252 text that was decoded as Latin-1 contains control characters in place of quotes and dashes.
CONTROLS = {code: bytes([code]).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)}


def find_near(root: Path, names: Iterable[str]) -> Path | None:
    """Return the first path that exists in a folder or directly below it; None if there is none.

    Args:
        root: folder that the user gave: the folder of the corpus or its parent.
        names: relative paths, the preferred one first.
    """
    names = list(names)
    below = sorted(child for child in root.iterdir() if child.is_dir() and not child.name.startswith("."))
    return next((folder / name for folder in (root, *below) for name in names if (folder / name).exists()), None)


def read_text(path: Path) -> str:
    """Read a text file in UTF-8, or otherwise in Windows-1252, with unchanged line ends."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    return text.translate(CONTROLS)


def translate_label(code: str, codes: Mapping[str, str], where: str) -> str:
    """Return the shared name of a label.

    Args:
        code: the label in the label file.
        codes: shared names of all labels of the corpus.
        where: file and line, for the message.

    Raises:
        SeenetError: the corpus does not have this label.
    """
    if code not in codes:
        raise SeenetError(f"{where}: unknown label '{code}'; expected one of {', '.join(codes)}")
    return codes[code]


def format_votes(emotions: Iterable[str]) -> str:
    """Format votes for a manifest, e.g. `sad:1 angry:2`, in the order of the vocabulary."""
    counts = Counter(emotions)
    return " ".join(f"{emotion}:{counts[emotion]}" for emotion in EMOTIONS if counts[emotion])
