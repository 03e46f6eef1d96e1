"""The plan of a sweep: missing prerequisites, finished work, required disk space and estimated time."""

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
from seenet.data.targets import TargetSpec
from seenet.models.factory import ModelSpec, build_auxiliary
from seenet.runs.identity import digest
from seenet.training.auto_batch_size import resolve_batch_size
from seenet.training.experiment import Experiment, find_missing_prerequisites
from seenet.training.probing import StepCost, probe

ANY_DIM = 768  # width of pooled vectors where a task is built for a check only


def print_sweep_plan(cfgs: Mapping[str, DictConfig]) -> None:
    """Check every job of a sweep; print the work, its disk space and its estimated time.

    Args:
        cfgs: the composed configuration of each job, by its name.

    Raises:
        SeenetError: prerequisites are missing; each is printed on one line.
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
        raise SeenetError("prerequisites are missing (see above); no job was started")
    costs = _probe_all(jobs.values())
    print_line("\nplan")
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("job", "folds", "trained", "tests", "tested", "about"):
        table.add_column(column, justify="left" if column == "job" else "right")
    total, needed = 0.0, 0
    planned: set[Path] = set()  # jobs that differ only in their test condition share a training
    for name, experiment in jobs.items():
        trainings, tests = (
            {experiment.folds.planned[n].training for n in experiment.chosen},
            len(list(experiment.tests())),
        )
        left, untested = experiment.folds_to_train(), len(experiment.missing())
        new = [fold for fold in left if experiment.fold_folder(fold.number) not in planned]
        planned |= {experiment.fold_folder(fold.number) for fold in new}
        cost = costs.get(_model(experiment))
        seconds = cost.seconds(experiment, new) if cost else 0.0
        total += seconds
        needed += len(new) * cost.checkpoint if cost else 0
        counts = (len(trainings), len(trainings) - len(left), tests, tests - untested)
        about = format_duration(seconds) if left or untested else "done"
        table.add_row(escape(name), *map(str, counts), about)
    make_console().print(table)
    _require_disk(jobs.values(), needed + max((cost.state for cost in costs.values()), default=0))
    if costs:
        devices = sorted({experiment.trainer.device_name() for experiment in jobs.values()})
        print_line(f"about {format_duration(total)} on {', '.join(devices)}, by a short probe of each model")


def _require_auxiliary(experiment: Experiment) -> None:
    """Build the auxiliary task of every fold: each may need targets that the corpus lacks."""
    for fold in experiment.folds_to_train():
        rows, classes = experiment.folds.outline(fold.number).train, experiment.classes
        targets = TargetSpec.of(FoldPart(experiment.manifest, experiment.store, rows, classes), len(classes))
        build_auxiliary(ModelSpec.of(experiment.config, classes, targets), ANY_DIM)


def _model(experiment: Experiment) -> str:
    """Return a key that is equal for jobs with nearly the same cost per step."""
    names: Any = ("backbone", "data", "trainer")
    return digest({name: experiment.config[name] for name in names})


def _probe_all(jobs: Sequence[Experiment] | Any) -> dict[str, StepCost]:
    costs: dict[str, StepCost] = {}
    for experiment in jobs:
        if (experiment.missing() or experiment.folds_to_train()) and _model(experiment) not in costs:
            costs[_model(experiment)] = probe(experiment)
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
    """Return a duration as text, e.g. `40 s`, `12 min`, `3 h 20 min`, `2 d 4 h`."""
    minutes = math.ceil(seconds / 60)
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    if minutes < 90:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
