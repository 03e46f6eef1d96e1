"""What the runners of a fold have in common: the test, its files and the self-contained model."""

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from seenet.core.processes import decide_on_rank_zero
from seenet.corpora.folds import Fold
from seenet.data.conditions.base import TestCondition
from seenet.models.classifier import EmotionClassifier
from seenet.models.factory import ModelSpec
from seenet.models.prediction import Prediction
from seenet.runs.bundle import MODEL_JSON, fit_dev_temperature, write_bundle
from seenet.training.artifacts import FoldArtifacts
from seenet.training.experiment import Experiment


class Runner(ABC):
    """Trains and tests one fold.

    Args:
        experiment: the experiment.
        fold: the fold.
        folder: of the training; None takes the fold's folder in the run.

    Attributes:
        spec: description of the model.
    """

    spec: ModelSpec

    def __init__(self, experiment: Experiment, fold: Fold, folder: Path | None = None):
        self.experiment, self.fold = experiment, fold
        self.folder = folder or experiment.fold_folder(fold.number)
        self.artifacts = FoldArtifacts(experiment, fold, self.folder)

    @abstractmethod
    def read_trained(self, label: str) -> dict[str, Any] | None:
        """Read trained.json; None, after a line with the reason, if the fold must be trained (again)."""

    @abstractmethod
    def train(self, label: str, made_with: Mapping[str, Any]) -> dict[str, Any]:
        """Train the model and write trained.json; return its content."""

    @abstractmethod
    def load_trained(self) -> None:
        """Load the trained model."""

    @abstractmethod
    def predict_dev(self) -> Sequence[Prediction]:
        """Predict the development part."""

    @abstractmethod
    def predict_test(self, condition: TestCondition) -> tuple[Sequence[Prediction], Mapping[str, Tensor]]:
        """Predict the test part under a condition.

        Args:
            condition: for this fold.

        Returns:
            Predictions and the values of `ConfusionMetric`.
        """

    def layer_weights(self) -> dict[str, Any] | None:
        """Return the learned weights of encoder layers, as result.json records them; None without any."""
        return None

    @abstractmethod
    def merged_classifier(self) -> EmotionClassifier:
        """Return the model with the architecture of its configuration."""

    @abstractmethod
    def shared_names(self) -> set[str]:
        """Return the names of the tensors that are equal in every fold of the run."""

    def test(self, folder: Path, condition: TestCondition, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Test the best epoch and write predictions.csv, embeddings.npy, confusion.png and, last, result.json.

        In clean conditions it also writes the audio of misclassified clips. The first test also predicts the
        development part.

        Args:
            folder: of the test condition.
            condition: what is done to the clips.
            facts: the fields of result.json that are known before the test.

        Returns:
            What result.json holds.
        """
        start = time.perf_counter()
        self.load_trained()
        if self.experiment.protocol.selection == "dev" and not decide_on_rank_zero(self.artifacts.has_dev_predictions):
            path, of_dev = self.artifacts.dev_predictions, self.predict_dev()
            decide_on_rank_zero(lambda: self.artifacts.write_predictions(path, of_dev))
        decide_on_rank_zero(lambda: self._write_bundle(facts))
        noise = condition.for_fold(self.fold)
        predictions, figures = self.predict_test(noise)
        remark = "; ".join(filter(None, (facts["remark"], noise.remark)))
        seconds = facts["seconds"] + time.perf_counter() - start
        known = {**facts, "remark": remark, "layer_weights": self.layer_weights()}
        result = {**known, "metrics": self._metrics(figures), "seconds": seconds}
        return decide_on_rank_zero(lambda: self.artifacts.write_result(folder, result, predictions))

    def save_model(self, facts: Mapping[str, Any]) -> None:
        """Write the self-contained model of a training without a test.

        Args:
            facts: the fields of result.json that are known before a test.
        """
        self.load_trained()
        decide_on_rank_zero(lambda: self._write_bundle(facts))

    def _metrics(self, values: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the metrics of the last test, as result.json records them."""
        classes = self.experiment.classes
        recall = {c: None if r != r else r for c, r in zip(classes, values["recall"].tolist(), strict=True)}
        metrics = {name: values[name].item() for name in ("ua", "wa", "macro_f1")}
        return metrics | {"recall": recall, "confusion": values["confusion"].tolist()}

    def _write_bundle(self, facts: Mapping[str, Any]) -> None:
        """Write the self-contained model of the best epoch, unless it is there."""
        if (self.folder / MODEL_JSON).is_file():
            return
        copied = ("dataset", "synthetic", "protocol", "selection", "run_id", "trained_fold", "seed", "n_train")
        training = {name: facts[name] for name in (*copied, "best_epoch", "weights", "corpora")}
        temperature = fit_dev_temperature(self.artifacts.dev_predictions, self.experiment.classes)
        if (chosen_by := self.experiment.cross_validation) is not None:
            training["cross_validation"], temperature = chosen_by.to_json(), chosen_by.temperature
        write_bundle(
            self.folder,
            self.merged_classifier(),
            self.spec,
            max_seconds=self.experiment.config["data"]["max_seconds"],
            temperature=temperature,
            training=training,
            shared=self.shared_names(),
        )
