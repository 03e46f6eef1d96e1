"""The plan of a sweep: whether everything is there, what is done, what it needs, and how long it may take."""

import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich import box
from rich.markup import escape
from rich.table import Table

from seenet.core.console import say, terminal
from seenet.core.errors import SeenetError
from seenet.data.dataset import Part
from seenet.runs.identity import digest
from seenet.training.auto_batch_size import with_batch_size
from seenet.training.experiment import Job, problems
from seenet.training.fold_runner import build_auxiliary
from seenet.training.probing import Cost, probe

ANY_DIM = 768  # of pooled vectors, where a task is only tried: the backbone that knows is heavy


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
                jobs[name] = with_batch_size(cfg)
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
        trainings, tests = {job.folds.planned[n].training for n in job.chosen}, len(list(job.tests()))
        left, untested = job.untrained(), job.untested()
        new = [fold for fold in left if job.fold_folder(fold.number) not in planned]
        planned |= {job.fold_folder(fold.number) for fold in new}
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
        part = Part(job.manifest, job.store, job.folds.outline(fold.number).train, job.classes)
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
