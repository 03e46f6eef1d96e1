"""Files of a fold besides its checkpoints: predictions, embeddings, misclassified clips, curves, pictures."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from seenet.audio.reading import RATE
from seenet.core.atomic import atomic_path
from seenet.core.console import warn_on_failure
from seenet.corpora.folds import Fold
from seenet.models.prediction import Prediction
from seenet.reporting.run_plots import describe_selection_part, plot_confusion, plot_learning_curves
from seenet.runs.directory import main_choices, names_of
from seenet.runs.results import CURVES, condition_label, holds_predictions, write_json, write_predictions
from seenet.training.experiment import Experiment

MAX_MISCLASSIFIED = 8
"""Number of the most confident misclassified clips of a fold whose audio is written."""


class FoldArtifacts:
    """Writes the files of one fold.

    Args:
        experiment: the experiment.
        fold: the fold.
        folder: of the fold's training.
    """

    def __init__(self, experiment: Experiment, fold: Fold, folder: Path):
        self.experiment, self.fold, self.folder = experiment, fold, folder

    @property
    def dev_predictions(self) -> Path:
        """The predictions of the development part."""
        return self.folder / "dev_predictions.csv"

    def has_dev_predictions(self) -> bool:
        """Return whether the predictions of the development part are complete."""
        utterances = self.experiment.manifest.column("utterance")[self.fold.dev]
        return holds_predictions(self.dev_predictions, self.experiment.classes, utterances.tolist())

    def write_predictions(self, path: Path, predictions: Sequence[Prediction]) -> None:
        """Write predictions as CSV, one row per clip."""
        write_predictions(path, self.experiment.classes, self._rows(predictions))

    def write_result(self, folder: Path, result: dict[str, Any], predictions: Sequence[Prediction]) -> dict[str, Any]:
        """Write everything of one test condition; result.json comes last and marks the folder as complete.

        Args:
            folder: of the test condition.
            result: the content of result.json.
            predictions: of the test part.

        Returns:
            `result`.
        """
        self.write_predictions(folder / "predictions.csv", predictions)
        with atomic_path(folder / "embeddings.npy") as path, path.open("wb") as file:
            np.save(file, np.stack([prediction.embedding for prediction in predictions]))
        metrics, label = result["metrics"], condition_label(result)
        if not result["condition"]:
            with warn_on_failure(f"fold {self.fold.number}: mistakes"):
                self._write_misclassified(folder / "mistakes", predictions)
        with warn_on_failure(f"fold {self.fold.number}: confusion.png"):
            title = f"{self._title()}, {label}\nUA {100 * metrics['ua']:.1f} %, WA {100 * metrics['wa']:.1f} %"
            plot_confusion(metrics["confusion"], self.experiment.classes, title, folder / "confusion.png")
        write_json(folder / "result.json", result)
        return result

    def write_curves(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write curves.csv, one row per epoch."""
        with atomic_path(self.folder / "curves.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["epoch", *CURVES, "seconds"])
            writer.writeheader()
            writer.writerows(rows)

    def draw_curves(self, label: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write curves.png; a failure is a warning."""
        picture = self.folder / "curves.png"
        with warn_on_failure(f"{label}: {picture.name}"):
            selection = describe_selection_part(self.experiment.protocol.selection)
            plot_learning_curves({label: rows}, selection, self._title(), picture)

    def _rows(self, predictions: Sequence[Prediction]) -> list[list[Any]]:
        """Return the rows of predictions.csv."""
        manifest, classes = self.experiment.manifest, self.experiment.classes
        columns = [manifest.column(name) for name in ("utterance", "speaker", "session", "emotion")]
        rows = []
        for prediction in predictions:
            k, p = prediction.index, prediction.probabilities
            rows.append([*(column[k] for column in columns), classes[p.index(max(p))], *p])
        return rows

    def _write_misclassified(self, folder: Path, predictions: Sequence[Prediction]) -> None:
        """Write the most confident misclassified clips as MP3, named after their row in predictions.csv."""
        rows = self._rows(predictions)
        wrong = [number for number, (_, _, _, label, predicted, *_) in enumerate(rows) if label != predicted]
        wrong.sort(key=lambda number: -max(rows[number][5:]))
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.iterdir():  # of a killed process
            old.unlink()
        for number in wrong[:MAX_MISCLASSIFIED]:
            clip = self.experiment.store.waveform(predictions[number].index)
            encoded = io.BytesIO()  # libsndfile does not report a full disk
            soundfile.write(encoded, np.clip(clip, -1, 1), RATE, format="MP3")
            with atomic_path(folder / f"{number}.mp3") as path:
                path.write_bytes(encoded.getvalue())

    def _title(self) -> str:
        manifest = self.experiment.manifest
        corpus = f"{manifest.name}{' (SYNTHETIC)' if manifest.synthetic else ''}"
        chosen = ", ".join(main_choices(names_of(self.experiment.config)))
        return f"{corpus}, test fold {f'{self.fold.number} {self.fold.name}'.strip()}: {chosen}"
