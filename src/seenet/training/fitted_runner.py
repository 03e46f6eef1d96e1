"""One fold of a head that is fitted to the features of a frozen encoder: no epochs, no gradients."""

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seenet.core.console import print_line
from seenet.core.errors import SeenetError
from seenet.core.processes import decide_on_rank_zero
from seenet.core.seeds import INITIALISATION, derive_seed
from seenet.corpora.folds import Fold
from seenet.corpora.split_schemes import Indices
from seenet.data.conditions.base import TestCondition
from seenet.data.conditions.clean import Clean
from seenet.data.dataset import FoldPart
from seenet.data.targets import TargetSpec
from seenet.evaluation.calibration import fit_temperature
from seenet.evaluation.fold_metrics import ConfusionMetric
from seenet.features.extraction import FeatureExtractor
from seenet.models.classifier import EmotionClassifier
from seenet.models.factory import ModelSpec, build_classifier
from seenet.models.heads.fitted import FittedHead, standardize_speakers
from seenet.models.prediction import Prediction
from seenet.runs.results import TRAINED, write_json
from seenet.training.cached_parts import make_copies, make_extractor
from seenet.training.experiment import Experiment
from seenet.training.fold_runner import count_tensors
from seenet.training.runner import Runner

LARGEST_HALF = float(np.finfo(np.float16).max)


@dataclass
class FrozenEncoder:
    """The encoder of a run, which its folds share.

    Attributes:
        experiment: the run.
        classifier: the model of the first fold that asked.
        extractor: reads the features of its encoder.
    """

    experiment: Experiment
    classifier: EmotionClassifier
    extractor: FeatureExtractor

    @classmethod
    def of(cls, experiment: Experiment, spec: ModelSpec) -> "FrozenEncoder":
        """Build the encoder of a run; the folds of the same experiment get the same one."""
        global _latest
        if _latest is None or _latest.experiment is not experiment:
            torch.manual_seed(derive_seed(experiment.seed, INITIALISATION, 0) % 2**32)
            classifier = build_classifier(spec, experiment.weights)
            selection = getattr(classifier.backbone, "selection", None)
            if selection is not None and selection.weight is not None:
                name = experiment.config["head"]["name"]
                raise SeenetError(
                    f"backbone.combine=sum learns weights of layers, and head={name} is fitted without gradients; "
                    "take backbone.combine=concat, one layer, or head=linear"
                )
            _latest = cls(experiment, classifier, make_extractor(experiment, classifier))
        return _latest


_latest: FrozenEncoder | None = None


