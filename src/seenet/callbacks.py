"""What happens at the end of each epoch, and now and then within: the history, the console's line, checkpoints."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from seenet.console import say
from seenet.paths import whole

CURVES = ("fit_loss", "fit_auxiliary", "fit_ua", "fit_wa", "dev_loss", "dev_ua", "dev_wa", "dev_macro_f1")
"""The columns of curves.csv after `epoch`; `seconds` follows."""


class History(Checkpoint):
    """Collects one row an epoch, says it, and survives a resume.

    It is a `Checkpoint` because Lightning calls those last, when the module has closed its epoch.

    Args:
        label: what stands before each line.
    """

    def __init__(self, label: str):
        self.label = label
        self.rows: list[dict[str, Any]] = []
        self._start, self._before = 0.0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, at what an epoch has taken that is resumed."""
        self._start = time.perf_counter() - self._before

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the epoch's row."""
        values = {name: float(trainer.callback_metrics[name.replace("_", "/", 1)]) for name in CURVES}
        row = {"epoch": trainer.current_epoch + 1, **values, "seconds": time.perf_counter() - self._start}
        self.rows.append(row)
        say(
            f"{self.label} epoch {row['epoch']}/{trainer.max_epochs}: loss {row['fit_loss']:.3f}, "
            f"dev UA {100 * row['dev_ua']:.1f} %  ({row['seconds']:.1f} s)"
        )

    def state_dict(self) -> dict[str, Any]:
        """The rows so far, and the seconds of an epoch in its middle."""
        return {"rows": self.rows, "seconds": time.perf_counter() - self._start}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's rows and seconds."""
        self.rows, self._before = state_dict["rows"], state_dict["seconds"]


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the checkpoint and renames: a kill at any moment leaves the old one or the new one.

    Lightning's own goes by way of the system's temporary folder, from which a move may be a copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Save a checkpoint to a local path."""
        with whole(Path(path)) as building:
            torch.save(checkpoint, building)


class MovableCheckpoint(ModelCheckpoint):
    """Remembers its best epoch's score also where the folder was moved; Lightning's own then forgets it."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's memory, whose paths are put below the present folder."""
        here = Path(self.dirpath)

        def moved(path: str) -> str:
            return str(here / Path(path).name) if path else path

        state_dict = {**state_dict, "dirpath": self.dirpath}
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state_dict[name] = moved(state_dict[name])
        state_dict["best_k_models"] = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict)


class MidEpochCheckpoint(MovableCheckpoint):
    """Is written in mid-epoch when its time has come, after whole optimiser steps only.

    Gradients that still add up are in no checkpoint. After the last step Lightning would take the epoch for done,
    validation and all; the end of the epoch has its own checkpoint.
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock anew, for the epoch before has left a checkpoint."""
        self.on_train_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Write where it is time and nothing would be lost."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0 and not trainer.is_last_batch:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def state_dict(self) -> dict[str, Any]:
        """Nothing: it has one file to overwrite, and its time may be set anew at a resume."""
        return {}


def checkpoints(folder: Path, minutes: float) -> list[ModelCheckpoint]:
    """What writes the two checkpoints, at the end of an epoch.

    `best.ckpt` holds the weights of the epoch with the highest development UA (the first of equals), and
    `last.ckpt` all that an interrupted fold needs to go on; the best comes first, for the last remembers it.

    Args:
        folder: where they lie.
        minutes: after which `last.ckpt` is also written in the middle of an epoch.
    """
    common = {"dirpath": folder, "save_on_train_epoch_end": True, "enable_version_counter": False}
    return [
        MovableCheckpoint(filename="best", monitor="dev/ua", mode="max", save_weights_only=True, **common),
        MovableCheckpoint(filename="last", **common),
        MidEpochCheckpoint(filename="last", train_time_interval=timedelta(minutes=minutes), **common),
    ]
