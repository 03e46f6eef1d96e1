"""One fold: train it, or go on training it, then test it."""

import csv
import io
import logging
import signal
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import soundfile
import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

from seenet.audio.reading import RATE
from seenet.core.atomic import atomic_path, explain_write_errors
from seenet.core.console import print_line, warn_on_failure
from seenet.core.errors import SeenetError, one_line
from seenet.core.instantiate import instantiate_checked
from seenet.core.processes import (
    decide_on_rank_zero,
    exit_process,
    has_lost_process,
    is_global_rank_zero,
    register_child_processes,
)
from seenet.core.seeds import INITIALISATION, derive_seed
from seenet.corpora.folds import Fold
from seenet.data.conditions.base import TestCondition
from seenet.data.dataset import FoldPart
from seenet.data.targets import TargetSpec
from seenet.models.auxiliary.base import AuxiliaryTask
from seenet.models.lightning_module import EmotionModel
from seenet.reporting.run_plots import describe_selection_part, plot_confusion, plot_learning_curves
from seenet.runs.directory import names_of
from seenet.runs.results import (
    CURVES,
    TRAINED,
    condition_label,
    holds_predictions,
    read_trained,
    write_json,
    write_predictions,
)
from seenet.training.callbacks import EpochHistory
from seenet.training.checkpoints import (
    TRAINING_STATE,
    WEIGHTS,
    checkpoint_callbacks,
    find_checkpoint_damage,
    has_finished_epoch,
)
from seenet.training.components import NOT_OF_THE_NETWORK, build_data
from seenet.training.experiment import Experiment
from seenet.training.optimizers import build_optimizer

for _logger in ("lightning.pytorch", "lightning.fabric"):  # whose notices are no notice to the person who runs a fold
    logging.getLogger(_logger).setLevel(logging.WARNING)
logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # which looks for CUDA wherever it compiles

# Said by libraries at every fold, and of no use to the person who runs one.
_NOISE = (
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*predict returned None.*",
    ".*mismatched key_padding_mask and attn_mask.*",
    ".*`isinstance.treespec, LeafSpec.` is deprecated.*",
    ".*flex_attention called without torch.compile.*",
    ".*TensorFloat32 tensor cores.*",
)

MISTAKES = 8
"""How many of the most confident mistakes of a fold leave their sound."""


def build_auxiliary(job: Experiment, train: FoldPart, dim: int) -> AuxiliaryTask:
    """The auxiliary task for a training part and pooled vectors of some width.

    Raises:
        SeenetError: a wrong setting, or a corpus that does not say what the task needs.
    """
    return instantiate_checked(
        job.cfg.aux_task, "aux_task", dim=dim, num_classes=len(job.classes), target_spec=TargetSpec.of(train)
    )


def _count_tensors(model: EmotionModel) -> dict[str, int]:
    """How many parameters of a model come from the checkpoint, and how many are initialised at random."""
    loaded = getattr(model.backbone, "loaded_tensors", 0)  # which a user's own backbone may lack
    return {"loaded_tensors": loaded, "new_tensors": sum(1 for _ in model.parameters()) - loaded}


