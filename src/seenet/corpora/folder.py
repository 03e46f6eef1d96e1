"""Any corpus whose folders are named after emotions: `angry/x.wav`, `train/angry/x.wav`, `anna/angry/x.wav`."""

from collections import Counter
from pathlib import Path

import pandas as pd

from seenet.corpora.files import files_below
from seenet.corpora.spellings import SPELLINGS, SPLITS, emotions_of, plain, speakers_of
from seenet.errors import SeenetError
from seenet.manifest import Manifest

AUDIO = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64")
"""What libsndfile reads and people have."""


def read(root: str | None = None, speaker: str | None = None, labels: dict[str, str | None] | None = None) -> Manifest:
    """The audio files below a folder; the innermost folder named after an emotion is a file's label.

    A folder named train, dev, val, valid or test above a file is its split.

    Args:
        root: the folder.
        speaker: a regular expression whose groups are the speaker, searched for in the path relative to the root.
        labels: meanings of folder names beyond those of `seenet.corpora.spellings`; null leaves the files out.

    Raises:
        SeenetError: no such folder, no audio file in it, a folder that is named after no emotion, or a regular
            expression that finds no speaker.
    """
    if root is None:
        raise SeenetError("dataset=folder needs dataset.root=FOLDER, with folders in it that are named after emotions")
    folder = Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise SeenetError(f"dataset.root='{root}' is not a folder; give one with folders named after emotions")
    known = {*SPELLINGS, *(plain(str(name)) for name in labels or {})}
    table, loose = [], []
    for path in files_below(folder, AUDIO):
        relative = path.relative_to(folder)
        above = [name for name in relative.parts[-2::-1] if plain(name) not in SPLITS]
        if not above:
            loose.append(relative.as_posix())
            continue
        # where no folder is named after an emotion, the innermost one is reported as unknown
        label = next((name for name in above if plain(name) in known), above[0])
        split = next((SPLITS[plain(name)] for name in relative.parts[:-1] if plain(name) in SPLITS), "")
        table.append((relative.as_posix(), label, split))
    if not table:
        kinds = Counter(Path(path).suffix for path in loose)
        raise SeenetError(
            f"no audio file ({', '.join(AUDIO)}) in a folder of '{folder}'"
            + (f", only {kinds.total()} outside of any" if loose else "")
            + "; dataset.root should hold folders named after emotions"
        )
    rows = pd.DataFrame(table, columns=["path", "emotion", "split"])
    rows["emotion"] = emotions_of(rows["emotion"], labels, f"'{folder}'")
    rows = rows[rows["emotion"].notna()].copy()
    rows["utterance"] = rows["path"].str.replace(r"\.[^./]+$", "", regex=True)
    if speaker is not None:
        rows["speaker"] = speakers_of(rows["path"], speaker)
    return Manifest(folder.name, folder, rows, unlabelled=loose)
