"""A run's identity, its folder, and the result each fold leaves there (docs/results.md).

`<output_dir>/<run>/fold<k>/` holds the trained fold; a folder in it for each test condition holds
`result.json` and `predictions.csv`. A fold that has its result is never trained again.
"""

import csv
import hashlib
import importlib.metadata
import json
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seenet.folds import Fold, PlannedFold
from seenet.paths import conf_dir, whole, write_whole

SCHEMA = 4
"""Version of result.json and predictions.csv; docs/results.md describes it."""

READABLE = (3, SCHEMA)
"""What reports read: results of schema 3 lack `learned`."""

LEARNING = 3
"""Raised where the same settings learn something else, so that no older training is reused: 2 trains pretrained
backbones in training mode, 3 initialises the main head as the original and keeps a clip's length under `aug=speed`."""

TRAINED = "trained.json"
"""The file that says that a fold's training is finished."""

CURVES = ("fit_loss", "fit_auxiliary", "fit_ua", "fit_wa", "dev_loss", "dev_ua", "dev_wa", "dev_macro_f1")
"""The columns of curves.csv after `epoch`; `seconds` follows."""

UNLEARNED = ("output_dir", "fold", "noise", "logger", "trainer", "classes", "test_dataset", "sweep")
"""Top-level settings that do not change what is learned, or whose resolved form is added (trainer, classes, tests)."""

WAYS = ("attention", "fast_layers", "checkpointing")
"""Settings of a backbone that lead to the same figures, but for rounding."""

RECORDED = (
    *("seenet", "torch", "torchaudio", "transformers", "lightning", "torchmetrics"),
    *("hydra-core", "omegaconf", "numpy", "scikit-learn", "soxr", "soundfile"),
)


def _plain(value: Any) -> Any:
    """A JSON value in which 6.0 is 6."""
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def digest(value: object) -> str:
    """Twelve hexadecimal digits that stand for a JSON value; equal numbers are equal, however written."""
    text = json.dumps(_plain(value), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def versions() -> dict[str, str]:
    """Versions of the packages that matter to a result."""
    return {name: importlib.metadata.version(name) for name in RECORDED}


def git_commit() -> str | None:
    """The checkout's commit, with `-dirty` where files differ from it; None for an installed wheel."""
    root = conf_dir().parent
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # no git here, or no commit yet: there is none to name
        return None


def identity(config: Mapping[str, Any], learned: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that changes what is learned.

    Args:
        config: the resolved configuration.
        learned: what the configuration alone does not tell: the corpus' content, the classes, the weights, the
            precision.
    """
    kept = {key: value for key, value in config.items() if key not in UNLEARNED}
    kept["aug"] = list(kept["aug"].items())  # their order matters, and a hash of a mapping knows none
    kept["data"] = {k: v for k, v in kept["data"].items() if k != "num_workers"}
    dataset = kept["dataset"]
    kept["dataset"] = {"scheme": dataset["schemes"].get(dataset["folds"])}
    kept["backbone"] = {k: v for k, v in kept["backbone"].items() if k not in ("path", *WAYS)}
    return {"config": kept, "learning": LEARNING, "seenet": importlib.metadata.version("seenet"), **learned}


def names_of(config: Mapping[str, Any]) -> dict[str, str]:
    """What a run is called after: the choice of each group; augmentations are joined by `+`."""
    groups = ("backbone", "pooling", "aux_task", "protocol")
    return {"aug": "+".join(config["aug"]), **{group: config[group]["name"] for group in groups}}


@dataclass(frozen=True)
class Run:
    """All folds of one configuration and seed.

    Attributes:
        folder: of the run.
        base: the identity, without the fold.
    """

    folder: Path
    base: Mapping[str, Any]

    @classmethod
    def of(cls, output_dir: Path, corpus: str, config: Mapping[str, Any], learned: Mapping[str, Any]) -> "Run":
        """The run that a resolved configuration describes."""
        base = identity(config, learned)
        names = names_of(config)
        chosen = [names[group] for group in ("backbone", "aug", "aux_task", "protocol")]
        return cls(output_dir / "-".join([corpus, *chosen, f"seed{config['seed']}", digest(base)]), base)

    def run_id(self, fold: int) -> str:
        """The hash that names one fold's training."""
        return digest({**self.base, "fold": fold})

    def fold_folder(self, fold: Fold | PlannedFold) -> Path:
        """Where a fold's training lies; folds with the same training share it."""
        return self.folder / f"fold{fold.training}"

    def test_folder(self, fold: Fold | PlannedFold, name: str, settings: Mapping[str, object]) -> Path:
        """Where the results of a fold under one test condition lie.

        Args:
            fold: the fold.
            name: of the condition.
            settings: what tells it from others of that name.
        """
        condition = name + (f"-{digest(settings)}" if settings else "")
        return self.fold_folder(fold) / (
            condition if fold.number == fold.training else f"{condition}-fold{fold.number}"
        )


def noise_of(condition: Mapping[str, Any]) -> list[str]:
    """What is added, level apart: the source, and what is not as usual; of settings without a short name a hash."""
    usual = {"source": condition.get("source"), "speakers": "not tested"}
    rest = {k: v for k, v in condition.items() if k not in ("seed", "snr_db") and usual.get(k) != v}
    seed, words = condition.get("seed", 0), [str(condition["source"])] if "source" in condition else []
    if words == ["babble"] and "speakers" not in condition:  # results older than `Babble.for_fold`
        words.append("of-tested-speakers")
    return words + ([f"seed{seed}"] if seed else []) + ([digest(rest)[:6]] if rest else [])


def condition_of(result: Mapping[str, Any]) -> str:
    """What the test condition of a result is called, e.g. `clean` or `snr5-babble`; other settings, another name."""
    name, condition = result["noise"], result["condition"]
    level = condition.get("snr_db")
    as_named = level is None or name == f"snr{level:g}"
    return "-".join([name, *noise_of(condition), *([] if as_named else [f"{level:g}dB"])])


_RESULT_KEYS = ("schema", "run_id", "fold", "noise", "condition", "metrics", "classes", "selection", "trained_fold")
_METRICS_KEYS = ("ua", "wa", "macro_f1", "recall", "confusion")
_TRAINED_KEYS = ("best_epoch", "epochs", "seconds", "versions", "device", "precision", "compiled", "weights")


def read_result(folder: Path, run_id: str, noise: str) -> dict[str, Any] | None:
    """Read the result in a test folder; None where it is missing, torn, of another schema, run or condition.

    Args:
        folder: of the test condition.
        run_id: of the fold (`Run.run_id`).
        noise: the condition's name.
    """
    result = read_object(folder / "result.json", _RESULT_KEYS)
    if result is None or (result["schema"], result["run_id"], result["noise"]) != (SCHEMA, run_id, noise):
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
    write_whole(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_predictions(path: Path, classes: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write predictions.csv: utterance, speaker, session, label, prediction and one probability column a class."""
    with whole(path) as building, building.open("w", newline="", encoding="utf-8") as file:
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