class FittedRunner(Runner):
    """Fits the head of one fold, and tests it.

    The head is fitted to the training part for each C. The development part selects C by UA; of equal ones the smallest
    counts. With `refit` the selected head is fitted again to both parts; the predictions of the development part come
    from the first fit.

    Args:
        experiment: the experiment.
        fold: the fold.
    """

    def __init__(self, experiment: Experiment, fold: Fold):
        super().__init__(experiment, fold)
        part = FoldPart(experiment.manifest, experiment.store, fold.train, experiment.classes)
        targets = TargetSpec.of(part, len(experiment.classes))
        self.spec = ModelSpec.of(experiment.config, experiment.classes, targets)
        encoder = FrozenEncoder.of(experiment, self.spec)
        self._extractor, self._classifier = encoder.extractor, encoder.classifier
        self.head = copy.deepcopy(cast(FittedHead, encoder.classifier.head)).cpu()
        self._dev: Sequence[Prediction] = ()
        self._temperature = 1.0

    def read_trained(self, label: str) -> None:
        """Return None: a head is fitted again in less time than it takes to check files."""

    def train(self, label: str, made_with: Mapping[str, Any]) -> dict[str, Any]:
        """Fit the head and write trained.json.

        Args:
            label: prefix of the line on the console.
            made_with: versions, commit, device and precision, which later tests of this fold repeat.

        Returns:
            What trained.json holds.
        """
        start, fold = time.perf_counter(), self.fold
        self._pooled(
            np.sort(np.concatenate([fold.train, fold.dev, fold.test]))
        )  # computes what is missing, with one bar
        selected, scores = self._select()
        if self.head.refit and self.experiment.protocol.selection == "dev":
            next(self._fit(np.sort(np.concatenate([fold.train, fold.dev])), [selected]))
            self.head.divide(self._temperature)
        trained = {
            **made_with,
            "weights": {**self.experiment.weights.describe(), **count_tensors(self._classifier)},
            "best_epoch": None,
            "epochs": None,
            "seconds": time.perf_counter() - start,
            "fitted_head": {"c": selected, "selection_ua": scores},
        }
        decide_on_rank_zero(lambda: write_json(self.folder / TRAINED, trained))
        ua = f", {self.experiment.protocol.selection} UA {100 * scores[str(selected)]:.1f} %" if scores else ""
        print_line(f"{label}: C {selected:g}{ua}  ({trained['seconds']:.1f} s)")
        return trained

    def _select(self) -> tuple[float, dict[str, float]]:
        """Fit the head for each C and keep the best; return its C, and the UA of each on the selecting part."""
        chosen_by, dev, scores = self.experiment.cross_validation, self.fold.dev, {}
        grid = self.head.c if chosen_by is None or chosen_by.c is None else [chosen_by.c]
        best, state = grid[0], self.head.state_dict()
        for c in self._fit(self.fold.train, grid):
            if len(dev):
                scores[str(c)] = self._score(self._logits(dev), self._labels(dev))["ua"].item()
            if c == grid[0] or (scores and scores[str(c)] > scores[str(best)]):
                best, state = c, {name: value.clone() for name, value in self.head.state_dict().items()}
        self.head.load_state_dict(state)
        if len(dev):
            if self.head.calibrates:
                probabilities = self._logits(dev).softmax(1).numpy()
                self._temperature = fit_temperature(probabilities, self._labels(dev))
                self.head.divide(self._temperature)
            self._dev = self._predictions(dev, Clean(self.experiment.manifest, self.experiment.store))
        return best, scores

    def _fit(self, rows: Indices, grid: Sequence[float]) -> Iterator[float]:
        """Fit the head to clips and their random copies once for each C; yield C after each fit.

        The loss is a sum over vectors: C is divided by the number of vectors of a clip.
        """
        changes = [None, *(copy.for_fold(self.fold) for copy in make_copies(self.experiment))]
        pooled = np.concatenate([self._pooled(rows, change) for change in changes])
        labels = np.tile(self._labels(rows), len(changes))
        fits = self.head.fit(pooled, labels, [c / len(changes) for c in grid], self._extractor.layout(pooled.shape[1]))
        for c, _ in zip(grid, fits, strict=True):
            yield c

    def load_trained(self) -> None:
        """Do nothing: `train` has fitted the head in this process."""

    def predict_dev(self) -> Sequence[Prediction]:
        """Return the predictions of the head that was fitted to the training part alone."""
        return self._dev

    def predict_test(self, condition: TestCondition) -> tuple[Sequence[Prediction], Mapping[str, Tensor]]:
        """Predict the test part under a condition."""
        predictions = self._predictions(self.fold.test, condition)
        probabilities = torch.tensor([prediction.probabilities for prediction in predictions])
        return predictions, self._score(probabilities, self._labels(self.fold.test))

    def merged_classifier(self) -> EmotionClassifier:
        """Return the encoder with the fitted head."""
        self._classifier.head = self.head
        return self._classifier

    def shared_names(self) -> set[str]:
        """Return the names of the parameters of the encoder."""
        return self._classifier.frozen_names()

    def _pooled(self, rows: Indices, condition: TestCondition | None = None) -> NDArray[np.float32]:
        """Return the features of all clips of some speakers, clean by default. Shape (clips, dim)."""
        clean = Clean(self.experiment.manifest, self.experiment.store)
        pooled = self._extractor.pooled(rows, condition or clean, self.fold)
        if self.head.normalize == "corpus":
            return pooled
        speakers = self.experiment.manifest.codes("speaker")[rows]
        if (speakers < 0).any():
            raise SeenetError("head.normalize=speaker: the corpus does not name the speaker of every clip; take corpus")
        return standardize_speakers(pooled, speakers)

    def _labels(self, rows: Indices) -> NDArray[np.int64]:
        """Return class numbers. Shape (clips,)."""
        labels: NDArray[np.int64] = FoldPart(
            self.experiment.manifest, self.experiment.store, rows, self.experiment.classes
        ).labels.numpy()
        return labels

    def _logits(self, rows: Indices, condition: TestCondition | None = None) -> Tensor:
        logits: Tensor = self.head(torch.from_numpy(self._pooled(rows, condition)))
        return logits

    def _predictions(self, rows: Indices, condition: TestCondition) -> list[Prediction]:
        """Predict clips in the order of the manifest."""
        rows = np.sort(rows)
        pooled = np.clip(self._pooled(rows, condition), -LARGEST_HALF, LARGEST_HALF).astype(np.float16)
        probabilities = self._logits(rows, condition).softmax(1).tolist()
        return [Prediction(*each) for each in zip(rows.tolist(), probabilities, pooled, strict=True)]

    def _score(self, scores: Tensor, labels: NDArray[np.int64]) -> dict[str, Tensor]:
        metric = ConfusionMetric(len(self.experiment.classes))
        metric.update(scores, torch.from_numpy(labels))
        return metric.compute()
