"""Parser for MELD: 13708 utterances of the series Friends, 7 emotions (Poria et al. 2019)."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from seenet.core.errors import SeenetError
from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._files import AUDIO_SUFFIXES, find_files, rank_suffix
from seenet.corpora.parsers._label_files import read_text, translate_label

FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
COLUMNS = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID")
EMOTIONS = {
    "joy": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "surprise": "surprised",
}
# The first is published damaged, the second was never published (issues 39 and 22 of declare-lab/MELD).
UNAVAILABLE = {"train_dia125_utt3", "dev_dia110_utt7"}
# Prefix of further takes of some test clips, which the authors advise to ignore (issue 22).
IGNORED_PREFIX = "final_videos_test"


def read(root: str | None = None) -> Manifest:
    """Read all labelled utterances except two without usable video.

    Utterances are named by split, dialogue and number (`dev_dia3_utt0`), because each split counts its dialogues from
    0. The published clips are mp4 videos; an audio file of the same name in the same folder replaces the video.
    Speakers are roles. One name may mean several people (`All`, `Ross and Rachel`).

    Args:
        root: folder that contains the three CSV files and the three folders of clips at any depth; None searches for
            `MELD` or `MELD.Raw` below `SEENET_DATA`.

    Raises:
        SeenetError: a missing folder or CSV file, or an invalid line.
    """
    folder = find_corpus_root(root, "meld", ("meld", "meld.raw"))
    tables: dict[str, Path] = {}
    clips: dict[tuple[str, str], Path] = {}
    # On every machine the copy nearest to the root is used.
    for path in sorted(find_files(folder, ""), key=lambda p: (rank_suffix(p), len(p.parts))):
        if path.suffix == ".csv":
            tables.setdefault(path.name, path)
        elif rank_suffix(path) < len(AUDIO_SUFFIXES) and path.parent.name in FOLDERS.values():
            clips.setdefault((path.parent.name, path.stem), path)
    rows: list[Utterance] = []
    for split, below in FOLDERS.items():
        name = f"{split}_sent_emo.csv"
        if name not in tables:
            raise SeenetError(f"no {name} in '{folder}'; dataset.root must contain it and the folder {below}")
        rows += _read_split(split, tables[name], clips, folder)
    unlabelled = [path for (_, stem), path in clips.items() if not stem.startswith(IGNORED_PREFIX)]
    names = sorted(path.relative_to(folder).as_posix() for path in unlabelled)
    return Manifest("meld", folder, [row for row in rows if row.utterance not in UNAVAILABLE], unlabelled=names)


def _read_split(split: str, table: Path, clips: dict[tuple[str, str], Path], folder: Path) -> Iterator[Utterance]:
    """Yield the utterances of one CSV file and remove their clips from `clips`."""
    lines = csv.DictReader(io.StringIO(read_text(table), newline=""))
    missing = [column for column in COLUMNS if column not in (lines.fieldnames or ())]
    if missing:
        raise SeenetError(f"'{table}' lacks the column {missing[0]}; expected a table of MELD")
    below = FOLDERS[split]
    home = next((path.parent for (name, _), path in clips.items() if name == below), folder / below)
    for line in lines:
        where = f"'{table}' line {lines.line_num}"
        text, speaker, emotion, dialogue, number = (line[column] or "" for column in COLUMNS)
        if not (dialogue.isdecimal() and number.isdecimal()):
            raise SeenetError(f"{where}: dialogue '{dialogue}' and utterance '{number}' must be numbers")
        stem = f"dia{dialogue}_utt{number}"
        path = clips.pop((below, stem), home / f"{stem}.wav")
        yield Utterance(
            utterance=f"{split}_{stem}",
            path=path.relative_to(folder).as_posix(),
            emotion=translate_label(emotion, EMOTIONS, where),
            speaker=speaker.strip(),
            language="en",
            text=text.strip(),
            split=split,
        )
