"""What happens at the end of each epoch: the history, the line on the console, the checkpoints."""

import time
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


def checkpoints(folder: Path) -> list[ModelCheckpoint]:
    """Two checkpoints, written at the end of an epoch.

    `best.ckpt` holds the weights of the epoch with the highest development UA (the first of equals), and
    `last.ckpt` all that an interrupted fold needs to go on; the best comes first, for the last remembers it.
    """
    common = {"dirpath": folder, "save_on_train_epoch_end": True, "enable_version_counter": False}
    return [
        MovableCheckpoint(filename="best", monitor="dev/ua", mode="max", save_weights_only=True, **common),
        MovableCheckpoint(filename="last", **common),
    ]
