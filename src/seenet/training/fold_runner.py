"""One fold: train it or resume its training, then test it."""

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import Tensor, nn

from seenet.core.atomic import explain_write_errors
from seenet.core.console import print_line
from seenet.core.errors import SeenetError
from seenet.core.imports import stop_excluding
from seenet.core.instantiate import instantiate_checked
from seenet.core.processes import (
    decide_on_rank_zero,
)
from seenet.core.seeds import INITIALISATION, derive_seed
from seenet.corpora.folds import Fold
from seenet.data.conditions.base import TestCondition
from seenet.data.conditions.clean import Clean
from seenet.data.dataset import FoldPart
from seenet.data.targets import TargetSpec
from seenet.models.backbones.layer_selection import LayerSelection
from seenet.models.classifier import EmotionClassifier
from seenet.models.factory import ModelSpec, build_classifier, build_tuning
from seenet.models.lightning_module import EmotionModel
from seenet.models.prediction import Prediction
from seenet.runs.results import TRAINED, read_trained, write_json
from seenet.training.cached_parts import make_cached_parts
from seenet.training.callbacks import EpochHistory
from seenet.training.checkpoints import (
    TRAINING_STATE,
    WEIGHTS,
    checkpoint_callbacks,
    find_checkpoint_damage,
    has_finished_epoch,
)
from seenet.training.components import build_data, build_loss
from seenet.training.experiment import Experiment
from seenet.training.lightning_calls import call_trainer, silence_libraries
from seenet.training.optimizers import build_optimizer
from seenet.training.runner import Runner


def count_tensors(classifier: EmotionClassifier) -> dict[str, int]:
    """Count the tensors that come from the checkpoint, those initialised at random, and all and trained parameters."""
    loaded = getattr(classifier.backbone, "loaded_tensors", 0)  # a user's own backbone may lack it
    parameters = list(classifier.parameters())
    return {
        "loaded_tensors": loaded,
        "new_tensors": len(parameters) - loaded,
        "parameters": sum(p.numel() for p in parameters),
        "trained_parameters": sum(p.numel() for p in parameters if p.requires_grad),
    }


def _describe_share(counts: Mapping[str, int]) -> str:
    trained, total = counts["trained_parameters"], counts["parameters"]
    return f"{trained} of {total} parameters ({100 * trained / total:.2g} %)"


