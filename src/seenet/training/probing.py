"""What a job leaves to the machine (`auto`): the batch that fits a GPU, and whether compilation pays on it."""

import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightning
import torch

from seenet.corpora.folds import PlannedFold
from seenet.training.experiment import Experiment
from seenet.training.fold_runner import FoldRunner

PROBE_STEPS = 40  # at most, of which the later half counts: a process takes some steps to warm up
PROBE_SECONDS = 6.0  # after the first step, after which no further one is begun; but three are made
SMALL = 10_000_000  # parameters up to which a CPU is asked for whole batches
CPU_CLIPS = 4  # and how many clips of a batch it is asked for beyond


class _Stopwatch(lightning.Callback):
    """Times training steps, and stops after so many, or when it has seen enough."""

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
        """Note a step."""
        self.seconds.append(self._now() - self._start)
        enough = len(self.seconds) >= 3 and sum(self.seconds[1:]) > PROBE_SECONDS
        trainer.should_stop = enough if self._steps is None else len(self.seconds) >= self._steps


@dataclass(frozen=True)
class StepCost:
    """What a model costs on this machine.

    Attributes:
        train: seconds a clip and training step.
        checkpoint: bytes of a fold's best.ckpt.
        state: bytes of an unfinished fold's last.ckpt.
        steps: how many were made to find out.
    """

    train: float
    checkpoint: int
    state: int
    steps: int

    def seconds(self, job: Experiment, folds: Sequence[PlannedFold]) -> float:
        """About how long the training of some folds and a job's missing tests take.

        A prediction is reckoned as a third of a step, whose way back is twice the way there.
        """
        outlines = (job.folds.outline(fold.number) for fold in folds)
        trained = sum(job.plan.max_epochs * (len(fold.train) + len(fold.dev) / 3) for fold in outlines)
        tested = sum(len(fold.test) for fold in job.missing())
        return self.train * (trained + tested / 3)


def probe(job: Experiment, steps: int | None = None) -> StepCost:
    """Measure a few steps of a job's first missing fold; nothing of it stays.

    A CPU is asked for a few clips of a batch only where the model is large, and the rest is reckoned.

    Args:
        job: what is trained.
        steps: how many; None makes as many as `PROBE_STEPS` and `PROBE_SECONDS` say. Equal numbers see equal batches.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = FoldRunner(job, job.fold((job.folds_to_train() or job.folds.planned)[0].number), Path(folder))
        parameters = sum(p.numel() for p in run.model.parameters())
        trained = sum(p.numel() for p in run.model.parameters() if p.requires_grad)
        if job.plan.accelerator == "cpu" and parameters > SMALL:
            run.data.batch_size = min(run.data.batch_size, CPU_CLIPS)
        watch = _Stopwatch(steps)
        # Where it is to tell what compilation is worth, a batch of the development part has its forms compiled, too.
        batches = int(steps is not None and job.plan.compile is True)
        limits = {"max_steps": PROBE_STEPS, "max_epochs": PROBE_STEPS, "limit_val_batches": batches}
        trainer = job.plan.create_trainer(Path(folder), False, [watch], enable_checkpointing=False, **limits)
        run.run_lightning(trainer.fit)
        clips = run.data.batch_size
    later = watch.seconds[len(watch.seconds) // 2 :]
    return StepCost(
        statistics.median(later) / clips, 4 * parameters, 4 * (parameters + 2 * trained), len(watch.seconds)
    )
