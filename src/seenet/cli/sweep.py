"""Sweeps: a plan before the first job, a record of each job, a comparison and a report at the end."""

import json
import os
import sys
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    EXPECTED_ERRORS,
    WANTS_TRACEBACK,
    format_error,
    make_output_encodable,
    print_error,
    run_or_exit,
)
from seenet.core.atomic import atomic_write_text
from seenet.core.errors import SeenetError

JOB_RECORD = "arm.json"
"""File in the folder of a job: its overrides, the folders of its results, and its error or null."""

NON_ARM_SETTINGS = ("fold", "seed", "noise")
"""Settings that do not distinguish arms: an arm averages folds and seeds, and has one row per test condition."""

SWEEP_VARIABLE = "SEENET_SWEEP"
"""Environment variable with the identifier of the sweep; workers inherit it and write it into their records."""


def run_job(cfg: DictConfig, job: Callable[[DictConfig], list[str]]) -> None:
    """Run a job; in a sweep, record its failure and continue with the other jobs.

    Args:
        cfg: the composed configuration.
        job: returns the folders of its results.
    """
    hydra_config = HydraConfig.get()
    if hydra_config.mode != RunMode.MULTIRUN:
        run_or_exit(cfg, job)
        return
    make_output_encodable()  # also in worker processes
    overrides = list(hydra_config.overrides.task)
    print(f"\n=== arm {hydra_config.job.num}: {' '.join(overrides)}", flush=True)
    record: dict[str, Any] = {
        "sweep": os.environ.get(SWEEP_VARIABLE),
        "number": hydra_config.job.num,
        "overrides": overrides,
    }
    record |= {"results": [], "error": None}
    try:
        # Each process of a distributed run executes this command again, and would start the sweep again.
        if cfg.trainer.strategy == "ddp" or cfg.trainer.devices != 1:
            raise SeenetError(f"trainer={cfg.trainer.name} cannot be used with -m; run one command per arm")
        record["results"] = job(cfg)
    except EXPECTED_ERRORS as error:
        if WANTS_TRACEBACK:
            traceback.print_exc()
        root = str(hydra_config.job.config_name)
        print_error(error, root)
        record["error"] = format_error(error, root)
    except Exception as error:
        traceback.print_exc()
        record["error"] = f"{type(error).__name__}: {error}"
    atomic_write_text(Path(hydra_config.runtime.output_dir, JOB_RECORD), json.dumps(record))


def name_arms(overrides: Sequence[Sequence[str]]) -> list[str]:
    """Name each job after the overrides that distinguish its arm.

    Args:
        overrides: those of each job.
    """
    if not overrides:
        return []
    shared = set.intersection(*map(set, overrides))
    distinct = [
        [o for o in job if o not in shared and o.partition("=")[0].lstrip("+") not in NON_ARM_SETTINGS]
        for job in overrides
    ]
    return [" ".join(words) or "all" for words in distinct]


def list_jobs(config: DictConfig) -> list[list[str]]:
    """Return the overrides of each job of a sweep, in the order of Hydra's sweeper."""
    params = [f"{key}={value}" for key, value in (config.hydra.sweeper.params or {}).items()]
    overrides = OverridesParser.create().parse_overrides([*params, *config.hydra.overrides.task])
    return [list(job) for job in BasicSweeper.split_arguments(overrides, None)[0]]


