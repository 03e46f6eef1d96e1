"""What happens at the end of each epoch: the history, the line on the console, the checkpoints."""

import time
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from seenet.console import say
from seenet.paths import beside

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
        self._start = 0.0

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
        """The rows so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's rows."""
        self.rows = state_dict["rows"]


class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the checkpoint and renames: a kill at any moment leaves the old one or the new one.

    Lightning's own goes by way of the system's temporary folder, from which a move may be a copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Save a checkpoint to a local path."""
        building = beside(Path(path))
        building.parent.mkdir(parents=True, exist_ok=True)
        torch.save(checkpoint, building)
        building.replace(path)


def checkpoints(folder: Path) -> list[ModelCheckpoint]:
    """Two checkpoints, written at the end of an epoch.

    `best.ckpt` holds the weights of the epoch with the highest development UA (the first of equals), and
    `last.ckpt` all that an interrupted fold needs to go on; the best comes first, for the last remembers it.
    """
    common = {"dirpath": folder, "save_on_train_epoch_end": True, "enable_version_counter": False}
    return [
        ModelCheckpoint(filename="best", monitor="dev/ua", mode="max", save_weights_only=True, **common),
        ModelCheckpoint(filename="last", **common),
    ]
