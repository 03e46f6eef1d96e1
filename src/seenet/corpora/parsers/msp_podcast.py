"""Parser for MSP-Podcast: spontaneous speech from podcasts (Lotfian & Busso 2019).

Release 2.0 has 264705 clips.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seenet.core.errors import SeenetError, one_line
from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest
from seenet.corpora.parsers._label_files import find_near, format_votes, translate_label
from seenet.corpora.vocabulary import EMOTIONS, NO_AGREEMENT

# Names of the folders and the file differ between releases.
FOLDERS = ("Labels", "labels", "label")
LABEL_FILES = tuple(f"{folder}/labels_{word}.csv" for folder in FOLDERS for word in ("consensus", "concensus"))
AUDIO_FOLDERS = ("Audios", "Audio", "audios", "audio", "Wavs", "wavs", "wav")
COLUMNS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")
LABELS = {
    "H": "happy",
    "N": "neutral",
    "S": "sad",
    "A": "angry",
    "D": "disgust",
    "F": "fearful",
    "U": "surprised",
    "C": "contempt",
    "O": "other",
    "X": NO_AGREEMENT,
}
VOTES = {
    "Happy": "happy",
    "Neutral": "neutral",
    "Sad": "sad",
    "Angry": "angry",
    "Disgust": "disgust",
    "Fear": "fearful",
    "Surprise": "surprised",
    "Contempt": "contempt",
    "Other": "other",
}
GENDERS = {"Female": "female", "Male": "male", "Unknown": "", "": ""}
SPLITS = {
    "Train": "train",
    "Development": "dev",
    "Validation": "dev",
    "Test": "test",
    "Test1": "test1",
    "Test2": "test2",
    "Test3": "test3",
}


def read(root: str | None = None) -> Manifest:
    """Read all labelled clips, including those without agreement.

    The raters' votes come from labels_detailed.csv in the same folder, if it exists. Valence, arousal (activation) and
    dominance are the raters' means from 1 to 7. The transcripts, one file per clip, are not read.

    Args:
        root: folder of Labels and Audios, or its parent; None searches for `MSP-Podcast` below `SEENET_DATA`.

    Raises:
        SeenetError: a missing folder, no label file, or an invalid value.
    """
    given = find_corpus_root(root, "msp_podcast", ("msp-podcast", "msp_podcast", "msppodcast"))
    labels = find_near(given, LABEL_FILES)
    if labels is None:
        raise SeenetError(
            f"no Labels/labels_consensus.csv in '{given}' or directly below; dataset.root must contain both folders"
        )
    folder = labels.parents[1]
    audio = next((name for name in AUDIO_FOLDERS if (folder / name).is_dir()), AUDIO_FOLDERS[0])
    table = _read_columns(labels, COLUMNS)
    names = table["FileName"]
    manifest = pd.DataFrame(
        {
            "utterance": names.str.removesuffix(".wav"),
            "path": f"{audio}/" + names,
            "emotion": _translate_column(table["EmoClass"], LABELS, labels),
            "speaker": table["SpkrID"].replace("Unknown", ""),
            "gender": _translate_column(table["Gender"], GENDERS, labels),
            "language": "en",
            "split": _translate_column(table["Split_Set"], SPLITS, labels),
            "votes": _read_votes(labels.with_name("labels_detailed.csv"), names),
            "valence": _parse_numbers(table["EmoVal"], labels),
            "arousal": _parse_numbers(table["EmoAct"], labels),
            "dominance": _parse_numbers(table["EmoDom"], labels),
        }
    )
    return Manifest("msp_podcast", folder, manifest, unlabelled=_list_unlabelled(folder / audio, set(names)))


def _read_columns(file: Path, columns: Sequence[str], alternatives: Sequence[str] = ()) -> pd.DataFrame:
    """Read columns of a CSV file and at least one of the alternatives, as texts."""
    wanted = (*columns, *alternatives)
    try:
        table = pd.read_csv(
            file,
            dtype=str,
            keep_default_na=False,
            usecols=lambda name: name in wanted,
            encoding="utf-8-sig",
            encoding_errors="replace",
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise SeenetError(f"'{file}' is not a CSV file: {one_line(error)}") from error
    missing = [column for column in columns if column not in table]
    if not missing and alternatives and not set(alternatives) & set(table):
        missing = [" or ".join(alternatives)]
    if missing:
        raise SeenetError(f"'{file}' lacks the column {missing[0]}; expected a table of MSP-Podcast")
    return table


def _translate_column(column: "pd.Series[str]", codes: Mapping[str, str], file: Path) -> "pd.Series[str]":
    """Translate the labels of a column to shared names."""
    translated = column.map(codes)
    unknown = np.flatnonzero(translated.isna())
    if len(unknown):
        translate_label(column.iloc[unknown[0]], codes, f"'{file}' line {unknown[0] + 2} ({column.name})")
    return translated


def _parse_numbers(column: "pd.Series[str]", file: Path) -> "pd.Series[float]":
    """Parse a column of numbers; an empty cell becomes NaN."""
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = np.flatnonzero(numbers.isna() & ~column.str.lower().isin(["", "nan"]))
    if len(wrong):
        raise SeenetError(
            f"'{file}' line {wrong[0] + 2}: {column.name} is '{column.iloc[wrong[0]]}'; expected a number"
        )
    return numbers


def _read_votes(file: Path, names: "pd.Series[str]") -> "NDArray[Any] | str":
    """Read the raters' votes for each clip; empty if the file does not exist. Shape (clips,)."""
    if not file.is_file():
        return ""
    table = _read_columns(file, ("FileName",), ("EmoClass_Major", "EmoDetail"))
    if "EmoClass_Major" in table:
        choices = table["EmoClass_Major"]
    else:  # some releases have a complete line of labels.txt in one cell
        choices = table["EmoDetail"].str.split(";", n=2).str[1].str.strip().fillna("")
    choices = choices.where(~choices.str.startswith("Other"), "Other")  # free text of the rater follows
    emotions = pd.Categorical(_translate_column(choices, VOTES, file), categories=EMOTIONS).codes
    clips = pd.Index(names.unique()).get_indexer(table["FileName"])
    counts = np.zeros((len(names), len(EMOTIONS)), dtype=np.int64)  # (clips, emotions)
    np.add.at(counts, (clips[clips >= 0], emotions[clips >= 0]), 1)
    patterns, which = np.unique(counts, axis=0, return_inverse=True)
    return np.array([format_votes(np.repeat(EMOTIONS, pattern)) for pattern in patterns], dtype=object)[which.ravel()]


def _list_unlabelled(audio: Path, names: set[str]) -> list[str]:
    """List the audio files without a label, from one listing of the folder."""
    files = (path.name for path in audio.iterdir()) if audio.is_dir() else ()
    found = (name for name in files if name.lower().endswith(".wav") and not name.startswith("."))
    return sorted(f"{audio.name}/{name}" for name in found if name not in names)
