"""`seenet-train`."""

import sys

from omegaconf import DictConfig

from seenet.cli.hydra_app import run_app
from seenet.cli.sweep import run_job


def _train(cfg: DictConfig) -> list[str]:
    if cfg.sweep.dry:  # of a sweep the callback makes the plan
        from seenet.training.sweep_plan import print_sweep_plan

        print_sweep_plan({"this run": cfg})
        return []
    from seenet.training.run import run_experiment  # heavy, and not needed for --help

    return [str(folder) for folder in run_experiment(cfg)]


def _job(cfg: DictConfig) -> None:
    run_job(cfg, _train)


def main() -> None:
    """Train and test; see `seenet-train --help`."""
    sys.exit(run_app(_job, "train"))


if __name__ == "__main__":
    main()
