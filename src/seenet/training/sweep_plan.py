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

from seenet.core.console import make_console, print_line
from seenet.core.errors import SeenetError
from seenet.data.dataset import FoldPart
from seenet.runs.identity import digest
from seenet.training.auto_batch_size import resolve_batch_size
from seenet.training.experiment import Experiment, find_missing_prerequisites
from seenet.training.fold_runner import build_auxiliary
from seenet.training.probing import StepCost, probe

ANY_DIM = 768  # of pooled vectors, where a task is only tried: the backbone that knows is heavy


def print_sweep_plan(cfgs: Mapping[str, DictConfig]) -> None:
    """Check every job of a sweep and say what will be done, what it needs and about how long it takes.

    Args:
        cfgs: the composed configuration of each job, by its name.

    Raises:
        SeenetError: something is missing; all of it has been said, a line each.
    """
    jobs: dict[str, Experiment] = {}
    missing: dict[str, list[str]] = {}
    for name, cfg in cfgs.items():
        found = find_missing_prerequisites(cfg)
        if not found:
            try:
                jobs[name] = resolve_batch_size(cfg)
                _require_auxiliary(jobs[name])
            except SeenetError as error:  # of its data: bad files, folds without clips, no genders to learn
                found = [str(error)]
        for message in found:
            missing.setdefault(message, []).append(name)
    if missing:
        for message, names in missing.items():
            print_line(f"missing ({len(names)} of {len(cfgs)} jobs): {message}")
        raise SeenetError("not everything is there, see above; nothing was started")
    costs = _probe_all(jobs.values())
    print_line("\nplan")
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("job", "folds", "trained", "tests", "tested", "about"):
        table.add_column(column, justify="left" if column == "job" else "right")
    total, needed = 0.0, 0
    planned: set[Path] = set()  # jobs that differ in their test condition only share a training
    for name, job in jobs.items():
        trainings, tests = {job.folds.planned[n].training for n in job.chosen}, len(list(job.tests()))
        left, untested = job.folds_to_train(), job.count_missing_results()
        new = [fold for fold in left if job.fold_folder(fold.number) not in planned]
        planned |= {job.fold_folder(fold.number) for fold in new}
        cost = costs.get(_model(job))
        seconds = cost.seconds(job, new) if cost else 0.0
        total += seconds
        needed += len(new) * cost.checkpoint if cost else 0
        counts = (len(trainings), len(trainings) - len(left), tests, tests - untested)
        about = format_duration(seconds) if untested else "done"
        table.add_row(escape(name), *map(str, counts), about)
    make_console().print(table)
    _require_disk(jobs.values(), needed + max((cost.state for cost in costs.values()), default=0))
    if costs:
        devices = sorted({job.plan.device_name() for job in jobs.values()})
        print_line(f"about {format_duration(total)} on {', '.join(devices)}, by a short probe of each model")


def _require_auxiliary(job: Experiment) -> None:
    """Only some jobs are probed, and each may learn something else that the corpus does not say."""
    for fold in job.folds_to_train():
        part = FoldPart(job.manifest, job.store, job.folds.outline(fold.number).train, job.classes)
        build_auxiliary(job, part, ANY_DIM)


def _model(job: Experiment) -> str:
    """A key for jobs whose steps cost nearly the same."""
    names: Any = ("backbone", "data", "trainer")
    return digest({name: job.config[name] for name in names})


def _probe_all(jobs: Sequence[Experiment] | Any) -> dict[str, StepCost]:
    costs: dict[str, StepCost] = {}
    for job in jobs:
        if job.count_missing_results() and _model(job) not in costs:
            costs[_model(job)] = probe(job)
    return costs


def _require_disk(jobs: Any, needed: int) -> None:
    folder = next(iter(jobs)).run.folder.parent.resolve()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if needed:
        print_line(f"disk: {_gigabytes(needed)} for checkpoints, {_gigabytes(free)} free in '{folder}'")
    if needed > free:
        raise SeenetError(f"output_dir: '{folder}' is too small by {_gigabytes(needed - free)}; give another one")


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.2f} GB"


def format_duration(seconds: float) -> str:
    """A duration as people say it: `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    minutes = math.ceil(seconds / 60)
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
