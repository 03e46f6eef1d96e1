"""Loading of results and of the job records of sweeps (docs/results.md)."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from seenet.core.console import print_line
from seenet.core.errors import SeenetError, one_line
from seenet.runs.results import READABLE, condition_label, read_object

REQUIRED_FIELDS = {
    *("run_id", "dataset", "fold", "n_folds", "seed", "noise", "condition", "classes", "config", "selection", "n_test"),
    *("metrics", "audit", "corpora", "bad_files", "synthetic", "trained_fold", "test_part", "versions", "seconds"),
}
"""Fields of result.json that every report needs."""

T = TypeVar("T")


def is_cross_corpus(facts: Mapping[str, Any]) -> bool:
    """Return whether a result tests on a corpus without training on it."""
    return facts["config"].get("test_dataset") is not None


@dataclass(frozen=True)
class LoadedResult:
    """A result and its folder.

    Attributes:
        facts: the content of result.json.
        folder: the folder of the test condition; its parent is the folder of the fold.
        display_path: the folder relative to the parent of the requested folder.
    """

    facts: Mapping[str, Any]
    folder: Path
    display_path: str

    @property
    def fold_and_seed(self) -> tuple[int | str, int]:
        """Fold and seed; the name of a test corpus replaces the fold.

        The fold number of a test corpus depends on the other test corpora.
        """
        return self.facts["test_part" if is_cross_corpus(self.facts) else "fold"], self.facts["seed"]

    @property
    def condition(self) -> str:
        """Label of the test condition, such as `clean` or `snr5-babble`."""
        return condition_label(self.facts)

    @cached_property
    def predictions(self) -> pd.DataFrame | None:
        """Content of predictions.csv; None if the file is missing or damaged."""
        return read_predictions(self.folder / "predictions.csv", self.facts["classes"], self.facts["n_test"])

    @cached_property
    def dev_predictions(self) -> pd.DataFrame | None:
        """Predictions for the development part; None if the file is missing or damaged."""
        return read_predictions(self.folder.parent / "dev_predictions.csv", self.facts["classes"])

    @property
    def curves(self) -> pd.DataFrame | None:
        """Learning curves, one row per epoch; None if the file is missing or damaged."""
        return _read_optional(self.folder.parent / "curves.csv", pd.read_csv)

    @property
    def embeddings(self) -> np.ndarray | None:
        """Pooled vectors, shape (clips, dim); None if the file is missing or damaged."""
        vectors = _read_optional(self.folder / "embeddings.npy", np.load)
        return None if vectors is None or len(vectors) != self.facts["n_test"] else vectors.astype(np.float32)

    def find_audio(self, row: int) -> Path | None:
        """Return the audio file of a row of predictions.csv; None if the run did not save it."""
        path = self.folder / "mistakes" / f"{row}.mp3"
        return path if path.is_file() else None


@dataclass(frozen=True)
class ResultSet:
    """All results below the requested folders.

    Attributes:
        results: each result once, in the order of their folders.
        failed: settings and error of each failed job.
        remarks: files that were skipped, and the reasons.
    """

    results: list[LoadedResult]
    failed: list[tuple[str, str]]
    remarks: list[str]


def _read_optional(path: Path, read: Callable[[Path], T]) -> T | None:
    """Read a file of a result; return None if it is missing or damaged, and print damaged ones."""
    if not path.is_file():
        return None
    try:
        return read(path)
    except (ValueError, EOFError, KeyError) as error:  # pandas and numpy raise these for damaged files
        print_line(f"! '{path}' is damaged ({one_line(error)}); the report omits it")
        return None


def read_predictions(path: Path, classes: Sequence[str], clips: int | None = None) -> pd.DataFrame | None:
    """Return the rows of a predictions.csv; None if the file is missing or damaged.

    Args:
        path: the file.
        classes: the class names, for which it must have probabilities.
        clips: the required number of rows; None accepts any.
    """

    def read(path: Path) -> pd.DataFrame:
        types = dict.fromkeys(("utterance", "speaker", "session", "label", "prediction"), str)
        rows = pd.read_csv(path, dtype=types, keep_default_na=False)  # "NA" is a valid name of a clip
        missing = {"utterance", "speaker", "label", "prediction", *(f"p_{c}" for c in classes)} - set(rows)
        if missing:
            raise ValueError(f"it lacks the column {min(missing)}")
        if clips is not None and len(rows) != clips:
            raise ValueError(f"it has {len(rows)} rows, the test had {clips} clips")
        extract_probabilities(rows, classes)
        return rows

    return _read_optional(path, read)


def extract_probabilities(predictions: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Return the class probabilities of predictions, shape (clips, classes)."""
    probabilities: np.ndarray = predictions[[f"p_{c}" for c in classes]].to_numpy(dtype=float)
    return probabilities


