"""How Lightning runs a fold: devices, precision, checkpoints, progress."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from seenet.core.errors import SeenetError
from seenet.core.processes import check_process_count, count_launched_processes
from seenet.runs.identity import TRAINER_SETTINGS


@dataclass
class TrainerConfig:
    """Settings of the trainer, with `auto` resolved for this machine.

    Args:
        max_epochs: how many epochs.
        accelerator: `auto` is the GPU where there is one.
        devices: how many processes, one a device; `auto` is every GPU, and one process on CPU.
        precision: `auto` is bf16-mixed on a GPU (16-mixed where it has no bf16), and 32-true elsewhere.
        strategy: Lightning's; `auto` is ddp for several devices.
        accumulate_grad_batches: batches an optimiser step.
        gradient_clip_val: norm to clip the gradient to, or None.
        compile: let torch.compile fuse the backbone's layers. `auto` stays so on one GPU, for `with_compilation` to
            settle, and is False elsewhere.
        checkpoint_minutes: after how long `last.ckpt` is written within an epoch, too.
        early_stopping_patience: training stops after so many epochs without a higher UA of the selecting part; None
            trains all epochs.

    Raises:
        SeenetError: a GPU is asked for and there is none, or a number that makes no sense.
    """

    max_epochs: int
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int | Literal["auto"] = 1
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = "auto"
    strategy: Literal["auto", "ddp"] = "auto"
    accumulate_grad_batches: int = 1
    gradient_clip_val: float | None = None
    compile: bool | Literal["auto"] = "auto"
    checkpoint_minutes: float = 10.0
    early_stopping_patience: int | None = None

    def __post_init__(self) -> None:
        import torch  # a late import: earlier checks do not wait for torch

        gpus = torch.cuda.device_count()
        if self.accelerator == "gpu" and gpus == 0:
            raise SeenetError("trainer asks for a GPU and torch finds none; take trainer=cpu or trainer=auto")
        on_gpu = gpus > 0 and self.accelerator != "cpu"
        self.accelerator = "gpu" if on_gpu else "cpu"
        if self.devices == "auto":
            self.devices = count_launched_processes() if count_launched_processes() > 1 or not on_gpu else gpus
        if self.devices < 1 or (on_gpu and self.devices > gpus):
            most = f"1 to {gpus} GPUs" if on_gpu else "at least 1 process"
            raise SeenetError(f"trainer.devices={self.devices}: expected {most}")
        check_process_count(self.devices)
        if self.compile == "auto" and (not on_gpu or self.devices > 1):
            self.compile = False
        if self.precision == "auto" and not on_gpu:
            self.precision = "32-true"
        elif self.precision == "auto":
            self.precision = "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
        if self.precision == "16-mixed" and not on_gpu:
            raise SeenetError("trainer.precision=16-mixed needs a GPU; on the CPU take 32-true or bf16-mixed")
        if self.strategy == "auto" and self.devices > 1:
            self.strategy = "ddp"
        self._check_numbers()

    def _check_numbers(self) -> None:
        """Raise a SeenetError for a number out of range."""
        for name in ("max_epochs", "accumulate_grad_batches"):
            if getattr(self, name) < 1:
                raise SeenetError(f"trainer.{name}={getattr(self, name)}: at least 1 is needed")
        if self.gradient_clip_val is not None and not 0 < self.gradient_clip_val < float("inf"):
            raise SeenetError(f"trainer.gradient_clip_val={self.gradient_clip_val}: expected a number above 0, or null")
        if self.early_stopping_patience is not None and self.early_stopping_patience < 1:
            raise SeenetError(
                f"trainer.early_stopping_patience={self.early_stopping_patience}: expected 1 epoch or more, or null"
            )
        if not 0 < self.checkpoint_minutes < float("inf"):
            raise SeenetError(f"trainer.checkpoint_minutes={self.checkpoint_minutes}: expected a number above 0")

    def learned(self) -> dict[str, Any]:
        """Return the settings that change what is learned."""
        return {name: getattr(self, name) for name in TRAINER_SETTINGS}

    def device_name(self) -> str:
        """Return the name of the device, e.g. `2 x NVIDIA H100`."""
        import torch

        name = torch.cuda.get_device_name() if self.accelerator == "gpu" else "cpu"
        return name if self.devices == 1 else f"{self.devices} x {name}"

    def create_trainer(self, folder: Path, logger: Any, callbacks: Sequence[Any], **options: Any) -> Any:
        """Return a Lightning Trainer that writes to `folder`; `options` override the usual ones."""
        import lightning
        from lightning.fabric.plugins.environments.lightning import LightningEnvironment
        from lightning.fabric.utilities.rank_zero import rank_zero_only

        from seenet.training.callbacks import StopSignals
        from seenet.training.checkpoints import AtomicCheckpointIO

        if self.devices == 1:  # also a task of srun that is a separate run
            rank_zero_only.rank = 0  # type: ignore[attr-defined]  # Lightning, too, sets it on the function
        usual = {
            "default_root_dir": folder,
            "accelerator": self.accelerator,
            "devices": self.devices,
            "precision": self.precision,
            # plain ddp fails where a step skips parameters: layerdrop, or the mask vector of channel masks
            "strategy": "ddp_find_unused_parameters_true" if self.strategy == "ddp" else self.strategy,
            "max_epochs": self.max_epochs,
            "accumulate_grad_batches": self.accumulate_grad_batches,
            "gradient_clip_val": self.gradient_clip_val,
            "logger": logger,
            "callbacks": [StopSignals(), *callbacks],
            "plugins": [
                AtomicCheckpointIO(),
                LightningEnvironment(),
            ],  # ranks are in its variables (seenet.core.processes)
            "use_distributed_sampler": False,  # our batch samplers divide the clips among processes
            "num_sanity_val_steps": 0,
            "inference_mode": self.compile is not True,  # inference mode would compile every layer again
            "enable_model_summary": False,
            "enable_progress_bar": sys.stderr.isatty(),
            "log_every_n_steps": 1,
        }
        return lightning.Trainer(**{**usual, **options})
