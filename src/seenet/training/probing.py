"""What a job leaves to the machine (`auto`): the batch that fits a GPU, and whether compilation pays on it."""

import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import lightning
import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from seenet.core.console import say
from seenet.core.errors import SeenetError, reason
from seenet.corpora.folds import PlannedFold
from seenet.data.loader import Loader
from seenet.runs.identity import EQUIVALENT_OPTIONS
from seenet.runs.results import read_object, write_json
from seenet.training.experiment import Job
from seenet.training.fold_runner import FoldRun

PROBE_STEPS = 40  # at most, of which the later half counts: a process takes some steps to warm up
PROBE_SECONDS = 6.0  # after the first step, after which no further one is begun; but three are made
SMALL = 10_000_000  # parameters up to which a CPU is asked for whole batches
CPU_CLIPS = 4  # and how many clips of a batch it is asked for beyond
FOUND = "compile.json"  # in a run's folder: whether torch.compile pays for it, on which device and with what
TRIED = 0.92  # of a GPU's memory, which a trial of a batch may take
WORTH = 300.0  # seconds of training that are left, below which compilation is not even tried


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
class Cost:
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

    def seconds(self, job: Job, folds: Sequence[PlannedFold]) -> float:
        """About how long the training of some folds and a job's missing tests take.

        A prediction is reckoned as a third of a step, whose way back is twice the way there.
        """
        outlines = (job.folds.outline(fold.number) for fold in folds)
        trained = sum(job.plan.max_epochs * (len(fold.train) + len(fold.dev) / 3) for fold in outlines)
        tested = sum(len(fold.test) for fold in job.missing())
        return self.train * (trained + tested / 3)


