"""What every console script shares: Hydra, and a user's mistake as one line."""

import difflib
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from typing import TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from seenet.errors import SeenetError
from seenet.paths import conf_dir

T = TypeVar("T")

GROUPS = (
    *("dataset", "backbone", "pooling", "aug", "aux_task", "noise", "protocol"),
    *("optim", "trainer", "logger", "experiment"),
)

EXPECTED = (SeenetError, OSError, HydraException, OmegaConfBaseException)
"""Errors that are said in one line."""

_ASKED = "SEENET_FULL_ERROR"

WANTS_TRACEBACK = os.environ.get(_ASKED, os.environ.get("HYDRA_FULL_ERROR")) == "1"
"""Whether the user asked for tracebacks. `run_app` sets Hydra's variable, and keeps the wish for worker processes."""


def choices(group: str) -> str:
    """The shipped choices of a configuration group."""
    return ", ".join(sorted(path.stem for path in (conf_dir() / group).glob("[!_]*.yaml")))


def _refuse_numbers(groups: Sequence[str]) -> None:
    """Raise a SeenetError for a group set to null, a number or a truth value, where Hydra has a traceback."""
    for word in sys.argv[1:]:
        group, _, choice = word.partition("=")
        if group in groups and choice:
            value = OverridesParser.create().parse_override(word).value()
            if value is None or isinstance(value, bool | int | float):
                raise SeenetError(f"{word}: expected one of {choices(group)}")


def _choices_in_help(group: str) -> str:
    """The choices in the third column of the help text (conf/hydra/help/seenet.yaml)."""
    indent = " " * 51
    return textwrap.fill(choices(group), 115, initial_indent=indent, subsequent_indent=indent).strip()


def _settings(node: DictConfig, prefix: str = "") -> list[str]:
    names = []
    for key in node:
        names.append(f"{prefix}{key}")
        if OmegaConf.is_dict(node._get_node(key)):
            names += _settings(node[key], f"{prefix}{key}.")
    return names


def _unknown_setting(name: str, config_name: str) -> str:
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        near = difflib.get_close_matches(name, _settings(hydra.compose(config_name)), n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"there is no setting '{name}'; {hint}--cfg job lists all"


def one_line(error: Exception, config_name: str) -> str:
    """An error as one line, without Hydra's page of search paths.

    Args:
        error: what went wrong.
        config_name: the root whose settings are listed where one does not exist.
    """
    if isinstance(error.__cause__, ConfigAttributeError | ConfigKeyError):
        return _unknown_setting(str(error.__cause__.full_key), config_name)
    text = str(error).split("Config search path:")[0].removeprefix(f"In '{config_name}': ")
    text, _, options = text.partition("Available options in ")
    if options:
        names = [name for name in options.partition(":")[2].split() if not name.startswith("_")]
        text = f"{text.strip()}; expected one of {', '.join(names)}"
    return " ".join(text.split()) or type(error).__name__


def fail(error: Exception, config_name: str) -> None:
    """Say what is wrong, on standard error; see `one_line`."""
    print(f"seenet: error: {one_line(error, config_name)}", file=sys.stderr, flush=True)


def answer(cfg: DictConfig, job: Callable[[DictConfig], T]) -> T:
    """Do a job; an expected error is one line and ends the program (Hydra would print a line of its own first)."""
    try:
        return job(cfg)
    except EXPECTED as error:
        if WANTS_TRACEBACK:
            raise
        fail(error, HydraConfig.get().job.config_name)
        sys.exit(1)


def run_app(job: Callable[[DictConfig], None], config_name: str, groups: Sequence[str] = GROUPS) -> int:
    """Run a Hydra application.

    Args:
        job: what is done with the composed configuration.
        config_name: the root in conf/.
        groups: its configuration groups.

    Returns:
        The exit code: 0, 1 for an error, 130 for an interruption.
    """
    # Before torch is loaded: threads that spin while they wait can make a busy machine ten times as slow.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Huge pages for large tensors, whose first touch is otherwise a good part of a CPU's step.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    OmegaConf.register_new_resolver("choices", _choices_in_help, replace=True)
    if any(word.partition("=")[0] in ("--cfg", "-c") for word in sys.argv):
        for group in groups:
            print(f"# {group}: {choices(group)}")
    os.environ[_ASKED] = str(int(WANTS_TRACEBACK))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on instead of printing them its own way
    try:
        _refuse_numbers(groups)
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(job)()
    except EXPECTED as error:
        if WANTS_TRACEBACK:
            raise
        fail(error, config_name)
        return 1
    except BrokenExecutor:
        if WANTS_TRACEBACK:
            raise
        words = "a worker process of the sweep was killed, perhaps for want of memory (hydra.launcher.n_jobs)"
        print(f"seenet: error: {words}; the same command goes on where it stopped", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nseenet: interrupted; the same command goes on where it stopped", file=sys.stderr)
        return 130
    return 0