class FoldRunner(Runner):
    """Trains one fold with Lightning, and tests it.

    Args:
        experiment: the experiment.
        fold: the fold.
        folder: of the training; None takes the fold's folder in the run.
    """

    def __init__(self, experiment: Experiment, fold: Fold, folder: Path | None = None):
        super().__init__(experiment, fold, folder)
        config = experiment.config
        stop_excluding()
        silence_libraries()
        # Folds that share their training clips start from the same weights: their numbers depend on the test parts.
        stream = 0 if fold.shared else fold.number
        lightning.seed_everything(derive_seed(experiment.seed, INITIALISATION, stream) % 2**32, verbose=False)
        self._parts = {
            name: FoldPart(experiment.manifest, experiment.store, getattr(fold, name), experiment.classes)
            for name in ("train", "dev", "test")
        }
        targets = TargetSpec.of(self._parts["train"], len(experiment.classes))
        self.spec = ModelSpec.of(config, experiment.classes, targets)
        classifier = build_classifier(self.spec, experiment.weights)
        if experiment.trainer.compile is True:
            if not hasattr(classifier.backbone, "compile_layers"):
                raise SeenetError("trainer.compile=true: this backbone cannot be compiled; take trainer.compile=false")
            classifier.backbone.compile_layers()
        self.model = EmotionModel(
            classifier=classifier,
            loss=build_loss(config, targets),
            optimizer=build_optimizer(config["optim"], experiment.trainer),
            classes=experiment.classes,
            seed=experiment.seed,
            schedule=self._schedule,
        )
        self.weights = {**experiment.weights.describe(), **count_tensors(classifier)}
        self.logger = instantiate_checked(config["logger"], "logger", save_dir=str(self.folder))
        self.data = build_data(config, experiment.augmentation, **self._parts)

    @cached_property
    def _cached_parts(self) -> dict[str, FoldPart]:
        """The parts with cached features where the encoder is frozen and nothing changes the clips."""
        return make_cached_parts(self.experiment, self.fold, self.model.classifier, self._parts)

    def train(self, label: str, made_with: Mapping[str, Any]) -> dict[str, Any]:
        """Train to the last epoch, from `last.ckpt` where an interrupted training left one.

        It writes best.ckpt, curves.csv, curves.png and, last, trained.json.

        Args:
            label: prefix of each line on the console.
            made_with: versions, commit, device and precision, which later tests of this fold repeat.

        Returns:
            What trained.json holds: best_epoch, epochs, seconds and `made_with`.

        Raises:
            SeenetError: the loss became NaN, or the GPU's memory is too small.
        """
        if self.model.classifier.omits_frozen:
            print_line(f"{label}: trains {_describe_share(count_tensors(self.model.classifier))}")
        last = decide_on_rank_zero(lambda: self._find_checkpoint(label))
        self.data.parts = self._cached_parts
        history, selects = EpochHistory(label), self.experiment.protocol.selection != "none"
        callbacks: list[Callback] = [
            history,
            *checkpoint_callbacks(self.folder, self.experiment.trainer.checkpoint_minutes, selects),
        ]
        patience = self.experiment.trainer.early_stopping_patience
        if patience is not None and selects:
            callbacks.append(EarlyStopping("dev/ua", mode="max", patience=patience))
        limits = {"max_epochs": self.experiment.epochs, "limit_val_batches": 1.0 if selects else 0}
        trainer = self.experiment.trainer.create_trainer(self.folder, self.logger, callbacks, **limits)
        self.run_lightning(trainer.fit, ckpt_path=last and str(last))
        return decide_on_rank_zero(lambda: self._write_trained(history, label, made_with))

    def read_trained(self, label: str) -> dict[str, Any] | None:
        """Read trained.json; None, after a line with the reason, if the fold must be trained (again).

        Args:
            label: prefix of the line on the console.
        """
        if not (self.folder / TRAINED).is_file():
            return None
        trained, best = read_trained(self.folder), self.folder / "best.ckpt"
        if trained is None:
            problem = f"{TRAINED} is damaged"
        elif not best.is_file():
            problem = "best.ckpt is missing"
        elif damage := find_checkpoint_damage(best, self.model, WEIGHTS):
            problem = f"best.ckpt is damaged ({damage})"
        else:
            return trained
        print_line(f"{label} was trained before, but {problem}: it is trained again")
        with explain_write_errors(self.folder):
            for name in (TRAINED, "last.ckpt", "dev_predictions.csv"):
                (self.folder / name).unlink(missing_ok=True)
        return None

    def _find_checkpoint(self, label: str) -> Path | None:
        """Return the checkpoint that training resumes from; None where it starts anew."""
        with explain_write_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            for torn in self.folder.glob("*.ckpt.tmp-*"):  # of a process that was killed while writing
                torn.unlink()
        last, best = self.folder / "last.ckpt", self.folder / "best.ckpt"
        if not last.is_file():
            return None
        name, damage = "last.ckpt", find_checkpoint_damage(last, self.model, TRAINING_STATE)
        if not damage and has_finished_epoch(last):  # the best weights are in best.ckpt alone
            name, damage = "best.ckpt", find_checkpoint_damage(best, self.model, WEIGHTS)
        if damage:
            print_line(f"! {label}: {name} is damaged ({damage}); training starts again")
            with explain_write_errors(last):
                last.unlink()
            return None
        print_line(f"{label}: resuming from {last}")
        return last

    def _write_trained(self, history: EpochHistory, label: str, made_with: Mapping[str, Any]) -> dict[str, Any]:
        """Write curves.csv, trained.json and, last, the picture; training is finished before it is drawn."""
        best = torch.load(self.folder / "best.ckpt", map_location="cpu", weights_only=True)
        trained = {
            **made_with,
            "weights": self.weights,
            "best_epoch": best["epoch"] + 1,  # reported from 1
            "epochs": len(history.rows),
            "seconds": sum(row["seconds"] for row in history.rows),
        }
        self.artifacts.write_curves(history.rows)
        write_json(self.folder / TRAINED, trained)
        with explain_write_errors(self.folder):
            (self.folder / "last.ckpt").unlink(missing_ok=True)
        self.artifacts.draw_curves(label, history.rows)
        return trained

    def load_trained(self) -> None:
        """Load the weights of the best epoch."""
        best = torch.load(self.folder / "best.ckpt", map_location="cpu", weights_only=True)
        self.model.load_state_dict(best["state_dict"])

    def predict_dev(self) -> Sequence[Prediction]:
        """Predict the development part."""
        self.data.parts = self._cached_parts
        trainer = self.experiment.trainer.create_trainer(self.folder, False, [])
        self.run_lightning(trainer.predict, return_predictions=False)
        return self.model.predictions

    def predict_test(self, condition: TestCondition) -> tuple[Sequence[Prediction], Mapping[str, Tensor]]:
        """Predict the test part under a condition."""
        self.data.condition = condition
        self.data.parts = self._cached_parts if isinstance(condition, Clean) else self._parts
        trainer = self.experiment.trainer.create_trainer(self.folder, False, [])
        self.run_lightning(trainer.test, verbose=False)
        return self.model.predictions, self.model.test_figures

    def layer_weights(self) -> dict[str, Any] | None:
        """Return the learned weights of the encoder's layers at the loaded epoch."""
        selection = getattr(self.model.classifier.backbone, "selection", None)  # a user's own backbone may lack it
        return selection.describe_weights() if isinstance(selection, LayerSelection) else None

    def shared_names(self) -> set[str]:
        """Return the names of the frozen parameters of the backbone."""
        return self.model.classifier.frozen_names()

    def merged_classifier(self) -> EmotionClassifier:
        """Return the model with the architecture of its configuration."""
        merged = copy.deepcopy(self.model.classifier)
        build_tuning(self.spec).merge(cast(nn.Module, merged.backbone))
        return merged

    def _schedule(self, optimizer: torch.optim.Optimizer, count_steps: Callable[[], int]) -> dict[str, Any] | None:
        """Return the scheduler settings for `trainer.max_epochs`, also where training ends earlier."""
        experiment = self.experiment
        schedule = instantiate_checked(experiment.config["schedule"], "schedule")
        settings: dict[str, Any] | None = schedule(
            optimizer, lambda: count_steps() * experiment.trainer.max_epochs // experiment.epochs
        )
        if settings and "monitor" in settings and experiment.protocol.selection == "none":
            raise SeenetError(
                f"schedule={experiment.config['schedule']['name']} follows the development part, which "
                "protocol=final lacks; run the cross-validation with another schedule"
            )
        return settings

    def run_lightning(self, entry_point: Any, **options: Any) -> None:
        """Call an entry point of a Lightning trainer with the model and the data of the fold; see `call_trainer`."""
        call_trainer(entry_point, self.experiment, self.model, self.data, **options)
