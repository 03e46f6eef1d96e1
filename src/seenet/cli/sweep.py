"""Jobs of a sweep: each leaves a note of what it did, and the end compares them."""

import json
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from seenet.cli.app import EXPECTED, WANTS_TRACEBACK, answer, fail, one_line
from seenet.errors import SeenetError

NOTE = "arm.json"


def run_job(cfg: DictConfig, job: Callable[[DictConfig], list[str]]) -> None:
    """Run a job; in a sweep one that fails is noted and does not stop the others.

    Args:
        cfg: the composed configuration.
        job: returns the folders of its results.
    """
    hydra = HydraConfig.get()
    if hydra.mode != RunMode.MULTIRUN:
        answer(cfg, job)
        return
    overrides = list(hydra.overrides.task)
    print(f"\n=== arm {hydra.job.num}: {' '.join(overrides)}", flush=True)
    note: dict[str, Any] = {"number": hydra.job.num, "overrides": overrides, "results": [], "error": None}
    try:
        # Each process of a distributed run is this command again, and would start the whole sweep.
        if cfg.trainer.strategy == "ddp" or cfg.trainer.devices != 1:
            raise SeenetError(f"trainer={cfg.trainer.name} does not go with -m; give one command for each arm")
        note["results"] = job(cfg)
    except EXPECTED as error:
        if WANTS_TRACEBACK:
            traceback.print_exc()
        fail(error, hydra.job.config_name)
        note["error"] = one_line(error, hydra.job.config_name)
    except Exception as error:
        traceback.print_exc()
        note["error"] = f"{type(error).__name__}: {error}"
    Path(hydra.runtime.output_dir, NOTE).write_text(json.dumps(note), encoding="utf-8")


def arm_names(overrides: list[list[str]]) -> list[str]:
    """A name for each job: the overrides that not all jobs share, folds apart.

    Args:
        overrides: of each job.
    """
    shared = set.intersection(*map(set, overrides))
    return [" ".join(o for o in job if o not in shared and not o.startswith("fold=")) or "all" for job in overrides]


class CompareArms(Callback):
    """Ends a sweep with one table of its arms, and with exit code 1 where one failed."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Read the jobs' notes and compare."""
        from seenet.report.tables import print_arms

        folder = Path(config.hydra.sweep.dir)
        notes = [json.loads(path.read_text(encoding="utf-8")) for path in folder.rglob(NOTE)]
        notes.sort(key=lambda note: note["number"])
        arms: dict[str, list[dict[str, Any]]] = {}
        for name, note in zip(arm_names([note["overrides"] for note in notes]), notes, strict=True):
            for result in note["results"]:
                text = Path(result, "result.json").read_text(encoding="utf-8")
                arms.setdefault(name, []).append(json.loads(text))
        if arms:
            print_arms(arms)
        failed = [note for note in notes if note["error"]]
        for note in failed:
            print(f"failed: {' '.join(note['overrides'])}: {note['error']}", file=sys.stderr)
        if failed:
            sys.exit(1)
