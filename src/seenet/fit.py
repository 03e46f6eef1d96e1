"""One fold: train it, or go on training it, then test it."""

import csv
import logging
import signal
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import DictConfig

from seenet.backbone.weights import Weights
from seenet.build import build
from seenet.callbacks import CURVES, History, checkpoints
from seenet.console import is_main_process, say
from seenet.data.dataset import Part
from seenet.errors import SeenetError
from seenet.folds import Fold, Protocol
from seenet.manifest import Manifest
from seenet.module import EmotionModel
from seenet.paths import whole
from seenet.report.figures import confusion_figure, curves_figure, selected_on
from seenet.runs import write_json, write_predictions
from seenet.seeds import INITIALISATION, mix
from seenet.store import Store
from seenet.trainer import TrainerPlan

for _logger in ("lightning.pytorch", "lightning.fabric"):  # whose notices are no notice to the person who runs a fold
    logging.getLogger(_logger).setLevel(logging.WARNING)

# Said by libraries at every fold, and of no use to the person who runs one.
_NOISE = (
    ".*does not have many workers.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*mismatched key_padding_mask and attn_mask.*",
    ".*`isinstance.treespec, LeafSpec.` is deprecated.*",
)


@dataclass(frozen=True)
class Corpus:
    """What is trained and tested on: the utterances, their samples and the classes in their order."""

    manifest: Manifest
    store: Store
    classes: tuple[str, ...]


