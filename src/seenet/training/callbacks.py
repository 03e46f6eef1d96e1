"""Callbacks: the history of epochs, and stop signals."""

import math
import time
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, Checkpoint

from seenet.core import signals
from seenet.core.console import print_line
from seenet.core.processes import exit_process
from seenet.runs.results import CURVES


class EpochHistory(Checkpoint):
    """Collects and prints one row per epoch; checkpoints store the rows.

    It is a `Checkpoint` because Lightning calls those last, after the module has logged the epoch.

    Args:
        label: prefix of each line on the console.
    """

    def __init__(self, label: str):
        self.label = label
        self.rows: list[dict[str, Any]] = []
        self._start, self._before = 0.0, 0.0

    @property
    def state_key(self) -> str:
        """Return the key of this state in checkpoints, which is independent of the class name."""
        return "History"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, minus the seconds of a resumed epoch."""
        self._start = time.perf_counter() - self._before

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the row of the epoch."""
        selects = trainer.enable_validation
        logged = [name for name in CURVES if selects or not name.startswith("dev_")]
        values = {name: float(trainer.callback_metrics[name.replace("_", "/", 1)]) for name in logged}
        values = dict.fromkeys(CURVES, math.nan) | values
        row = {"epoch": trainer.current_epoch + 1, **values, "seconds": time.perf_counter() - self._start}
        self.rows.append(row)
        print_line(
            f"{self.label} epoch {row['epoch']}/{trainer.max_epochs}: loss {row['fit_loss']:.3f}, "
            f"{'dev' if selects else 'training'} UA {100 * row['dev_ua' if selects else 'fit_ua']:.1f} %  "
            f"({row['seconds']:.1f} s)"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the rows and the seconds of the running epoch."""
        return {"rows": self.rows, "seconds": time.perf_counter() - self._start}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the rows and the seconds of the running epoch."""
        self.rows, self._before = state_dict["rows"], state_dict["seconds"]


class StopSignals(Callback):
    """Defers stop signals to a checkpoint during training (`seenet.core.signals`); a test ends at once.

    Lightning installs its own signal handlers before it calls these hooks.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Defer signals to the next optimiser step."""
        signals.defer()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the deferral, and the program if a signal arrived after the last step."""
        signum = signals.get_pending()
        signals.stop_deferring()
        if signum:
            raise signals.StopSignalExit(signum)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End the deferral."""
        signals.stop_deferring()

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the signal handlers."""
        signals.install_handlers()

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the signal handlers."""
        signals.install_handlers()


def _stop_signal(trainer: Trainer) -> int:
    """Return the stop signal that any process of a run received, or 0. All processes call it together."""
    if trainer.world_size == 1:
        return signals.get_pending()
    received = torch.tensor(signals.get_pending(), device=trainer.strategy.root_device)
    return int(trainer.strategy.reduce(received, reduce_op="max"))


def _stop(trainer: Trainer, signum: int) -> None:
    """End a run after its checkpoint is written."""
    if not trainer.is_global_zero:
        exit_process(128 + signum)
    raise signals.StopSignalExit(signum)
