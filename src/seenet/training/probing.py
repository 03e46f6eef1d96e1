"""Probes: a few training steps that measure the cost of an experiment on this machine."""

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
import torch

from seenet.corpora.folds import PlannedFold
from seenet.training.cached_parts import reads_cache
from seenet.training.experiment import Experiment
from seenet.training.fold_runner import FoldRunner

PROBE_STEPS = 40  # at most; the later half counts, after the warm-up of the process
PROBE_SECONDS = 6.0  # after the first step; no later step starts, but three are made
SMALL = 10_000_000  # parameters; a CPU probes smaller models with complete batches
CPU_CLIPS = 4  # clips per batch in probes of larger models on a CPU


class _Stopwatch(lightning.Callback):
    """Times training steps, and stops after a number of steps or seconds."""

    def __init__(self, steps: int | None):
        self.seconds: list[float] = []
        self._steps, self._start = steps, 0.0

    def _now(self) -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_train_batch_start(self, *_: object) -> None:
        """Start the clock."""
        self._start = self._now()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: object) -> None:
        """Record the duration of a step."""
        self.seconds.append(self._now() - self._start)
        enough = len(self.seconds) >= 3 and sum(self.seconds[1:]) > PROBE_SECONDS
        trainer.should_stop = enough if self._steps is None else len(self.seconds) >= self._steps


@dataclass(frozen=True)
class StepCost:
    """The cost of a model on this machine.

    Attributes:
        train: seconds a clip and training step.
        checkpoint: bytes of a fold's best.ckpt and model.safetensors.
        state: bytes of an unfinished fold's last.ckpt.
        steps: how many were made to find out.
    """

    train: float
    checkpoint: int
    state: int
    steps: int

    def seconds(self, experiment: Experiment, folds: Sequence[PlannedFold]) -> float:
        """Estimate the seconds that the training of some folds and the missing tests take.

        A prediction counts as a third of a step: a backward pass costs about two forward passes.
        """
        outlines = (experiment.folds.outline(fold.number) for fold in folds)
        epochs = 1 if reads_cache(experiment) else experiment.epochs  # later epochs take little time
        trained = sum(epochs * (len(fold.train) + len(fold.dev) / 3) for fold in outlines)
        tested = sum(len(fold.test) for fold in experiment.missing())
        return self.train * (trained + tested / 3)


def probe(experiment: Experiment, steps: int | None = None) -> StepCost:
    """Measure a few steps of the first missing fold, in a temporary folder.

    A CPU is asked for a few clips of a batch only where the model is large, and the rest is reckoned.

    Args:
        experiment: what is trained.
        steps: how many; None makes as many as `PROBE_STEPS` and `PROBE_SECONDS` say. Equal numbers see equal batches.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = FoldRunner(
            experiment,
            experiment.fold((experiment.folds_to_train() or experiment.folds.planned)[0].number),
            Path(folder),
        )
        parameters = sum(p.numel() for p in run.model.parameters())
        trained = sum(p.numel() for p in run.model.parameters() if p.requires_grad)
        if experiment.trainer.accelerator == "cpu" and parameters > SMALL:
            run.data.batch_size = min(run.data.batch_size, CPU_CLIPS)
        watch = _Stopwatch(steps)
        # A comparison with compilation also compiles the shapes of a batch of the development part.
        batches = int(steps is not None and experiment.trainer.compile is True and bool(experiment.conditions))
        limits = {"max_steps": PROBE_STEPS, "max_epochs": PROBE_STEPS, "limit_val_batches": batches}
        trainer = experiment.trainer.create_trainer(Path(folder), False, [watch], enable_checkpointing=False, **limits)
        run.run_lightning(trainer.fit)
        clips = run.data.batch_size
    later = watch.seconds[len(watch.seconds) // 2 :]
    return StepCost(
        statistics.median(later) / clips, 8 * parameters, 4 * (parameters + 2 * trained), len(watch.seconds)
    )
