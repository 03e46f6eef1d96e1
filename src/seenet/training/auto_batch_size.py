"""`data.batch_size=auto`: the largest batch that fits the GPU."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from seenet.core.console import print_line
from seenet.core.errors import SeenetError
from seenet.data.loader import Loader
from seenet.training.experiment import Experiment
from seenet.training.fold_runner import FoldRunner

TRIAL_MEMORY_FRACTION = 0.92  # the rest of the GPU's memory is a reserve


def resolve_batch_size(cfg: DictConfig) -> Experiment:
    """Return the experiment with `data.batch_size=auto` resolved.

    The batch size becomes `backbone.recipe.batch_size` if that fits the GPU, else the first of its half, quarter, ...
    that fits; `trainer.accumulate_grad_batches` rises accordingly. A run that has checkpoints keeps its batch size. On
    a CPU, where memory cannot be probed, the batch size is `backbone.recipe.batch_size`.

    Args:
        cfg: the composed configuration (conf/train.yaml).

    Raises:
        SeenetError: no `backbone.recipe.batch_size`, several GPUs, a GPU too small for one clip, or an error of
            `Experiment.from_config`.
    """
    if cfg.data.batch_size != "auto":
        return Experiment.from_config(cfg)
    full_size = OmegaConf.select(cfg, "backbone.recipe.batch_size")
    if not isinstance(full_size, int):
        raise SeenetError("data.batch_size=auto: this backbone has no backbone.recipe.batch_size; give a number")
    cfg = cfg.copy()
    cfg.data.batch_size = full_size
    experiment = Experiment.from_config(cfg)
    if experiment.trainer.devices != 1:
        raise SeenetError(
            f"data.batch_size=auto is for one GPU, and trainer.devices={experiment.trainer.devices}; give a number"
        )
    if experiment.trainer.accelerator == "cpu":
        return experiment
    ways = [experiment.in_parts(2**k) for k in range((full_size - 1).bit_length() + 1)]  # down to a single clip
    chosen = next((way for way in ways if way.has_checkpoints_or_results()), None) or first_that_fits(ways)
    print_line(
        f"data.batch_size=auto: data.batch_size={chosen.batch_size} "
        f"trainer.accumulate_grad_batches={chosen.trainer.accumulate_grad_batches}"
    )
    return chosen


def first_that_fits(ways: Sequence[Experiment]) -> Experiment:
    """Return the first of several experiments, ordered by their need of memory, that fits the GPU.

    Raises:
        SeenetError: not even the last fits.
    """
    for way in ways[:-1]:
        try:
            with _reserve_memory():
                run_worst_case_steps(way)
        except SeenetError as error:
            if not isinstance(error.__cause__, torch.OutOfMemoryError):
                raise
        else:
            return way
        torch.cuda.empty_cache()  # after the error and the tensors in its frames are freed
    run_worst_case_steps(ways[-1])
    return ways[-1]


@contextmanager
def _reserve_memory() -> Iterator[None]:
    """Reserve 8 % of GPU memory during the trial: variable batch lengths fragment memory."""
    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(TRIAL_MEMORY_FRACTION)
    try:
        yield
    finally:
        if torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(1.0)


def run_worst_case_steps(experiment: Experiment) -> None:
    """Take two optimiser steps over the longest clips; the second includes the optimiser's state.

    Raises:
        SeenetError: from a torch.OutOfMemoryError where memory is too small.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = FoldRunner(experiment, experiment.fold(experiment.folds_to_train()[0].number), Path(folder))
        part = run.data.parts["train"]
        longest = np.argsort(-part.lengths, kind="stable")[: run.data.batch_size].tolist()
        batch = [(clip, clip if run.data.partner else -1) for clip in longest]
        steps = 2 * experiment.trainer.accumulate_grad_batches
        run.data.train_dataloader = lambda: Loader(part, [batch] * steps, torch.device(run.model.device))
        limits = {"max_epochs": 1, "limit_val_batches": 0, "enable_progress_bar": False}
        run.run_lightning(
            experiment.trainer.create_trainer(Path(folder), False, [], enable_checkpointing=False, **limits).fit
        )
