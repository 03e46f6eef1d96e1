"""Checkpoints: written atomically, checked before they are read, and relocatable with their run."""

import pickle
import zipfile
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from seenet.core.atomic import atomic_path
from seenet.core.errors import one_line
from seenet.training.callbacks import _stop, _stop_signal


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary file and renames, so an interrupted save keeps the previous checkpoint.

    Lightning's own goes by way of the system's temporary folder, from which a move may be a copy.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Save a checkpoint to a local path.

        Raises:
            SeenetError: the file cannot be written.
        """
        with atomic_path(Path(path)) as building, building.open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch reports a file position, after a full disk or an interrupt
                cause = error.__context__
                raise (cause if isinstance(cause, OSError | KeyboardInterrupt | SystemExit) else error) from error


WEIGHTS = ("state_dict", "epoch", "classes")
"""Parts of every checkpoint."""


TRAINING_STATE = (*WEIGHTS, "loops", "callbacks", "optimizer_states", "running")
"""Parts of a checkpoint that training resumes from."""


def find_checkpoint_damage(path: Path, model: torch.nn.Module, parts: Collection[str]) -> str:
    """Return why a checkpoint cannot be loaded into a model, or an empty text.

    Args:
        path: the checkpoint, read to its end.
        model: whose tensors it must hold.
        parts: what else it must hold.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip():
                return "its checksum differs"
        checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        tensors = {name: tensor.shape for name, tensor in checkpoint["state_dict"].items()}
        if any(part not in checkpoint for part in parts):
            return "a part of it is missing"
    except FileNotFoundError:
        return "it is missing"
    except (zipfile.BadZipFile, EOFError):
        return "it is cut off, or no checkpoint"
    except (OSError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        return one_line(error)[:200]
    fits = tensors == {name: tensor.shape for name, tensor in model.state_dict().items()}
    return "" if fits else "it is of another model"


class RelocatableCheckpoint(ModelCheckpoint):
    """Keeps the score of the best epoch when the folder was moved, which Lightning's own loses."""

    dirpath: str | Path  # `checkpoint_callbacks` always gives it

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state, with its paths moved to the present folder."""
        here = Path(self.dirpath)

        def moved(path: str) -> str:
            return str(here / Path(path).name) if path else path

        state_dict = {**state_dict, "dirpath": self.dirpath}
        for name in ("best_model_path", "kth_best_model_path", "last_model_path"):
            state_dict[name] = moved(state_dict[name])
        state_dict["best_k_models"] = {moved(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict)


def has_finished_epoch(path: Path) -> bool:
    """Return whether an intact `last.ckpt` was written after the end of an epoch, which may be the best."""
    return bool(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["callbacks"]["History"]["rows"])


class MidEpochCheckpoint(RelocatableCheckpoint):
    """Saves within an epoch at a time interval or after a stop signal, only at optimiser-step boundaries.

    After a stop signal, training ends. Gradients that still add up are in no checkpoint. After the last step Lightning
    would take the epoch for done, validation and all; the end of the epoch has its own checkpoint.
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restart the clock: the previous epoch has written a checkpoint."""
        self.on_train_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if the interval has passed and the optimiser has just stepped."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0 and not trainer.is_last_batch:
            if signum := _stop_signal(trainer):
                trainer.save_checkpoint(Path(self.dirpath) / "last.ckpt")
                _stop(trainer, signum)
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End training after the checkpoint of the epoch if a stop signal is pending."""
        if signum := _stop_signal(trainer):
            _stop(trainer, signum)

    def state_dict(self) -> dict[str, Any]:
        """Ignore the saved state: there is one file to overwrite, and a resume may set another interval."""
        return {}


def checkpoint_callbacks(folder: Path, minutes: float, selects: bool) -> list[ModelCheckpoint]:
    """Return the callbacks that write best.ckpt and last.ckpt.

    `best.ckpt` holds the weights of the best epoch, `last.ckpt` the complete state of an unfinished training. The best
    comes first, because the last stores its score.

    Args:
        folder: of the training.
        minutes: interval at which `last.ckpt` is also written within an epoch.
        selects: whether a part selects the best epoch; otherwise it is the last.
    """
    monitor = "dev/ua" if selects else "epoch"
    common: dict[str, Any] = {"dirpath": folder, "save_on_train_epoch_end": True, "enable_version_counter": False}
    return [
        RelocatableCheckpoint(filename="best", save_weights_only=True, monitor=monitor, mode="max", **common),
        RelocatableCheckpoint(filename="last", **common),
        MidEpochCheckpoint(filename="last", train_time_interval=timedelta(minutes=minutes), **common),
    ]
