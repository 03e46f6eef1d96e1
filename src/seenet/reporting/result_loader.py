"""The results below some folders, and what sweeps noted there (docs/results.md)."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from seenet.core.console import print_line
from seenet.core.errors import SeenetError, one_line
from seenet.runs.results import READABLE, condition_label, read_object

NEEDED = {
    *("run_id", "dataset", "fold", "n_folds", "seed", "noise", "condition", "classes", "config", "selection", "n_test"),
    *("metrics", "audit", "corpora", "bad_files", "synthetic", "trained_fold", "test_part", "versions", "seconds"),
}
"""Fields of result.json without which nothing can be reported."""

T = TypeVar("T")


def is_cross_corpus(facts: Mapping[str, Any]) -> bool:
    """Whether a result tests on a corpus that it did not train on."""
    return facts["config"].get("test_dataset") is not None


@dataclass(frozen=True)
class LoadedResult:
    """A result where it lies.

    Attributes:
        facts: what its result.json holds.
        folder: of the test condition; the fold's folder is its parent.
        where: the folder in words: from the folder that was asked for.
    """

    facts: Mapping[str, Any]
    folder: Path
    where: str

    @property
    def part(self) -> tuple[int | str, int]:
        """Fold and seed; of a test corpus its name, for its number depends on what else was tested with it."""
        return self.facts["test_part" if is_cross_corpus(self.facts) else "fold"], self.facts["seed"]

    @property
    def condition(self) -> str:
        """What the test condition is called, e.g. `clean` or `snr5-babble`."""
        return condition_label(self.facts)

    @cached_property
    def predictions(self) -> pd.DataFrame | None:
        """What predictions.csv holds, or None where there is none or a damaged one."""
        return read_predictions(self.folder / "predictions.csv", self.facts["classes"], self.facts["n_test"])

    @cached_property
    def dev_predictions(self) -> pd.DataFrame | None:
        """The same of the development part."""
        return read_predictions(self.folder.parent / "dev_predictions.csv", self.facts["classes"])

    @property
    def curves(self) -> pd.DataFrame | None:
        """Learning curves, one row an epoch."""
        return _read(self.folder.parent / "curves.csv", pd.read_csv)

    @property
    def embeddings(self) -> np.ndarray | None:
        """One row for each of predictions.csv. Shape (clips, dim)."""
        vectors = _read(self.folder / "embeddings.npy", np.load)
        return None if vectors is None or len(vectors) != self.facts["n_test"] else vectors.astype(np.float32)

    def sound(self, row: int) -> Path | None:
        """The file with the sound of a row of predictions.csv, where the run left one."""
        path = self.folder / "mistakes" / f"{row}.mp3"
        return path if path.is_file() else None


@dataclass(frozen=True)
class ResultSet:
    """Everything below the folders.

    Attributes:
        results: in the order of their folders, each once.
        failed: of each job of a sweep that failed its settings and what went wrong.
        remarks: what was passed over, and why.
    """

    results: list[LoadedResult]
    failed: list[tuple[str, str]]
    remarks: list[str]


def _read(path: Path, read: Callable[[Path], T]) -> T | None:
    """Read a file of a result; None where there is none, or a damaged one, which is named."""
    if not path.is_file():
        return None
    try:
        return read(path)
    except (ValueError, EOFError, KeyError) as error:  # what pandas and numpy raise for damaged files
        print_line(f"! '{path}' is damaged ({one_line(error)}); the report does without it")
        return None


def read_predictions(path: Path, classes: Sequence[str], clips: int | None = None) -> pd.DataFrame | None:
    """Return the rows of a predictions.csv, or None where there is no such file, or a damaged one, which is named.

    Args:
        path: the file.
        classes: whose probabilities it must hold.
        clips: how many rows it must have; None where that is not known.
    """

    def read(path: Path) -> pd.DataFrame:
        names = dict.fromkeys(("utterance", "speaker", "session", "label", "prediction"), str)
        rows = pd.read_csv(path, dtype=names, keep_default_na=False)  # a clip may be called "NA"
        lacking = {"utterance", "speaker", "label", "prediction", *(f"p_{c}" for c in classes)} - set(rows)
        if lacking:
            raise ValueError(f"it lacks the column {min(lacking)}")
        if clips is not None and len(rows) != clips:
            raise ValueError(f"it has {len(rows)} rows, the test had {clips} clips")
        probabilities(rows, classes)
        return rows

    return _read(path, read)


def probabilities(predictions: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Shape (clips, classes)."""
    return predictions[[f"p_{c}" for c in classes]].to_numpy(dtype=float)


