"""The plan of a sweep: whether everything is there, what is done, what it needs, and how long it may take."""

import math
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
import torch
from omegaconf import DictConfig
from rich import box
from rich.markup import escape
from rich.table import Table

from seenet.console import say, terminal
from seenet.data.dataset import Part
from seenet.errors import SeenetError
from seenet.fit import FoldRun, build_auxiliary
from seenet.folds import Fold
from seenet.job import Job, problems
from seenet.runs import digest, read_result

PROBE_STEPS = 40  # at most, of which the later half counts: a process takes some steps to warm up
PROBE_SECONDS = 6.0  # after which no further step is begun, but three are made
SMALL = 10_000_000  # parameters up to which a CPU is asked for whole batches
ANY_DIM = 768  # of pooled vectors, where a task is only tried: the backbone that knows is heavy
CPU_CLIPS = 4  # and how many clips of a batch it is asked for beyond


class _Stopwatch(lightning.Callback):
    """Times training steps, and stops when it has seen enough."""

    def __init__(self):
        self.seconds: list[float] = []
        self._start = 0.0

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
        trainer.should_stop = len(self.seconds) >= 3 and sum(self.seconds) > PROBE_SECONDS


@dataclass(frozen=True)
class Cost:
    """What a model costs on this machine.

    Attributes:
        train: seconds a clip and training step.
        checkpoint: bytes of a fold's best.ckpt.
        state: bytes of an unfinished fold's last.ckpt.
    """

    train: float
    checkpoint: int
    state: int

    def seconds(self, job: Job, folds: Sequence[Fold]) -> float:
        """About how long the training of some folds and a job's missing tests take.

        A prediction is reckoned as a third of a step, whose way back is twice the way there.
        """
        trained = sum(job.plan.max_epochs * (len(fold.train) + len(fold.dev) / 3) for fold in folds)
        tested = sum(len(fold.test) for fold, _, folder in job.tests() if read_result(folder) is None)
        return self.train * (trained + tested / 3)


def probe(job: Job) -> Cost:
    """Measure a few steps of a job's first missing fold; nothing of it stays.

    A CPU is asked for a few clips of a batch only where the model is large, and the rest is reckoned.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = FoldRun(job, (job.untrained() or job.folds)[0], Path(folder))
        parameters = sum(p.numel() for p in run.model.parameters())
        trained = sum(p.numel() for p in run.model.parameters() if p.requires_grad)
        if job.plan.accelerator == "cpu" and parameters > SMALL:
            run.data.batch_size = min(run.data.batch_size, CPU_CLIPS)
        watch = _Stopwatch()
        limits = {"max_steps": PROBE_STEPS, "max_epochs": PROBE_STEPS, "limit_val_batches": 0}
        trainer = job.plan.make(Path(folder), False, [watch], enable_checkpointing=False, **limits)
        run.run(trainer.fit)
        clips = run.data.batch_size
    later = watch.seconds[len(watch.seconds) // 2 :]
    return Cost(statistics.median(later) / clips, 4 * parameters, 4 * (parameters + 2 * trained))


def make_plan(cfgs: Mapping[str, DictConfig]) -> None:
    """Check every job of a sweep and say what will be done, what it needs and about how long it takes.

    Args:
        cfgs: the composed configuration of each job, by its name.

    Raises:
        SeenetError: something is missing; all of it has been said, a line each.
    """
    jobs: dict[str, Job] = {}
    missing: dict[str, list[str]] = {}
    for name, cfg in cfgs.items():
        found = problems(cfg)
        if not found:
            try:
                jobs[name] = Job.of(cfg)
                _require_auxiliary(jobs[name])
            except SeenetError as error:  # of its data: bad files, folds without clips, no genders to learn
                found = [str(error)]
        for message in found:
            missing.setdefault(message, []).append(name)
    if missing:
        for message, names in missing.items():
            say(f"missing ({len(names)} of {len(cfgs)} jobs): {message}")
        raise SeenetError("not everything is there, see above; nothing was started")
    costs = _probe_all(jobs.values())
    say("\nplan")
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("job", "folds", "trained", "tests", "tested", "about"):
        table.add_column(column, justify="left" if column == "job" else "right")
    total, needed = 0.0, 0
    planned: set[Path] = set()  # jobs that differ in their test condition only share a training
    for name, job in jobs.items():
        trainings, tests = {job.folds[n].training for n in job.chosen}, len(list(job.tests()))
        left, untested = job.untrained(), job.untested()
        new = [fold for fold in left if job.run.fold_folder(fold) not in planned]
        planned |= {job.run.fold_folder(fold) for fold in new}
        cost = costs.get(_model(job))
        seconds = cost.seconds(job, new) if cost else 0.0
        total += seconds
        needed += len(new) * cost.checkpoint if cost else 0
        counts = (len(trainings), len(trainings) - len(left), tests, tests - untested)
        about = in_words(seconds) if untested else "done"
        table.add_row(escape(name), *map(str, counts), about)
    terminal().print(table)
    _require_disk(jobs.values(), needed + max((cost.state for cost in costs.values()), default=0))
    if costs:
        devices = sorted({job.plan.device_name() for job in jobs.values()})
        say(f"about {in_words(total)} on {', '.join(devices)}, by a short probe of each model")


def _require_auxiliary(job: Job) -> None:
    """Only some jobs are probed, and each may learn something else that the corpus does not say."""
    for fold in job.untrained():
        part = Part(job.manifest, job.store, fold.train, job.classes)
        build_auxiliary(job, part, ANY_DIM)


def _model(job: Job) -> str:
    """A key for jobs whose steps cost nearly the same."""
    names: Any = ("backbone", "data", "trainer")
    return digest({name: job.config[name] for name in names})


def _probe_all(jobs: Sequence[Job] | Any) -> dict[str, Cost]:
    costs: dict[str, Cost] = {}
    for job in jobs:
        if job.untested() and _model(job) not in costs:
            costs[_model(job)] = probe(job)
    return costs


def _require_disk(jobs: Any, needed: int) -> None:
    folder = next(iter(jobs)).run.folder.parent.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed:
        say(f"disk: {_gigabytes(needed)} for checkpoints, {_gigabytes(free)} free in '{folder}'")
    if needed > free:
        raise SeenetError(f"output_dir: '{folder}' is too small by {_gigabytes(needed - free)}; give another one")


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"


def in_words(seconds: float) -> str:
    """A duration as people say it: `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    minutes = math.ceil(seconds / 60)
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
