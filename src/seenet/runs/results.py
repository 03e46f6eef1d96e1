"""A run's identity, its folder, and the result each fold leaves there (docs/results.md).

`<output_dir>/<run>/fold<k>/` holds the trained fold; a folder in it for each test condition holds
`result.json` and `predictions.csv`. A fold that has its result is never trained again.
"""

import csv
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from seenet.core.atomic import atomic_path, atomic_write_text
from seenet.runs.identity import digest

SCHEMA = 5
"""Version of result.json and predictions.csv; docs/results.md describes it."""

READABLE = (3, 4, SCHEMA)
"""What reports read: results of schema 3 lack `learned`; those of 4 lack `test_hash` and a corpus' `parser`."""

REUSABLE = (SCHEMA,)
"""Results that are reused; keep 5 here: a new schema must not orphan finished runs."""

TRAINED = "trained.json"
"""The file that says that a fold's training is finished."""

CURVES = ("fit_loss", "fit_auxiliary", "fit_ua", "fit_wa", "dev_loss", "dev_ua", "dev_wa", "dev_macro_f1")
"""The columns of curves.csv after `epoch`; `seconds` follows."""


def noise_label(condition: Mapping[str, Any]) -> list[str]:
    """What is added, level apart: the source, and what is not as usual; of settings without a short name a hash."""
    usual = {"source": condition.get("source"), "speakers": "not tested"}
    rest = {k: v for k, v in condition.items() if k not in ("seed", "snr_db") and usual.get(k) != v}
    seed, words = condition.get("seed", 0), [str(condition["source"])] if "source" in condition else []
    if words == ["babble"] and "speakers" not in condition:  # results older than `Babble.for_fold`
        words.append("of-tested-speakers")
    return words + ([f"seed{seed}"] if seed else []) + ([digest(rest)[:6]] if rest else [])


def condition_label(result: Mapping[str, Any]) -> str:
    """What the test condition of a result is called, e.g. `clean` or `snr5-babble`; other settings, another name."""
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
    """Read the result in a test folder; None where it is missing, torn, of another schema, run, test or condition.

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
    """Read the trained.json of a fold's folder; None where it is missing, torn or something else."""
    return read_object(folder / TRAINED, _TRAINED_KEYS)


def read_object(path: Path, keys: Collection[str]) -> dict[str, Any] | None:
    """Read a JSON object; None where the file is missing, torn or holds something else.

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
    """Write JSON so that it is never seen half written. A NaN would not be JSON and is an error."""
    atomic_write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_predictions(path: Path, classes: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write predictions.csv: utterance, speaker, session, label, prediction and one probability column a class."""
    with atomic_path(path) as building, building.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_prediction_columns(classes))
        writer.writerows(rows)


def holds_predictions(path: Path, classes: Sequence[str], utterances: Sequence[str]) -> bool:
    """Whether a file holds the predictions of some clips, as `write_predictions` wrote them.

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


def _prediction_columns(classes: Sequence[str]) -> list[str]:
    return ["utterance", "speaker", "session", "label", "prediction", *(f"p_{c}" for c in classes)]
