"""MSP-Podcast: spontaneous speech cut from podcasts, 264705 clips in release 2.0 (Lotfian & Busso 2019)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seenet.core.errors import SeenetError, one_line
from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest
from seenet.corpora.parsers._label_files import emotion_of, find_near, votes_of
from seenet.corpora.vocabulary import EMOTIONS, NO_AGREEMENT

# The releases spell the folders and the file in several ways.
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
    """Every labelled clip, those without agreement too.

    The raters' votes come from labels_detailed.csv where it lies beside the consensus. Valence, arousal (their
    activation) and dominance are the raters' means from 1 to 7. The transcripts, a file a clip, are not read.

    Args:
        root: the folder of Labels and Audios, or the one above it; None looks for `MSP-Podcast` below `SEENET_DATA`.

    Raises:
        SeenetError: no such folder, no label file in it, or a value in it that is none of MSP-Podcast's.
    """
    given = find_corpus_root(root, "msp_podcast", ("msp-podcast", "msp_podcast", "msppodcast"))
    labels = find_near(given, LABEL_FILES)
    if labels is None:
        raise SeenetError(
            f"no Labels/labels_consensus.csv in '{given}' or a folder below; dataset.root should hold Labels and Audios"
        )
    folder = labels.parents[1]
    audio = next((name for name in AUDIO_FOLDERS if (folder / name).is_dir()), AUDIO_FOLDERS[0])
    table = _table(labels, COLUMNS)
    names = table["FileName"]
    manifest = pd.DataFrame(
        {
            "utterance": names.str.removesuffix(".wav"),
            "path": f"{audio}/" + names,
            "emotion": _translated(table["EmoClass"], LABELS, labels),
            "speaker": table["SpkrID"].replace("Unknown", ""),
            "gender": _translated(table["Gender"], GENDERS, labels),
            "language": "en",
            "split": _translated(table["Split_Set"], SPLITS, labels),
            "votes": _votes(labels.with_name("labels_detailed.csv"), names),
            "valence": _numbers(table["EmoVal"], labels),
            "arousal": _numbers(table["EmoAct"], labels),
            "dominance": _numbers(table["EmoDom"], labels),
        }
    )
    return Manifest("msp_podcast", folder, manifest, unlabelled=_unlabelled(folder / audio, set(names)))


def _table(file: Path, columns: Sequence[str], either: Sequence[str] = ()) -> pd.DataFrame:
    """All of some columns of a CSV file and one of `either`, as texts."""
    wanted = (*columns, *either)
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
        raise SeenetError(f"'{file}' is no CSV file: {one_line(error)}") from error
    missing = [column for column in columns if column not in table]
    if not missing and either and not set(either) & set(table):
        missing = [" or ".join(either)]
    if missing:
        raise SeenetError(f"'{file}' lacks the column {missing[0]}; is it MSP-Podcast's?")
    return table


def _translated(column: "pd.Series[str]", codes: Mapping[str, str], file: Path) -> "pd.Series[str]":
    """A column in the shared names."""
    translated = column.map(codes)
    unknown = np.flatnonzero(translated.isna())
    if len(unknown):
        emotion_of(column.iloc[unknown[0]], codes, f"'{file}' line {unknown[0] + 2} ({column.name})")
    return translated


def _numbers(column: "pd.Series[str]", file: Path) -> "pd.Series[float]":
    """A column of numbers; NaN where it is empty."""
    numbers = pd.to_numeric(column, errors="coerce")
    wrong = np.flatnonzero(numbers.isna() & ~column.str.lower().isin(["", "nan"]))
    if len(wrong):
        raise SeenetError(
            f"'{file}' line {wrong[0] + 2}: {column.name} is '{column.iloc[wrong[0]]}'; expected a number"
        )
    return numbers


def _votes(file: Path, names: "pd.Series[str]") -> "NDArray[Any] | str":
    """The raters' votes for each clip; empty where no file has them. Shape (clips,)."""
    if not file.is_file():
        return ""
    table = _table(file, ("FileName",), ("EmoClass_Major", "EmoDetail"))
    if "EmoClass_Major" in table:
        said = table["EmoClass_Major"]
    else:  # some releases hold a rater's whole line of labels.txt in one cell
        said = table["EmoDetail"].str.split(";", n=2).str[1].str.strip().fillna("")
    said = said.where(~said.str.startswith("Other"), "Other")  # words of the rater's own stand behind it
    emotions = pd.Categorical(_translated(said, VOTES, file), categories=EMOTIONS).codes
    clips = pd.Index(names.unique()).get_indexer(table["FileName"])
    counts = np.zeros((len(names), len(EMOTIONS)), dtype=np.int64)  # (clips, emotions)
    np.add.at(counts, (clips[clips >= 0], emotions[clips >= 0]), 1)
    patterns, which = np.unique(counts, axis=0, return_inverse=True)
    return np.array([votes_of(np.repeat(EMOTIONS, pattern)) for pattern in patterns], dtype=object)[which.ravel()]


def _unlabelled(audio: Path, names: set[str]) -> list[str]:
    """The audio files that no label names; the folder is listed once and no file is touched."""
    files = (path.name for path in audio.iterdir()) if audio.is_dir() else ()
    found = (name for name in files if name.lower().endswith(".wav") and not name.startswith("."))
    return sorted(f"{audio.name}/{name}" for name in found if name not in names)
