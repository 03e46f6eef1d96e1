"""Parser for folders named after emotions: `angry/x.wav`, `train/angry/x.wav` and the like."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from seenet.core.console import print_line
from seenet.core.errors import SeenetError
from seenet.corpora.manifest import OWN_PEOPLE, Manifest
from seenet.corpora.parsers._files import find_audio
from seenet.corpora.parsers._spellings import (
    SPELLINGS,
    SPLITS,
    describe_merges,
    extract_speakers,
    normalize,
    translate_emotions,
)


def read(root: str | None = None, speaker: str | None = None, labels: dict[str, str | None] | None = None) -> Manifest:
    """Read the audio files at any depth below folders named after emotions.

    A folder named train, dev, val, valid or test is the split of its files. If files differ only in their suffix
    (`b1.wav`, `b1.mp4`), one of them is used, a lossless one if there is one.

    Args:
        root: folder of the corpus.
        speaker: regular expression to search in the path relative to the root; its groups are the speaker.
        labels: meanings of folder names beyond those of `seenet.corpora.parsers._spellings`; null excludes the files.

    Raises:
        SeenetError: a missing folder, no audio file, a file in no folder of an emotion or in two, or a regular
            expression that matches no path.
    """
    if root is None:
        raise SeenetError("dataset=folder needs dataset.root=FOLDER; it must contain folders named after emotions")
    folder = Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise SeenetError(f"dataset.root='{root}' is not a folder; expected one with folders named after emotions")
    table, outside, skipped = _collect_files(folder, labels)
    if not table:
        raise SeenetError(
            f"no audio file in a folder of '{folder}'"
            + (f", only {len(outside)} outside of any" if outside else "")
            + (f", and {len(skipped)} other files, e.g. '{skipped[0][0]}'" if skipped else "")
            + "; dataset.root must contain folders named after emotions"
        )
    rows = pd.DataFrame(table, columns=["path", "emotion", "split"])
    emotions = translate_emotions(rows["emotion"], labels, f"'{folder}'")
    merged = describe_merges(rows["emotion"], emotions)
    rows["emotion"] = emotions
    rows = rows[rows["emotion"].notna()].copy()
    rows["utterance"] = rows["path"].str.normalize("NFC").str.replace(r"\.[^./]+$", "", regex=True)
    if speaker is not None:
        rows["speaker"] = extract_speakers(rows["path"], speaker)
    rows = rows.sort_values("utterance")  # by normalised name: the order on disk depends on the form of accents
    return Manifest(
        folder.name,
        folder,
        rows,
        unlabelled=outside,
        skipped=skipped,
        people=OWN_PEOPLE,
        parser="folder",
        **merged,
    )


def _collect_files(
    folder: Path, labels: Mapping[str, str | None] | None
) -> tuple[list[tuple[str, str, str]], list[str], list[tuple[str, str]]]:
    """Return path, label and split of each file, files outside of folders, and skipped paths."""
    known = {*SPELLINGS, *(normalize(str(name)) for name in labels or {})}
    table: list[tuple[str, str, str]] = []
    outside: list[str] = []
    files, skipped = find_audio(folder, one_per_name=True)
    shown = [(name, reason) for name, reason in skipped if reason != "not audio"]
    if shown:
        print_line(f"! {len(shown)} file(s) in '{folder}' are skipped, e.g. '{shown[0][0]}': {shown[0][1]}")
    for path in files:
        relative = path.relative_to(folder)
        above = [name for name in relative.parts[-2::-1] if normalize(name) not in SPLITS]
        if not above:
            outside.append(relative.as_posix())
            continue
        labels_above = {normalize(name): name for name in above if normalize(name) in known}
        if len(labels_above) > 1:
            raise SeenetError(f"'{path}' is in folders of two emotions, {' and '.join(labels_above)}; rename one")
        # Without a folder named after an emotion, the innermost folder is reported as unknown.
        label = next(iter(labels_above.values()), above[0])
        split = next((SPLITS[normalize(name)] for name in relative.parts[:-1] if normalize(name) in SPLITS), "")
        table.append((relative.as_posix(), label, split))
    return table, outside, skipped
