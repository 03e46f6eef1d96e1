"""Any corpus whose folders are named after emotions: `angry/x.wav`, `train/angry/x.wav`, `anna/angry/x.wav`."""

from pathlib import Path

import pandas as pd

from seenet.core.console import print_line
from seenet.core.errors import SeenetError
from seenet.corpora.manifest import OWN_PEOPLE, Manifest
from seenet.corpora.parsers._files import find_audio
from seenet.corpora.parsers._spellings import SPELLINGS, SPLITS, emotions_of, merged_into_other, plain, speakers_of


def read(root: str | None = None, speaker: str | None = None, labels: dict[str, str | None] | None = None) -> Manifest:
    """The audio files below a folder, however deep below the one that is named after their emotion.

    A folder named train, dev, val, valid or test above a file is its split. Of files that differ in their suffix only
    (`b1.wav`, `b1.mp4`) one is taken, a lossless one if there is.

    Args:
        root: the folder.
        speaker: a regular expression whose groups are the speaker, searched for in the path relative to the root.
        labels: meanings of folder names beyond those of `seenet.corpora.parsers._spellings`; null leaves the files out.

    Raises:
        SeenetError: no such folder, no audio file in it, a file in no folder of an emotion or in two, or a regular
            expression that finds no speaker.
    """
    if root is None:
        raise SeenetError("dataset=folder needs dataset.root=FOLDER, with folders in it that are named after emotions")
    folder = Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise SeenetError(f"dataset.root='{root}' is not a folder; give one with folders named after emotions")
    known = {*SPELLINGS, *(plain(str(name)) for name in labels or {})}
    table, loose = [], []
    files, passed_over = find_audio(folder, one_per_name=True)
    named = [(name, why) for name, why in passed_over if why != "not audio"]
    if named:
        print_line(f"! {len(named)} file(s) in '{folder}' are passed over, e.g. '{named[0][0]}': {named[0][1]}")
    for path in files:
        relative = path.relative_to(folder)
        above = [name for name in relative.parts[-2::-1] if plain(name) not in SPLITS]
        if not above:
            loose.append(relative.as_posix())
            continue
        labels_above = {plain(name): name for name in above if plain(name) in known}
        if len(labels_above) > 1:
            raise SeenetError(f"'{path}' lies in folders of two emotions, {' and '.join(labels_above)}; rename one")
        # Where no folder is named after an emotion, the innermost one is reported as unknown.
        label = next(iter(labels_above.values()), above[0])
        split = next((SPLITS[plain(name)] for name in relative.parts[:-1] if plain(name) in SPLITS), "")
        table.append((relative.as_posix(), label, split))
    if not table:
        raise SeenetError(
            f"no audio file in a folder of '{folder}'"
            + (f", only {len(loose)} outside of any" if loose else "")
            + (f", and {len(passed_over)} other files, e.g. '{passed_over[0][0]}'" if passed_over else "")
            + "; dataset.root should hold folders named after emotions"
        )
    rows = pd.DataFrame(table, columns=["path", "emotion", "split"])
    emotions = emotions_of(rows["emotion"], labels, f"'{folder}'")
    merged = merged_into_other(rows["emotion"], emotions)
    rows["emotion"] = emotions
    rows = rows[rows["emotion"].notna()].copy()
    rows["utterance"] = rows["path"].str.normalize("NFC").str.replace(r"\.[^./]+$", "", regex=True)
    if speaker is not None:
        rows["speaker"] = speakers_of(rows["path"], speaker)
    # By name: the order of a disk depends on how it spells accents.
    rows = rows.sort_values("utterance")
    return Manifest(
        folder.name,
        folder,
        rows,
        unlabelled=loose,
        passed_over=passed_over,
        people=OWN_PEOPLE,
        parser="folder",
        **merged,
    )
