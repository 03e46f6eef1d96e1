"""The files of a result: their schema, reading and writing (docs/results.md).

`<output_dir>/<run>/fold<k>/` holds the trained fold; a folder in it for each test condition holds
`result.json` and `predictions.csv`. A fold that has its result is never trained again.
"""

import csv
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seenet.core.atomic import atomic_path, atomic_write_text
from seenet.runs.identity import digest

SCHEMA = 5
"""Version of result.json and predictions.csv; docs/results.md describes it."""

READABLE = (3, 4, SCHEMA)
"""Schemas that reports read: 3 lacks `learned`; 4 lacks `test_hash` and the `parser` of a corpus."""

REUSABLE = (SCHEMA,)
"""Schemas of results that are reused. Keep 5 here: a new schema must not orphan finished runs."""

TRAINED = "trained.json"
"""The file that marks the training of a fold as finished."""

CURVES = ("fit_loss", "fit_auxiliary", "fit_ua", "fit_wa", "dev_loss", "dev_ua", "dev_wa", "dev_macro_f1")
"""The columns of curves.csv after `epoch`; `seconds` follows."""


def noise_label(condition: Mapping[str, Any]) -> list[str]:
    """Return words for a noise without its level: the source, unusual settings, a hash of others."""
    usual = {"source": condition.get("source"), "speakers": "not tested"}
    rest = {k: v for k, v in condition.items() if k not in ("seed", "snr_db") and usual.get(k) != v}
    seed, words = condition.get("seed", 0), [str(condition["source"])] if "source" in condition else []
    if words == ["babble"] and "speakers" not in condition:  # results older than `Babble.for_fold`
        words.append("of-tested-speakers")
    return words + ([f"seed{seed}"] if seed else []) + ([digest(rest)[:6]] if rest else [])


def condition_label(result: Mapping[str, Any]) -> str:
    """Return the name of the test condition of a result, e.g. `clean` or `snr5-babble`."""
    name, condition = result["noise"], result["condition"]
    level = condition.get("snr_db")
    as_named = level is None or name == f"snr{level:g}"
    return "-".join([name, *noise_label(condition), *([] if as_named else [f"{level:g}dB"])])


_RESULT_KEYS = (
    *("schema", "run_id", "test_hash", "fold", "noise", "condition", "metrics", "classes", "selection"),
    "trained_fold",
)
_METRICS_KEYS = ("ua", "wa", "macro_f1", "recall", "confusion")
_TRAINED_KEYS = ("best_epoch", "epochs", "seconds", "versions", "device", "precision", "compiled", "weights")


def read_result(folder: Path, run_id: str, test_hash: str, noise: str) -> dict[str, Any] | None:
    """Read the result in a test folder; None if it is missing, damaged, or of another schema, run, test or condition.

    Args:
        folder: of the test condition.
        run_id: of the training (`Run.run_id`).
        test_hash: of the test clips.
        noise: the condition's name.
    """
    result = read_object(folder / "result.json", _RESULT_KEYS)
    if result is None or result["schema"] not in REUSABLE:
        return None
    if (result["run_id"], result["test_hash"], result["noise"]) != (run_id, test_hash, noise):
        return None
    metrics = result["metrics"]
    return result if isinstance(metrics, dict) and all(key in metrics for key in _METRICS_KEYS) else None


def read_trained(folder: Path) -> dict[str, Any] | None:
    """Read the trained.json of a fold's folder; None if it is missing or damaged."""
    return read_object(folder / TRAINED, _TRAINED_KEYS)


def read_object(path: Path, keys: Collection[str]) -> dict[str, Any] | None:
    """Read a JSON object; None if the file is missing, damaged or holds something else.

    Args:
        path: the file.
        keys: what the object must have.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) and all(key in value for key in keys) else None


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically. A NaN is not JSON and raises ValueError."""
    atomic_write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_predictions(path: Path, classes: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write predictions.csv: utterance, speaker, session, label, prediction and one probability per class."""
    with atomic_path(path) as building, building.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_prediction_columns(classes))
        writer.writerows(rows)


def holds_predictions(path: Path, classes: Sequence[str], utterances: Sequence[str]) -> bool:
    """Return whether a file holds the predictions of some clips, as `write_predictions` wrote them.

    Args:
        path: the file; it may be missing or damaged.
        classes: names in their order.
        utterances: names of the clips, in any order.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        complete = header == _prediction_columns(classes) and sorted(row[0] for row in rows) == sorted(utterances)
        return complete and all(float(share) >= 0 for row in rows for share in row[5 : len(header)])
    except (FileNotFoundError, ValueError, IndexError, csv.Error):
        return False


def read_dev_probabilities(path: Path, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """Read the probabilities and labels of a file that `write_predictions` wrote; None where there is no such file.

    Args:
        path: the file.
        classes: names in their order.

    Returns:
        Probabilities, shape (clips, classes), and class numbers, shape (clips,).
    """
    if not path.is_file():
        return None
    with path.open(newline="", encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    numbers = {name: number for number, name in enumerate(classes)}
    labels = np.array([numbers[row[3]] for row in rows])
    return np.array([row[5:] for row in rows], dtype=float), labels


def _prediction_columns(classes: Sequence[str]) -> list[str]:
    return ["utterance", "speaker", "session", "label", "prediction", *(f"p_{c}" for c in classes)]
