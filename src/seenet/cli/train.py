"""`seenet-train`: cross-validated training and test."""

import sys

from omegaconf import DictConfig

from seenet.cli.hydra_app import run_app
from seenet.cli.sweep import run_job
from seenet.core.imports import pause_garbage_collection


def _train(cfg: DictConfig) -> list[str]:
    if cfg.sweep.dry:  # SweepCallback prints the plan of a sweep
        from seenet.training.sweep_plan import print_sweep_plan

        print_sweep_plan({"this run": cfg})
        return []
    with pause_garbage_collection():  # slow to import; --help does not need it
        from seenet.training.run import run_experiment

    return [str(folder) for folder in run_experiment(cfg)]


def _job(cfg: DictConfig) -> None:
    run_job(cfg, _train)


def main() -> None:
    """Train and test; `seenet-train --help` explains the settings."""
    sys.exit(run_app(_job, "train"))


if __name__ == "__main__":
    main()