def codes(names: pd.Series, classes: Sequence[str]) -> np.ndarray:
    """The numbers of class names. Shape (clips,)."""
    return pd.Categorical(names, categories=list(classes)).codes.astype(int)


def load_results(folders: Sequence[Path]) -> ResultSet:
    """Read every result below some folders, and those that sweeps below them name.

    Raises:
        SeenetError: a folder does not exist, or there is no result of a schema that this version reads.
    """
    found: dict[str, LoadedResult] = {}
    old: list[tuple[str, Any]] = []
    notes: dict[tuple[str, ...], dict[str, Any]] = {}
    lost = 0
    torn: list[str] = []
    foreign: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            raise SeenetError(f"'{folder}' is not a folder; give folders that seenet-train left, such as outputs/")
        paths = {path: folder for path in sorted(folder.rglob("result.json"))}
        for note_path in sorted(folder.rglob("arm.json")):
            note = read_object(note_path, ("overrides", "results", "error"))
            if note is None:
                torn.append(note_path.as_posix())
                continue
            notes[tuple(note["overrides"])] = note  # a later sweep may have put right what failed in an earlier one
            for named in note["results"]:
                path = _result_of(note_path, named)
                if path is None:
                    lost += 1
                else:
                    paths.setdefault(path, path.parents[3])
        for path, base in paths.items():
            facts = read_object(path, ("schema",))
            if facts is None or (facts["schema"] in READABLE and not facts.keys() >= NEEDED):
                foreign.append(path.as_posix())
                continue
            where = path.parent.resolve().relative_to(base.resolve().parent).as_posix()
            if facts["schema"] not in READABLE:
                old.append((where, facts["schema"]))
                continue
            tested = facts["fold"], facts["test_part"], facts["noise"], facts["condition"]
            key = json.dumps([facts["run_id"], *tested], sort_keys=True)
            found.setdefault(key, LoadedResult(facts, path.parent, where))
    if old and not found:
        where, schema = old[0]
        readable = " and ".join(map(str, READABLE))
        raise SeenetError(
            f"'{where}' holds a result of schema {schema}, and this version of seenet reads {readable}; "
            "run the same seenet-train command again"
        )
    if not found:
        named = ", ".join(repr(str(f)) for f in folders)
        raise SeenetError(
            f"no result below {named}; give folders of seenet-train"
            + (f" ('{foreign[0]}' is torn or of another program)" if foreign else "")
        )
    remarks = []
    if old:
        remarks.append(
            f"{len(old)} results of another schema are left out (run the same command again): {old[0][0]}"
            + (" and others" if len(old) > 1 else "")
        )
    remarks += [
        f"'{path}' is no whole note of a job, and is passed over: its failure would not be seen" for path in torn
    ]
    remarks += [f"'{path}' is torn or of another program, and is left out" for path in foreign]
    if lost:
        remarks.append(f"{lost} results that a sweep names are not there any more")
    failed = [(" ".join(words), note["error"]) for words, note in notes.items() if note["error"]]
    return ResultSet(list(found.values()), failed, remarks)


def _result_of(note: Path, named: str) -> Path | None:
    """The result that a sweep's note names; its path may be relative to the folder the sweep was started in."""
    for base in (Path(), *note.resolve().parents):
        path = base / named / "result.json"
        if path.is_file():
            return path
    return None