class SweepCallback(Callback):
    """Hydra callback with the plan of a sweep, its final table and report, and exit code 1 after a failed job."""

    def __init__(self) -> None:
        self._lock: FileLock | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the lock, which belongs to the main process."""
        return SweepCallback, ()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the plan if requested, lock the folder and remove the records of an earlier sweep."""
        with _exit_on_error(config):
            if not config.sweep.dry:
                self._lock = _acquire_sweep_lock(Path(config.hydra.sweep.dir))
            if config.sweep.check or config.sweep.dry:
                _print_plan(config)
            if config.sweep.dry:
                sys.exit(0)
            os.environ[SWEEP_VARIABLE] = uuid.uuid4().hex
            _remove_job_records(Path(config.hydra.sweep.dir))

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Compare the results of the jobs and write the report."""
        try:
            with _exit_on_error(config):
                if _summarise_jobs(config):
                    sys.exit(1)
        finally:
            if self._lock:
                self._lock.release()


@contextmanager
def _exit_on_error(config: DictConfig) -> Iterator[None]:
    """Print an error and exit with code 1: Hydra would turn an exception of a callback into a warning and continue."""
    try:
        yield
    except Exception as error:
        is_expected = isinstance(error, EXPECTED_ERRORS)
        if WANTS_TRACEBACK or not is_expected:
            traceback.print_exc()
        if is_expected:
            print_error(error, config.hydra.job.config_name)
        sys.exit(1)


def _summarise_jobs(config: DictConfig) -> bool:
    """Print the arms and errors of the sweep, write its report, and return whether any job failed."""
    from seenet.reporting.console_tables import print_arms

    folder = Path(config.hydra.sweep.dir)
    records = _read_job_records(folder)
    if not records:
        print(f"seenet: error: no job of the sweep wrote {JOB_RECORD} below '{folder}'", file=sys.stderr)
        return True
    arms = _read_arms(records)
    if arms:
        print_arms(arms)
    failed = [record for record in records if record["error"]]
    for record in failed:
        print(f"failed: {' '.join(record['overrides'])}: {record['error']}", file=sys.stderr)
    if arms and config.sweep.report:
        from seenet.reporting.html_report import write_report

        print(f"report: {write_report([folder], folder / 'report')}", flush=True)
    return bool(failed)


def _read_job_records(folder: Path) -> list[dict[str, Any]]:
    """Read the records that jobs of this sweep wrote below a folder, in the order of the jobs."""
    from seenet.runs.results import read_object

    keys = ("sweep", "number", "overrides", "results", "error")
    records = [read_object(path, keys) for path in folder.rglob(JOB_RECORD)]
    own = [record for record in records if record and record["sweep"] == os.environ[SWEEP_VARIABLE]]
    return sorted(own, key=lambda record: record["number"])


def _read_arms(records: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Read the results of each arm; jobs may share results, e.g. noise=clean,[clean,snr5]."""
    folders: dict[str, dict[Path, None]] = {}
    for name, record in zip(name_arms([record["overrides"] for record in records]), records, strict=True):
        if record["results"]:
            results = dict.fromkeys(Path(result).resolve() for result in record["results"])
            folders.setdefault(name, {}).update(results)
    return {
        name: [json.loads((result / "result.json").read_text(encoding="utf-8")) for result in results]
        for name, results in folders.items()
    }


def _acquire_sweep_lock(folder: Path) -> FileLock:
    """Lock the folder of a sweep until the process ends: two sweeps would mix their job records."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".sweep.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise SeenetError(
            f"a sweep is running in '{folder}'; wait for its end, or set another folder: hydra.sweep.dir=FOLDER"
        ) from error
    return lock


def _remove_job_records(folder: Path) -> None:
    """Remove the records of an earlier sweep, but not those of sweeps in subfolders."""
    other_sweeps = {path.parent for path in folder.rglob("multirun.yaml")} - {folder}
    for record in folder.rglob(JOB_RECORD):
        if other_sweeps.isdisjoint(record.parents):
            record.unlink()


def _print_plan(config: DictConfig) -> None:
    overrides = list_jobs(config)
    cfgs = [hydra.compose(config.hydra.job.config_name, overrides=job) for job in overrides]
    from seenet.training.sweep_plan import print_sweep_plan  # slow to import

    print_sweep_plan(dict(zip(map(" ".join, _distinct_overrides(overrides)), cfgs, strict=True)))


def _distinct_overrides(jobs: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return the overrides of each job that not all jobs share, or all if every override is shared."""
    shared = set.intersection(*map(set, jobs))
    return [[o for o in job if o not in shared] or list(job) for job in jobs]
