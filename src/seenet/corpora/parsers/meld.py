"""MELD: 13708 utterances of the TV series Friends, 7 emotions (Poria et al. 2019)."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from seenet.core.errors import SeenetError
from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._files import AUDIO, files_below, suffix_rank
from seenet.corpora.parsers._label_files import emotion_of, read_text

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
# The first cannot be decoded as published, the second was never published (issues 39 and 22 of declare-lab/MELD).
LOST = {"train_dia125_utt3", "dev_dia110_utt7"}
# More takes of some test clips, which the authors advise to ignore (issue 22).
SPARE = "final_videos_test"


def read(root: str | None = None) -> Manifest:
    """Every labelled utterance but the two that nobody has.

    An utterance is named by split, dialogue and number (`dev_dia3_utt0`), since each split counts its dialogues from 0.
    The published clips are mp4 videos; a sound file of the same name in the same
    folder is used instead. Speakers are roles, and one name may stand for several people (`All`, `Ross and Rachel`).

    Args:
        root: a folder that holds the three CSV files and the three folders of clips, wherever in it they lie; None
            looks for `MELD` or `MELD.Raw` below `SEENET_DATA`.

    Raises:
        SeenetError: no such folder, a CSV file is missing, or a line in it that is none of MELD's.
    """
    folder = find_corpus_root(root, "meld", ("meld", "meld.raw"))
    tables: dict[str, Path] = {}
    clips: dict[tuple[str, str], Path] = {}
    # Of two copies the one nearer to the root is kept, on every machine.
    for path in sorted(files_below(folder, ""), key=lambda p: (suffix_rank(p), len(p.parts))):
        if path.suffix == ".csv":
            tables.setdefault(path.name, path)
        elif suffix_rank(path) < len(AUDIO) and path.parent.name in FOLDERS.values():
            clips.setdefault((path.parent.name, path.stem), path)
    rows: list[Utterance] = []
    for split, below in FOLDERS.items():
        name = f"{split}_sent_emo.csv"
        if name not in tables:
            raise SeenetError(f"no {name} in '{folder}'; dataset.root should hold it and the folder {below}")
        rows += _rows(split, tables[name], clips, folder)
    unlabelled = [path for (_, stem), path in clips.items() if not stem.startswith(SPARE)]
    names = sorted(path.relative_to(folder).as_posix() for path in unlabelled)
    return Manifest("meld", folder, [row for row in rows if row.utterance not in LOST], unlabelled=names)


def _rows(split: str, table: Path, clips: dict[tuple[str, str], Path], folder: Path) -> Iterator[Utterance]:
    """The utterances of one CSV file; their clips are taken out of `clips`."""
    lines = csv.DictReader(io.StringIO(read_text(table), newline=""))
    missing = [column for column in COLUMNS if column not in (lines.fieldnames or ())]
    if missing:
        raise SeenetError(f"'{table}' lacks the column {missing[0]}; is it MELD's?")
    below = FOLDERS[split]
    home = next((path.parent for (name, _), path in clips.items() if name == below), folder / below)
    for line in lines:
        where = f"'{table}' line {lines.line_num}"
        text, speaker, emotion, dialogue, number = (line[column] or "" for column in COLUMNS)
        if not (dialogue.isdecimal() and number.isdecimal()):
            raise SeenetError(f"{where}: dialogue '{dialogue}' and utterance '{number}' should be numbers")
        stem = f"dia{dialogue}_utt{number}"
        path = clips.pop((below, stem), home / f"{stem}.wav")
        yield Utterance(
            utterance=f"{split}_{stem}",
            path=path.relative_to(folder).as_posix(),
            emotion=emotion_of(emotion, EMOTIONS, where),
            speaker=speaker.strip(),
            language="en",
            text=text.strip(),
            split=split,
        )
