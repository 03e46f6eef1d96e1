"""Finding the files of a corpus."""

import os
from collections.abc import Iterator
from pathlib import Path


def files_below(root: Path, suffix: str) -> Iterator[Path]:
    """Every file with a suffix (in any case) below a folder, in the same order on every machine.

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