class FoldRunner:
    """A fold of a run, from a configuration to the files it leaves.

    Args:
        job: what is trained and tested.
        fold: the fold.
        folder: where to; None is the fold's place in the job's run.
    """

    def __init__(self, job: Experiment, fold: Fold, folder: Path | None = None):
        self.job, self.fold, cfg = job, fold, job.cfg
        self.folder = folder or job.fold_folder(fold.number)
        for message in _NOISE:
            warnings.filterwarnings("ignore", message=message)
        warnings.filterwarnings("ignore", category=PossibleUserWarning)  # Lightning's hints, e.g. about srun
        # Folds that share their clips to train on start alike: their numbers move where a test part is added.
        lightning.seed_everything(
            derive_seed(cfg.seed, INITIALISATION, 0 if fold.shared else fold.number) % 2**32, verbose=False
        )
        train, dev, test = (
            FoldPart(job.manifest, job.store, part, job.classes) for part in (fold.train, fold.dev, fold.test)
        )
        family, weights = cfg.backbone.family, job.weights
        backbone = instantiate_checked(
            cfg.backbone, "backbone", skip=NOT_OF_THE_NETWORK, family=family, weights=weights
        )
        if job.plan.compile is True:
            if not hasattr(backbone, "compile_layers"):
                raise SeenetError("trainer.compile=true: this backbone cannot be compiled; take trainer.compile=false")
            backbone.compile_layers()
        self.model = EmotionModel(
            backbone=backbone,
            pooling=instantiate_checked(cfg.pooling, "pooling", dim=backbone.dim),
            auxiliary=build_auxiliary(job, train, backbone.dim),
            optimizer=build_optimizer(cfg.optim, job.plan),
            classes=job.classes,
            seed=cfg.seed,
        )
        self.weights = {**job.weights.describe(), **_count_tensors(self.model)}
        self.logger = instantiate_checked(cfg.logger, "logger", save_dir=str(self.folder))
        self.data = build_data(cfg, job.augmentation, train=train, dev=dev, test=test)

    def train(self, label: str, made_with: Mapping[str, Any]) -> dict[str, Any]:
        """Train to the last epoch, from `last.ckpt` where an interrupted training left one.

        Leaves best.ckpt, curves.csv, curves.png and, last of all, trained.json.

        Args:
            label: what stands before each line on the console.
            made_with: versions, commit, device and precision, which later tests of this fold repeat.

        Returns:
            What trained.json holds: best_epoch, epochs, seconds and `made_with`.

        Raises:
            SeenetError: the loss became NaN, or the GPU's memory is too small.
        """
        last = decide_on_rank_zero(lambda: self._find_checkpoint(label))
        history = EpochHistory(label)
        callbacks: list[Callback] = [history, *checkpoint_callbacks(self.folder, self.job.plan.checkpoint_minutes)]
        trainer = self.job.plan.create_trainer(self.folder, self.logger, callbacks)
        self.run_lightning(trainer.fit, ckpt_path=last and str(last))
        return decide_on_rank_zero(lambda: self._write_trained(history, label, made_with))

    def read_trained(self, label: str) -> dict[str, Any] | None:
        """Read trained.json; None, after a line that says why, where the fold must be trained (again).

        Args:
            label: what stands before the line on the console.
        """
        if not (self.folder / TRAINED).is_file():
            return None
        trained, best = read_trained(self.folder), self.folder / "best.ckpt"
        if trained is None:
            problem = f"{TRAINED} is damaged"
        elif not best.is_file():
            problem = "best.ckpt is gone"
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
            for torn in self.folder.glob("*.ckpt.tmp-*"):  # by a kill in the middle of writing
                torn.unlink()
        last, best = self.folder / "last.ckpt", self.folder / "best.ckpt"
        if not last.is_file():
            return None
        name, damage = "last.ckpt", find_checkpoint_damage(last, self.model, TRAINING_STATE)
        if not damage and has_finished_epoch(last):  # whose weights, if selected, are in best.ckpt alone
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
            "best_epoch": best["epoch"] + 1,  # people count epochs from 1
            "epochs": len(history.rows),
            "seconds": sum(row["seconds"] for row in history.rows),
        }
        with atomic_path(self.folder / "curves.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["epoch", *CURVES, "seconds"])
            writer.writeheader()
            writer.writerows(history.rows)
        write_json(self.folder / TRAINED, trained)
        with explain_write_errors(self.folder):
            (self.folder / "last.ckpt").unlink(missing_ok=True)
        picture = self.folder / "curves.png"
        with warn_on_failure(f"{label}: {picture.name}"):
            plot_learning_curves(
                {label: history.rows}, describe_selection_part(self.job.protocol.selection), self._title(), picture
            )
        return trained

    def test(self, folder: Path, condition: TestCondition, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Test the best epoch and leave predictions.csv, embeddings.npy, confusion.png and, last of all, result.json.

        In clean conditions it leaves the sound of the worst mistakes too. The first test predicts the development part.

        Args:
            folder: of the test condition.
            condition: what is done to the clips.
            facts: the fields of result.json that are known before the test.

        Returns:
            What result.json holds.
        """
        start = time.perf_counter()
        best = torch.load(self.folder / "best.ckpt", map_location="cpu", weights_only=True)
        self.model.load_state_dict(best["state_dict"])
        dev = self.folder / "dev_predictions.csv"
        if self.job.protocol.selection == "dev" and not decide_on_rank_zero(lambda: self._holds_dev_predictions(dev)):
            trainer = self.job.plan.create_trainer(self.folder, False, [])
            self.run_lightning(trainer.predict, return_predictions=False)
            decide_on_rank_zero(lambda: self._write_predictions(dev))
        noise = condition.for_fold(self.fold)
        self.data.condition = noise
        trainer = self.job.plan.create_trainer(self.folder, False, [])
        self.run_lightning(trainer.test, verbose=False)
        values, classes = self.model.test_figures, self.job.classes
        recall = {c: None if r != r else r for c, r in zip(classes, values["recall"].tolist(), strict=True)}
        metrics = {name: values[name].item() for name in ("ua", "wa", "macro_f1")}
        metrics |= {"recall": recall, "confusion": values["confusion"].tolist()}
        remark = "; ".join(filter(None, (facts["remark"], noise.remark)))
        result = {
            **facts,
            "remark": remark,
            "metrics": metrics,
            "seconds": facts["seconds"] + time.perf_counter() - start,
        }
        return decide_on_rank_zero(lambda: self._write_result(folder, result))

    def _write_result(self, folder: Path, result: dict[str, Any]) -> dict[str, Any]:
        self._write_predictions(folder / "predictions.csv")
        with atomic_path(folder / "embeddings.npy") as path, path.open("wb") as file:
            np.save(file, np.stack([prediction.embedding for prediction in self.model.predictions]))
        metrics, about = result["metrics"], condition_label(result)
        if not result["condition"]:
            with warn_on_failure(f"fold {self.fold.number}: mistakes"):
                self._write_mistakes(folder / "mistakes")
        with warn_on_failure(f"fold {self.fold.number}: confusion.png"):
            title = f"{self._title()}, {about}\nUA {100 * metrics['ua']:.1f} %, WA {100 * metrics['wa']:.1f} %"
            plot_confusion(metrics["confusion"], self.job.classes, title, folder / "confusion.png")
        write_json(folder / "result.json", result)
        return result

    def _holds_dev_predictions(self, path: Path) -> bool:
        utterances = self.job.manifest.column("utterance")[self.fold.dev]
        return holds_predictions(path, self.job.classes, utterances.tolist())

    def _predicted_rows(self) -> list[list[Any]]:
        """Return the rows of predictions.csv for what the model last predicted."""
        manifest, classes = self.job.manifest, self.job.classes
        told = [manifest.column(c) for c in ("utterance", "speaker", "session", "emotion")]
        rows = []
        for prediction in self.model.predictions:
            k, p = prediction.index, prediction.probabilities
            rows.append([*(column[k] for column in told), classes[p.index(max(p))], *p])
        return rows

    def _write_predictions(self, path: Path) -> None:
        write_predictions(path, self.job.classes, self._predicted_rows())

    def _write_mistakes(self, folder: Path) -> None:
        """Write the sound of the most confident mistakes as MP3, named after their row in predictions.csv."""
        rows = self._predicted_rows()
        wrong = [number for number, (_, _, _, label, predicted, *_) in enumerate(rows) if label != predicted]
        wrong.sort(key=lambda number: -max(rows[number][5:]))
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():  # by a kill
            left.unlink()
        for number in wrong[:MISTAKES]:
            clip = self.job.store.waveform(self.model.predictions[number].index)
            sound = io.BytesIO()  # libsndfile does not name a full disk
            soundfile.write(sound, np.clip(clip, -1, 1), RATE, format="MP3")
            with atomic_path(folder / f"{number}.mp3") as path:
                path.write_bytes(sound.getvalue())

    def _title(self) -> str:
        manifest, names = self.job.manifest, names_of(self.job.config)
        corpus = f"{manifest.name}{' (SYNTHETIC)' if manifest.synthetic else ''}"
        chosen = ", ".join(names[group] for group in ("backbone", "aug", "aux_task", "protocol"))
        return f"{corpus}, test fold {f'{self.fold.number} {self.fold.name}'.strip()}: {chosen}"

    def run_lightning(self, step: Any, **options: Any) -> None:
        """Let a Lightning trainer take a step (fit, test, predict); what the user can put right is one line.

        Raises:
            SeenetError: the GPU's memory is too small, or another process of the run ended.
        """
        try:
            step(self.model, datamodule=self.data, **options)
        except SIGTERMException as error:  # Lightning's own exit code is 0, which a scheduler takes for success
            raise SystemExit(128 + signal.SIGTERM) from error
        except SystemExit as error:
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise
        except torch.OutOfMemoryError as error:
            size, steps = self.job.cfg.data.batch_size, self.job.plan.accumulate_grad_batches
            way = (
                "shorten data.max_seconds or take a smaller backbone"
                if size == 1
                else f"take data.batch_size={size // 2} trainer.accumulate_grad_batches={2 * steps} (an auxiliary "
                "task then sees half as many clips at once)"
            )
            raise SeenetError(f"the GPU's memory is too small for data.batch_size={size}: {way}") from error
        except RuntimeError as error:
            if not has_lost_process(error):
                raise
            if not is_global_rank_zero():  # the one that ended says why
                exit_process(1)
            raise SeenetError(f"another process of this run ended: {one_line(error)[:200]}") from error
        finally:
            register_child_processes(step.__self__.strategy.launcher)
