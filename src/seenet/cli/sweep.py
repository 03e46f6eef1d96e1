"""Sweeps: a plan before the first job, a note of what each job did, and a comparison and a report at the end."""

import json
import os
import sys
import traceback
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from filelock import FileLock, Timeout
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from seenet.cli.hydra_app import (
    EXPECTED,
    WANTS_TRACEBACK,
    format_error,
    make_output_encodable,
    print_error,
    run_or_exit,
)
from seenet.core.atomic import atomic_write_text
from seenet.core.errors import SeenetError

JOB_RECORD = "arm.json"
NON_ARM_SETTINGS = ("fold", "seed", "noise")
"""Settings that make no arm of their own: an arm is their mean, or is shown once for each test condition."""


SWEEP = "SEENET_SWEEP"
"""The environment variable with a sweep's own name, which workers inherit: what is noted below it is compared."""


def run_job(cfg: DictConfig, job: Callable[[DictConfig], list[str]]) -> None:
    """Run a job; in a sweep one that fails is noted and does not stop the others.

    Args:
        cfg: the composed configuration.
        job: returns the folders of its results.
    """
    hydra_config = HydraConfig.get()
    if hydra_config.mode != RunMode.MULTIRUN:
        run_or_exit(cfg, job)
        return
    make_output_encodable()  # of a worker process
    overrides = list(hydra_config.overrides.task)
    print(f"\n=== arm {hydra_config.job.num}: {' '.join(overrides)}", flush=True)
    note: dict[str, Any] = {"sweep": os.environ.get(SWEEP), "number": hydra_config.job.num, "overrides": overrides}
    note |= {"results": [], "error": None}
    try:
        # Each process of a distributed run is this command again, and would start the whole sweep.
        if cfg.trainer.strategy == "ddp" or cfg.trainer.devices != 1:
            raise SeenetError(f"trainer={cfg.trainer.name} does not go with -m; give one command for each arm")
        note["results"] = job(cfg)
    except EXPECTED as error:
        if WANTS_TRACEBACK:
            traceback.print_exc()
        print_error(error, hydra_config.job.config_name)
        note["error"] = format_error(error, hydra_config.job.config_name)
    except Exception as error:
        traceback.print_exc()
        note["error"] = f"{type(error).__name__}: {error}"
    atomic_write_text(Path(hydra_config.runtime.output_dir, JOB_RECORD), json.dumps(note))


def arm_names(overrides: Sequence[Sequence[str]]) -> list[str]:
    """A name for each job: the overrides that not all jobs share, but for those that make no arm of their own.

    Args:
        overrides: of each job.
    """
    if not overrides:
        return []
    shared = set.intersection(*map(set, overrides))
    ways = [
        [o for o in job if o not in shared and o.partition("=")[0].lstrip("+") not in NON_ARM_SETTINGS]
        for job in overrides
    ]
    return [" ".join(way) or "all" for way in ways]


def jobs(config: DictConfig) -> list[list[str]]:
    """The overrides of each job of a sweep, as Hydra's own sweeper divides them."""
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    overrides = OverridesParser.create().parse_overrides([*params, *config.hydra.overrides.task])
    return [list(job) for job in BasicSweeper.split_arguments(overrides, None)[0]]


class SweepCallback(Callback):
    """Plans a sweep where asked to; ends it with a table and a report, and with exit code 1 where a job failed."""

    def __init__(self):
        self._alive: FileLock | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """A worker's copy does not hold the sweep's lock."""
        return SweepCallback, ()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Look whether everything is there; forget an earlier sweep's notes where this one starts."""
        try:
            if not config.sweep.dry:
                self._alive = _acquire_sweep_lock(Path(config.hydra.sweep.dir))
            if config.sweep.check or config.sweep.dry:
                _plan(config)
            if config.sweep.dry:
                sys.exit(0)
            os.environ[SWEEP] = uuid.uuid4().hex
            _forget_notes(Path(config.hydra.sweep.dir))
        except EXPECTED as error:  # Hydra would make a warning of it and go on
            if WANTS_TRACEBACK:
                traceback.print_exc()
            print_error(error, config.hydra.job.config_name)
            sys.exit(1)
        except Exception:
            traceback.print_exc()
            sys.exit(1)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Read the jobs' notes, compare and report."""
        try:
            failed = self._compare(config)
        except Exception:  # Hydra would make a warning of it and end well
            traceback.print_exc()
            sys.exit(1)
        finally:
            if self._alive:
                self._alive.release()
        if failed:
            sys.exit(1)

    def _compare(self, config: DictConfig) -> bool:
        """Print and write what the jobs found; whether any failed."""
        from seenet.reporting.console_tables import print_arms
        from seenet.reporting.result_loader import read_object

        folder = Path(config.hydra.sweep.dir)
        notes = [
            read_object(path, ("sweep", "number", "overrides", "results", "error")) for path in folder.rglob(JOB_RECORD)
        ]
        notes = [note for note in notes if note and note["sweep"] == os.environ[SWEEP]]
        if not notes:
            print(
                f"seenet: error: the sweep has no job that could write {JOB_RECORD} below '{folder}'", file=sys.stderr
            )
            return True
        notes.sort(key=lambda note: note["number"])
        folders: dict[str, dict[Path, None]] = {}  # jobs may share results: noise=clean,[clean,snr5]
        for name, note in zip(arm_names([note["overrides"] for note in notes]), notes, strict=True):
            if note["results"]:
                folders.setdefault(name, {}).update(dict.fromkeys(Path(result).resolve() for result in note["results"]))
        arms = {
            name: [json.loads((result / "result.json").read_text(encoding="utf-8")) for result in results]
            for name, results in folders.items()
        }
        if arms:
            print_arms(arms)
        failed = [note for note in notes if note["error"]]
        for note in failed:
            print(f"failed: {' '.join(note['overrides'])}: {note['error']}", file=sys.stderr)
        if arms and config.sweep.report:
            from seenet.reporting.html_report import write_report

            print(f"report: {write_report([folder], folder / 'report')}", flush=True)
        return bool(failed)


def _acquire_sweep_lock(folder: Path) -> FileLock:
    """One sweep at a time in a folder: two would forget and compare each other's notes. Held until it ends or dies."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".sweep.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SeenetError(
            f"a sweep is running in '{folder}'; wait for its end, or take another folder: hydra.sweep.dir=FOLDER"
        ) from error
    return lock


def _forget_notes(folder: Path) -> None:
    """Remove an earlier sweep's notes, but not those of sweeps in folders below."""
    others = {path.parent for path in folder.rglob("multirun.yaml")} - {folder}
    for note in folder.rglob(JOB_RECORD):
        if others.isdisjoint(note.parents):
            note.unlink()


def _plan(config: DictConfig) -> None:
    overrides = jobs(config)
    cfgs = [hydra.compose(config.hydra.job.config_name, overrides=job) for job in overrides]
    from seenet.training.sweep_plan import print_sweep_plan  # heavy

    print_sweep_plan(dict(zip(map(" ".join, _told_apart(overrides)), cfgs, strict=True)))


def _told_apart(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """The overrides of each job that not all jobs share; all of them where they share all."""
    shared = set.intersection(*map(set, jobs))
    return [[o for o in job if o not in shared] or list(job) for job in jobs]
