"""Calls of Lightning's trainer: quiet libraries, and their errors as one line."""

import logging
import signal
import warnings
from typing import Any

import torch
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.utilities.exceptions import SIGTERMException

from seenet.core.errors import SeenetError, one_line
from seenet.core.processes import exit_process, has_lost_process, is_global_rank_zero, register_child_processes
from seenet.training.experiment import Experiment

_LIBRARY_WARNINGS = (
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*predict returned None.*",
    ".*mismatched key_padding_mask and attn_mask.*",
    ".*`isinstance.treespec, LeafSpec.` is deprecated.*",
    ".*flex_attention called without torch.compile.*",
    ".*TensorFloat32 tensor cores.*",
)
"""Libraries print these at every fold; they do not help users."""


def silence_libraries() -> None:
    """Suppress notices and warnings of Lightning and torch that do not help users."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it searches for CUDA wherever it compiles
    for message in _LIBRARY_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    warnings.filterwarnings("ignore", category=PossibleUserWarning)  # Lightning's hints, e.g. about srun


def call_trainer(entry_point: Any, experiment: Experiment, model: Any, data: Any, **options: Any) -> None:
    """Call an entry point of a Lightning trainer and translate errors of memory, signals and lost processes.

    Args:
        entry_point: `trainer.fit`, `trainer.test` or `trainer.predict`.
        experiment: the experiment, whose batch size a message names.
        model: the LightningModule.
        data: the LightningDataModule.
        options: of the entry point.

    Raises:
        SeenetError: the GPU's memory is too small, or another process of the run ended.
    """
    try:
        entry_point(model, datamodule=data, **options)
    except SIGTERMException as error:  # Lightning's own exit code is 0, which a scheduler reads as success
        raise SystemExit(128 + signal.SIGTERM) from error
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    except torch.OutOfMemoryError as error:
        raise SeenetError(_explain_memory(experiment)) from error
    except RuntimeError as error:
        if not has_lost_process(error):
            raise
        if not is_global_rank_zero():  # the process that ended prints the reason
            exit_process(1)
        raise SeenetError(f"another process of this run ended: {one_line(error)[:200]}") from error
    finally:
        register_child_processes(entry_point.__self__.strategy.launcher)


def _explain_memory(experiment: Experiment) -> str:
    size, steps = experiment.batch_size, experiment.trainer.accumulate_grad_batches
    advice = (
        "shorten data.max_seconds or take a smaller backbone"
        if size == 1
        else f"take data.batch_size={size // 2} trainer.accumulate_grad_batches={2 * steps} (an auxiliary "
        "task then sees half as many clips at once)"
    )
    return f"the GPU's memory is too small for data.batch_size={size}: {advice}"