def probe(job: Job, steps: int | None = None) -> Cost:
    """Measure a few steps of a job's first missing fold; nothing of it stays.

    A CPU is asked for a few clips of a batch only where the model is large, and the rest is reckoned.

    Args:
        job: what is trained.
        steps: how many; None makes as many as `PROBE_STEPS` and `PROBE_SECONDS` say. Equal numbers see equal batches.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = FoldRun(job, job.fold((job.untrained() or job.folds.planned)[0].number), Path(folder))
        parameters = sum(p.numel() for p in run.model.parameters())
        trained = sum(p.numel() for p in run.model.parameters() if p.requires_grad)
        if job.plan.accelerator == "cpu" and parameters > SMALL:
            run.data.batch_size = min(run.data.batch_size, CPU_CLIPS)
        watch = _Stopwatch(steps)
        # Where it is to tell what compilation is worth, a batch of the development part has its forms compiled, too.
        batches = int(steps is not None and job.plan.compile is True)
        limits = {"max_steps": PROBE_STEPS, "max_epochs": PROBE_STEPS, "limit_val_batches": batches}
        trainer = job.plan.make(Path(folder), False, [watch], enable_checkpointing=False, **limits)
        run.run(trainer.fit)
        clips = run.data.batch_size
    later = watch.seconds[len(watch.seconds) // 2 :]
    return Cost(statistics.median(later) / clips, 4 * parameters, 4 * (parameters + 2 * trained), len(watch.seconds))


def with_compilation(job: Job) -> Job:
    """The job with `trainer.compile=auto` settled: compiled where a few steps are faster so.

    A short training is not compiled, for compiling takes a minute or more. Compilation that fails is said, and the
    training goes on without. What was measured is kept in the run's folder, so that a training that goes on there goes
    on as it began; another device or way to compute the backbone is tried anew.
    """
    if job.plan.compile != "auto":
        return job
    without, compiled = (replace(job, plan=replace(job.plan, compile=value)) for value in (False, True))
    kept, backbone = job.run.folder / FOUND, job.config["backbone"]
    measured_on = {"device": job.plan.device_name(), **{name: backbone.get(name) for name in EQUIVALENT_OPTIONS}}
    found = read_object(kept, ("compile", "measured_on"))
    if found is not None and found["measured_on"] == measured_on:
        return compiled if found["compile"] else without
    left = job.untrained()
    plain = probe(without)
    seconds = plain.seconds(job, left)
    if seconds < WORTH:
        return without
    try:
        fused = probe(compiled, plain.steps)
    except (RuntimeError, SeenetError) as error:  # no compiler here, or one that cannot, or a backbone without
        why = reason(error)[:200]  # a compiler's are pages long
        say(f"trainer.compile=auto: torch.compile fails here ({why}); training goes on without it")
        return without
    saved = seconds - fused.seconds(job, left)  # what compiling took is spent: later folds of this process find it
    verdict = f"saves {saved:.0f} s" if saved > 0 else "does not pay"
    say(f"trainer.compile=auto: torch.compile {verdict} of about {seconds:.0f} s")
    write_json(kept, {"compile": saved > 0, "measured_on": measured_on})
    return compiled if saved > 0 else without


def with_batch_size(cfg: DictConfig) -> Job:
    """The job of a configuration, `data.batch_size=auto` settled.

    It becomes the backbone's own (`backbone.recipe.batch_size`) where that fits the GPU, else the first of its half,
    quarter, ... that does, and `trainer.accumulate_grad_batches` makes up for it; a run that was begun goes on in as
    many parts as it has. On a CPU, whose memory gives no warning, it is the backbone's own.

    Args:
        cfg: the composed configuration (conf/train.yaml).

    Raises:
        SeenetError: the backbone has no batch size of its own, several GPUs, or not even one clip fits; and whatever
            `Job.of` finds.
    """
    if cfg.data.batch_size != "auto":
        return Job.of(cfg)
    whole = OmegaConf.select(cfg, "backbone.recipe.batch_size")
    if not isinstance(whole, int):
        raise SeenetError("data.batch_size=auto: this backbone has no backbone.recipe.batch_size; give a number")
    cfg = cfg.copy()
    cfg.data.batch_size = whole
    job = Job.of(cfg)
    if job.plan.devices > 1:
        raise SeenetError(f"data.batch_size=auto is for one GPU, and trainer.devices={job.plan.devices}; give a number")
    if job.plan.accelerator == "cpu":
        return job
    ways = [job.in_parts(2**k) for k in range((whole - 1).bit_length() + 1)]  # down to a single clip
    chosen = next((way for way in ways if way.begun()), None) or fitting(ways)
    say(
        f"data.batch_size=auto: data.batch_size={chosen.cfg.data.batch_size} "
        f"trainer.accumulate_grad_batches={chosen.plan.accumulate_grad_batches}"
    )
    return chosen


def fitting(ways: Sequence[Job]) -> Job:
    """The first of some jobs, in the order of their need of memory, that leaves memory large enough.

    Raises:
        SeenetError: not even the last fits.
    """
    for way in ways[:-1]:
        try:
            with _less_memory():
                take_longest(way)
        except SeenetError as error:
            if not isinstance(error.__cause__, torch.OutOfMemoryError):
                raise
        else:
            return way
        torch.cuda.empty_cache()  # once the error and its frames are gone, with all that they held
    take_longest(ways[-1])
    return ways[-1]


@contextmanager
def _less_memory() -> Iterator[None]:
    """Keep a trial from some of the GPU's memory, which batches of many lengths fill less neatly than one."""
    if torch.cuda.is_available():
        torch.cuda.set_per_process_memory_fraction(TRIED)
    try:
        yield
    finally:
        if torch.cuda.is_available():
            torch.cuda.set_per_process_memory_fraction(1.0)


def take_longest(job: Job) -> None:
    """Take two optimiser steps over the longest clips; the second has the optimiser's state beside it.

    Raises:
        SeenetError: from a torch.OutOfMemoryError where memory is too small.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = FoldRun(job, job.fold(job.untrained()[0].number), Path(folder))
        part = run.data.parts["train"]
        longest = np.argsort(-part.lengths, kind="stable")[: run.data.batch_size].tolist()
        batch = [(clip, clip if run.data.partner else -1) for clip in longest]
        steps = 2 * job.plan.accumulate_grad_batches
        run.data.train_dataloader = lambda: Loader(part, [batch] * steps, torch.device(run.model.device))
        limits = {"max_epochs": 1, "limit_val_batches": 0, "enable_progress_bar": False}
        run.run(job.plan.make(Path(folder), False, [], enable_checkpointing=False, **limits).fit)
