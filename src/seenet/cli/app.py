"""What every console script shares: Hydra, and a user's mistake as one line."""

import os
import sys
from collections.abc import Callable

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seenet.errors import SeenetError
from seenet.paths import conf_dir

GROUPS = (
    *("dataset", "backbone", "pooling", "aug", "aux_task", "noise", "protocol"),
    *("optim", "trainer", "logger", "experiment"),
)

WANTS_TRACEBACK = os.environ.get("HYDRA_FULL_ERROR") == "1"
"""Whether the user asked for tracebacks; read before `run_app` sets the variable for Hydra."""


def choices(group: str) -> str:
    """The shipped choices of a configuration group."""
    return ", ".join(sorted(path.stem for path in (conf_dir() / group).glob("*.yaml")))


def one_line(error: Exception) -> str:
    """An error as one line, without Hydra's page of search paths."""
    text = str(error).split("Config search path:")[0].removeprefix("In 'train': ")
    text = re.sub(
        r"Available options in '\w+':\s+(.*)", lambda m: "; expected " + ", ".join(m[1].split()), text, flags=re.S
    )
    if error.__cause__ is not None and isinstance(error.__cause__, OmegaConfBaseException):
        text = f"{text} {error.__cause__}"
    return " ".join(text.split())


def fail(error: Exception) -> None:
    """Say what is wrong, on standard error."""
    print(f"seenet: error: {one_line(error)}", file=sys.stderr, flush=True)


def run_app(job: Callable[[DictConfig], None], config_name: str) -> int:
    """Run a Hydra application.

    Args:
        job: what is done with the composed configuration.
        config_name: the root in conf/.

    Returns:
        The exit code: 0, 1 for an error, 130 for an interruption.
    """
    OmegaConf.register_new_resolver("choices", choices, replace=True)
    if "--cfg" in sys.argv or "-c" in sys.argv:
        for group in GROUPS:
            print(f"# {group}: {choices(group)}")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on instead of printing them its own way
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(job)()
    except (SeenetError, OSError, HydraException, OmegaConfBaseException) as error:
        if WANTS_TRACEBACK:
            raise
        fail(error)
        return 1
    except KeyboardInterrupt:
        print("\nseenet: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    return 0