def _optimizer(node: DictConfig) -> Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]:
    """What makes the optimiser, tried once on one number so that a wrong setting is found before training."""
    make = build(node, "optim")
    try:
        make([torch.nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        settings = ", ".join(f"optim.{k}={v}" for k, v in node.items() if k not in ("_target_", "_partial_", "name"))
        raise SeenetError(f"{settings}: {error}") from error
    return make


class FoldRun:
    """A fold of a run, from a configuration to the files it leaves.

    Args:
        cfg: the composed configuration.
        corpus: the utterances.
        fold: the fold.
        weights: of the backbone.
        plan: how to train.
        folder: of the fold.
        protocol: tells what selects the epoch.
    """

    def __init__(
        self,
        cfg: DictConfig,
        corpus: Corpus,
        fold: Fold,
        weights: Weights,
        plan: TrainerPlan,
        folder: Path,
        protocol: Protocol,
    ):
        self.cfg, self.corpus, self.fold, self.plan, self.folder = cfg, corpus, fold, plan, folder
        self.protocol = protocol
        for message in _NOISE:
            warnings.filterwarnings("ignore", message=message)
        lightning.seed_everything(mix(cfg.seed, INITIALISATION, fold.training) % 2**32, verbose=False)
        classes = len(corpus.classes)
        used_elsewhere = ("family", "checkpoint", "revision", "path", "recipe")
        backbone = build(cfg.backbone, "backbone", skip=used_elsewhere, family=cfg.backbone.family, weights=weights)
        self.model = EmotionModel(
            backbone=backbone,
            pooling=build(cfg.pooling, "pooling", dim=backbone.dim),
            auxiliary=build(cfg.aux_task, "aux_task", dim=backbone.dim, num_classes=classes),
            optimizer=_optimizer(cfg.optim),
            classes=corpus.classes,
            seed=cfg.seed,
        )
        self.logger = build(cfg.logger, "logger", save_dir=str(folder))
        train, dev, test = (
            Part(corpus.manifest, corpus.store, part, corpus.classes) for part in (fold.train, fold.dev, fold.test)
        )
        self.data = build(
            cfg.data,
            "data",
            skip=("max_seconds",),
            train=train,
            dev=dev,
            test=test,
            augmentation=build(cfg.aug, "aug"),
            noise=build(cfg.noise, "noise"),
            seed=cfg.seed,
        )

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
        last = self.folder / "last.ckpt"
        history = History(label)
        if last.is_file():
            say(f"{label} goes on from {last}")
        callbacks: list[Callback] = [history, *checkpoints(self.folder)]
        trainer = self.plan.make(self.folder, self.logger, callbacks)
        self._run(trainer.fit, ckpt_path=str(last) if last.is_file() else None)
        best = torch.load(self.folder / "best.ckpt", map_location="cpu", weights_only=True)
        trained = {
            **made_with,
            "best_epoch": best["epoch"] + 1,  # people count epochs from 1
            "epochs": len(history.rows),
            "seconds": sum(row["seconds"] for row in history.rows),
        }
        if trainer.is_global_zero:
            self._write_curves(history, label)
            write_json(self.folder / "trained.json", trained)
            last.unlink(missing_ok=True)
        return trained

    def _write_curves(self, history: History, label: str) -> None:
        with whole(self.folder / "curves.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["epoch", *CURVES, "seconds"])
            writer.writeheader()
            writer.writerows(history.rows)
        curves_figure(
            {label: history.rows},
            selected_on(self.protocol.selection),
            self._title(),
            self.folder / "curves.png",
        )

    def test(self, folder: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Test the best epoch and leave predictions.csv, confusion.png and, last of all, result.json.

        Args:
            folder: of the test condition.
            facts: the fields of result.json that are known before the test.

        Returns:
            What result.json holds.
        """
        start = time.perf_counter()
        best = torch.load(self.folder / "best.ckpt", map_location="cpu", weights_only=True)
        self.model.load_state_dict(best["state_dict"])
        trainer = self.plan.make(self.folder, False, [])
        self._run(trainer.test, verbose=False)
        values = self.model.test_figures
        classes, manifest = self.corpus.classes, self.corpus.manifest
        recall = {c: None if r != r else r for c, r in zip(classes, values["recall"].tolist(), strict=True)}
        metrics = {name: values[name].item() for name in ("ua", "wa", "macro_f1")}
        metrics |= {"recall": recall, "confusion": values["confusion"].tolist()}
        result = {**facts, "metrics": metrics, "seconds": facts["seconds"] + time.perf_counter() - start}
        if trainer.is_global_zero:
            names, speakers, labels = (manifest.column(c) for c in ("utterance", "speaker", "emotion"))
            rows = []
            for prediction in self.model.predictions:
                k, p = prediction.index, prediction.probabilities
                rows.append([names[k], speakers[k], labels[k], classes[p.index(max(p))], *p])
            write_predictions(folder / "predictions.csv", classes, rows)
            title = f"{self._title()}\nUA {100 * metrics['ua']:.1f} %, WA {100 * metrics['wa']:.1f} %"
            confusion_figure(metrics["confusion"], classes, title, folder / "confusion.png")
            write_json(folder / "result.json", result)
        return result

    def _title(self) -> str:
        manifest = self.corpus.manifest
        corpus = f"{manifest.name}{' (SYNTHETIC)' if manifest.synthetic else ''}"
        names = (self.cfg.backbone.name, self.cfg.aug.name, self.cfg.aux_task.name, self.cfg.protocol.name)
        return f"{corpus}, test fold {f'{self.fold.number} {self.fold.name}'.strip()}: {', '.join(names)}"

    def _run(self, step: Any, **options: Any) -> None:
        try:
            step(self.model, datamodule=self.data, **options)
        except SIGTERMException as error:  # Lightning's own exit code is 0, which a scheduler takes for success
            raise SystemExit(128 + signal.SIGTERM) from error
        except SystemExit as error:
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise
        except torch.OutOfMemoryError as error:
            size, steps = self.cfg.data.batch_size, self.plan.accumulate_grad_batches
            way = (
                "shorten data.max_seconds or take a smaller backbone"
                if size == 1
                else f"take data.batch_size={size // 2} trainer.accumulate_grad_batches={2 * steps} (an auxiliary "
                "task then sees half as many clips at once)"
            )
            raise SeenetError(f"the GPU's memory is too small for data.batch_size={size}: {way}") from error
