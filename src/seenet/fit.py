"""One fold: train it, or go on training it, then test it."""

import csv
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

from seenet.audio import RATE
from seenet.auxiliary.base import AuxiliaryTask
from seenet.build import build
from seenet.callbacks import CURVES, History, checkpoints
from seenet.components import NOT_OF_THE_NETWORK, build_data, build_optimizer
from seenet.console import is_main_process, say
from seenet.data.dataset import Part
from seenet.errors import SeenetError
from seenet.folds import Fold
from seenet.job import Job
from seenet.module import EmotionModel
from seenet.noise.base import Noise
from seenet.paths import whole
from seenet.report.figures import confusion_figure, curves_figure, selected_on
from seenet.runs import TRAINED, condition_of, names_of, write_json, write_predictions
from seenet.seeds import INITIALISATION, mix

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


def build_auxiliary(job: Job, train: Part, dim: int) -> AuxiliaryTask:
    """The auxiliary task for a training part and pooled vectors of some width.

    Raises:
        SeenetError: a wrong setting, or a corpus that does not say what the task needs.
    """
    return build(job.cfg.aux_task, "aux_task", dim=dim, num_classes=len(job.classes), train=train)


def _count_tensors(model: EmotionModel) -> dict[str, int]:
    """How many parameters of a model come from the checkpoint, and how many are initialised at random."""
    loaded = getattr(model.backbone, "loaded_tensors", 0)  # which a user's own backbone may lack
    return {"loaded_tensors": loaded, "new_tensors": sum(1 for _ in model.parameters()) - loaded}


