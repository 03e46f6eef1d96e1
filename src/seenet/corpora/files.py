"""Finding the files of a corpus."""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pandas as pd


def files_below(root: Path, suffix: str | tuple[str, ...]) -> Iterator[Path]:
    """Every file with a suffix, or one of several, (in any case) below a folder, in the same order on every machine.

    Links to folders are followed, each folder once. Files whose names begin with a dot are passed over
    (macOS leaves `._name.wav` beside `name.wav`).

    Args:
        root: where to look.
        suffix: with its dot, e.g. `.wav`.
    """
    seen = set()
    for folder, below, names in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below.sort()
        for name in sorted(names):
            if name.lower().endswith(suffix) and not name.startswith("."):
                yield Path(folder) / name


def as_on_disk(root: Path, paths: "pd.Series[str]") -> "pd.Series[str]":
    """Relative paths in the Unicode form that the disk has them in: `é` may be one character or two.

    Args:
        root: what they start from.
        paths: what a table says. Those that no file has stay as they are.
    """
    if "".join(paths).isascii():
        return paths  # most corpora: nothing on the disk is looked at
    found = (path.relative_to(root).as_posix() for path in files_below(root, ""))
    forms = {unicodedata.normalize("NFC", path): path for path in found if not path.isascii()}
    return paths.str.normalize("NFC").map(forms).fillna(paths)