def encode_classes(names: pd.Series, classes: Sequence[str]) -> np.ndarray:
    """Return class names as class indices, shape (clips,)."""
    codes: np.ndarray = pd.Categorical(names, categories=list(classes)).codes
    return codes.astype(int)


@dataclass
class _Scan:
    """State of the search for results.

    Attributes:
        results: by run, fold and test condition.
        unreadable_schemas: folder and schema of results that this version cannot read.
        job_records: by overrides; a later sweep replaces the record of an earlier one, where the job may have failed.
        damaged_records: job records that are not valid JSON objects.
        foreign: result.json files that are damaged or from another program.
        missing_count: number of results that job records name but that do not exist.
    """

    results: dict[str, LoadedResult] = field(default_factory=dict)
    unreadable_schemas: list[tuple[str, Any]] = field(default_factory=list)
    job_records: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    damaged_records: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    missing_count: int = 0

    def add_folder(self, folder: Path) -> None:
        """Add every result below a folder, and the results that job records below it name."""
        bases = {path: folder for path in sorted(folder.rglob("result.json"))}
        for record_path in sorted(folder.rglob("arm.json")):
            record = read_object(record_path, ("overrides", "results", "error"))
            if record is None:
                self.damaged_records.append(record_path.as_posix())
                continue
            self.job_records[tuple(record["overrides"])] = record
            for named in record["results"]:
                path = _locate_result(record_path, named)
                if path is None:
                    self.missing_count += 1
                else:
                    bases.setdefault(path, path.parents[3])
        for path, base in bases.items():
            self.add_result(path, base)

    def add_result(self, path: Path, base: Path) -> None:
        """Add one result.json; `base` is the folder in which the displayed path starts."""
        facts = read_object(path, ("schema",))
        if facts is None or (facts["schema"] in READABLE and not facts.keys() >= REQUIRED_FIELDS):
            self.foreign.append(path.as_posix())
            return
        display_path = path.parent.resolve().relative_to(base.resolve().parent).as_posix()
        if facts["schema"] not in READABLE:
            self.unreadable_schemas.append((display_path, facts["schema"]))
            return
        test = facts["fold"], facts["test_part"], facts["noise"], facts["condition"]
        key = json.dumps([facts["run_id"], *test], sort_keys=True)
        self.results.setdefault(key, LoadedResult(facts, path.parent, display_path))

    def list_remarks(self) -> list[str]:
        """Return one remark for each kind of skipped file."""
        remarks = []
        if old := self.unreadable_schemas:
            remarks.append(
                f"{len(old)} results of another schema are omitted (run the same command again): {old[0][0]}"
                + (" and others" if len(old) > 1 else "")
            )
        remarks += [
            f"'{path}' is not a complete job record and is skipped; the report cannot show whether this job failed"
            for path in self.damaged_records
        ]
        remarks += [f"'{path}' is damaged or from another program and is omitted" for path in self.foreign]
        if self.missing_count:
            remarks.append(f"{self.missing_count} results of the sweep do not exist any more")
        return remarks


def _locate_result(record: Path, named: str) -> Path | None:
    """Return the result.json of a folder in a job record; None if it does not exist.

    The path of the folder may be relative to the working directory of the sweep.
    """
    for base in (Path(), *record.resolve().parents):
        path = base / named / "result.json"
        if path.is_file():
            return path
    return None


def load_results(folders: Sequence[Path]) -> ResultSet:
    """Load every result below some folders, and the results of sweeps below them.

    Raises:
        SeenetError: if a folder does not exist or no result has a schema that this version reads.
    """
    scan = _Scan()
    for folder in folders:
        if not folder.is_dir():
            raise SeenetError(f"'{folder}' is not a folder: expected output folders of seenet-train, such as outputs/")
        scan.add_folder(folder)
    if scan.unreadable_schemas and not scan.results:
        path, schema = scan.unreadable_schemas[0]
        readable = " and ".join(map(str, READABLE))
        raise SeenetError(
            f"'{path}' holds a result of schema {schema}, and this version of seenet reads {readable}; "
            "run the same seenet-train command again"
        )
    if not scan.results:
        named = ", ".join(repr(str(folder)) for folder in folders)
        raise SeenetError(
            f"no result below {named}: expected output folders of seenet-train"
            + (f" ('{scan.foreign[0]}' is damaged or from another program)" if scan.foreign else "")
        )
    failed = [(" ".join(words), record["error"]) for words, record in scan.job_records.items() if record["error"]]
    return ResultSet(list(scan.results.values()), failed, scan.list_remarks())
