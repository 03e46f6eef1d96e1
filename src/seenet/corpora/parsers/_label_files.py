"""What parsers of label files share: finding the file, the corpus' own codes, raters' votes, text of any encoding."""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from seenet.core.errors import SeenetError
from seenet.corpora.vocabulary import EMOTIONS

# Text that was once Windows-1252 and was then taken for Latin-1 holds control characters for quotes and dashes.
CONTROLS = {code: bytes([code]).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)}


def find_near(root: Path, names: Iterable[str]) -> Path | None:
    """The first of some files or folders that lies in a folder, or in a folder directly below it.

    Args:
        root: what the user named: the corpus' folder, or the one that holds it.
        names: relative paths, the preferred one first.
    """
    names = list(names)
    below = sorted(child for child in root.iterdir() if child.is_dir() and not child.name.startswith("."))
    return next((folder / name for folder in (root, *below) for name in names if (folder / name).exists()), None)


def read_text(path: Path) -> str:
    """A text file in UTF-8, or else in Windows-1252; line ends are kept as they are."""
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    return text.translate(CONTROLS)


def emotion_of(code: str, codes: Mapping[str, str], where: str) -> str:
    """The shared name of a corpus' own code.

    Args:
        code: as the label file has it.
        codes: every code of the corpus, with its shared name.
        where: the file and line, for the message.

    Raises:
        SeenetError: a code that the corpus does not have.
    """
    if code not in codes:
        raise SeenetError(f"{where}: unknown label '{code}'; expected one of {', '.join(codes)}")
    return codes[code]


def votes_of(emotions: Iterable[str]) -> str:
    """Votes as a manifest holds them, e.g. `sad:1 angry:2`, in the order of the vocabulary."""
    counts = Counter(emotions)
    return " ".join(f"{emotion}:{counts[emotion]}" for emotion in EMOTIONS if counts[emotion])