class FoldRun:
    """A fold of a run, from a configuration to the files it leaves.

    Args:
        job: what is trained and tested.
        fold: the fold.
        folder: where to; None is the fold's place in the job's run.
    """

    def __init__(self, job: Job, fold: Fold, folder: Path | None = None):
        self.job, self.fold, cfg = job, fold, job.cfg
        self.folder = folder or job.run.fold_folder(fold)
        for message in _NOISE:
            warnings.filterwarnings("ignore", message=message)
        warnings.filterwarnings("ignore", category=PossibleUserWarning)  # Lightning's hints, e.g. about srun
        lightning.seed_everything(mix(cfg.seed, INITIALISATION, fold.training) % 2**32, verbose=False)
        train, dev, test = (
            Part(job.manifest, job.store, part, job.classes) for part in (fold.train, fold.dev, fold.test)
        )
        family, weights = cfg.backbone.family, job.weights
        backbone = build(cfg.backbone, "backbone", skip=NOT_OF_THE_NETWORK, family=family, weights=weights)
        if job.plan.compile is True:
            if not hasattr(backbone, "compile_layers"):
                raise SeenetError("trainer.compile=true: this backbone cannot be compiled; take trainer.compile=false")
            backbone.compile_layers()
        self.model = EmotionModel(
            backbone=backbone,
            pooling=build(cfg.pooling, "pooling", dim=backbone.dim),
            auxiliary=build_auxiliary(job, train, backbone.dim),
            optimizer=build_optimizer(cfg.optim, job.plan),
            classes=job.classes,
            seed=cfg.seed,
        )
        self.weights = {**job.weights.describe(), **_count_tensors(self.model)}
        self.logger = build(cfg.logger, "logger", save_dir=str(self.folder))
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
        self.folder.mkdir(parents=True, exist_ok=True)
        if is_main_process():
            for left in self.folder.glob("*.ckpt.tmp-*"):  # by a kill in the middle of writing
                left.unlink()
            if (self.folder / TRAINED).is_file():  # but its weights are gone
                say(f"{label} was trained before, but best.ckpt is gone: it is trained again")
                for left in (TRAINED, "last.ckpt", "dev_predictions.csv"):
                    (self.folder / left).unlink(missing_ok=True)
        last = self.folder / "last.ckpt"
        history = History(label)
        if last.is_file():
            say(f"{label} goes on from {last}")
        callbacks: list[Callback] = [history, *checkpoints(self.folder, self.job.plan.checkpoint_minutes)]
        trainer = self.job.plan.make(self.folder, self.logger, callbacks)
        self.run(trainer.fit, ckpt_path=str(last) if last.is_file() else None)
        best = torch.load(self.folder / "best.ckpt", map_location="cpu", weights_only=True)
        trained = {
            **made_with,
            "weights": self.weights,
            "best_epoch": best["epoch"] + 1,  # people count epochs from 1
            "epochs": len(history.rows),
            "seconds": sum(row["seconds"] for row in history.rows),
        }
        if trainer.is_global_zero:
            self._write_curves(history, label)
            write_json(self.folder / TRAINED, trained)
            last.unlink(missing_ok=True)
        return trained

    def _write_curves(self, history: History, label: str) -> None:
        with whole(self.folder / "curves.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["epoch", *CURVES, "seconds"])
            writer.writeheader()
            writer.writerows(history.rows)
        curves_figure(
            {label: history.rows},
            selected_on(self.job.protocol.selection),
            self._title(),
            self.folder / "curves.png",
        )

    def test(self, folder: Path, condition: Noise, facts: Mapping[str, Any]) -> dict[str, Any]:
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
        if self.job.protocol.selection == "dev" and not dev.is_file():
            trainer = self.job.plan.make(self.folder, False, [])
            self.run(trainer.predict, return_predictions=False)
            if trainer.is_global_zero:
                self._write_predictions(dev)
        noise = condition.for_fold(self.fold)
        self.data.noise = noise
        trainer = self.job.plan.make(self.folder, False, [])
        self.run(trainer.test, verbose=False)
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
        if trainer.is_global_zero:
            rows = self._write_predictions(folder / "predictions.csv")
            with whole(folder / "embeddings.npy") as path, path.open("wb") as file:
                np.save(file, np.stack([prediction.embedding for prediction in self.model.predictions]))
            if not condition.settings:
                self._write_mistakes(rows, folder / "mistakes")
            title = f"{self._title()}, {condition_of(result)}"
            title += f"\nUA {100 * metrics['ua']:.1f} %, WA {100 * metrics['wa']:.1f} %"
            confusion_figure(metrics["confusion"], classes, title, folder / "confusion.png")
            write_json(folder / "result.json", result)
        return result

    def _write_predictions(self, path: Path) -> list[list[Any]]:
        """Write what the model last predicted; gives the rows."""
        manifest, classes = self.job.manifest, self.job.classes
        told = [manifest.column(c) for c in ("utterance", "speaker", "session", "emotion")]
        rows = []
        for prediction in self.model.predictions:
            k, p = prediction.index, prediction.probabilities
            rows.append([*(column[k] for column in told), classes[p.index(max(p))], *p])
        write_predictions(path, classes, rows)
        return rows

    def _write_mistakes(self, rows: list[list[Any]], folder: Path) -> None:
        """Write the sound of the most confident mistakes as MP3, named after their row in predictions.csv."""
        wrong = [number for number, (_, _, _, label, predicted, *_) in enumerate(rows) if label != predicted]
        wrong.sort(key=lambda number: -max(rows[number][5:]))
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.iterdir():  # by a kill
            left.unlink()
        for number in wrong[:MISTAKES]:
            clip = self.job.store.waveform(self.model.predictions[number].index)
            soundfile.write(folder / f"{number}.mp3", np.clip(clip, -1, 1), RATE)

    def _title(self) -> str:
        manifest, names = self.job.manifest, names_of(self.job.config)
        corpus = f"{manifest.name}{' (SYNTHETIC)' if manifest.synthetic else ''}"
        chosen = ", ".join(names[group] for group in ("backbone", "aug", "aux_task", "protocol"))
        return f"{corpus}, test fold {f'{self.fold.number} {self.fold.name}'.strip()}: {chosen}"

    def run(self, step: Any, **options: Any) -> None:
        """Let a Lightning trainer take a step (fit, test, predict); what the user can put right is one line.

        Raises:
            SeenetError: the GPU's memory is too small.
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
