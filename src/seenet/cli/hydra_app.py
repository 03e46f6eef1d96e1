"""What every console script shares: Hydra, and a user's mistake as one line."""

import codecs
import difflib
import io
import os
import sys
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor
from traceback import walk_tb
from typing import TypeVar

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from seenet.cli.overrides import choices, explain_parse_error, quote_override, refuse_choices, suggest_quotes
from seenet.core.errors import SeenetError, one_line
from seenet.core.paths import conf_dir

T = TypeVar("T")

GROUPS = (
    *("dataset", "backbone", "pooling", "aug", "aux_task", "noise", "protocol"),
    *("optim", "trainer", "logger", "experiment"),
)

EXPECTED = (SeenetError, OSError, HydraException, OmegaConfBaseException, UnicodeEncodeError)
"""Errors that are said in one line."""

_ASKED = "SEENET_FULL_ERROR"

WANTS_TRACEBACK = os.environ.get(_ASKED, os.environ.get("HYDRA_FULL_ERROR")) == "1"
"""Whether the user asked for tracebacks. `run_app` sets Hydra's variable, and keeps the wish for worker processes."""


_ASCII = str.maketrans(
    {"±": "+-", "×": "x", "–": "-", "—": "-", "─": "-", "━": "-", "…": "...", "≤": "<=", "≥": ">=", "•": "*"}
)


def _encodable(error: UnicodeError) -> tuple[str, int]:
    """Encode our own signs in ASCII, and other characters as their escapes (a codec error handler)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_ASCII)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


def make_output_encodable() -> None:
    """Let standard output and standard error take every character, whatever the terminal's encoding."""
    codecs.register_error("seenet", _encodable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not what a test or a notebook put there
            stream.reconfigure(errors="seenet")


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


def _known_settings(config_name: str) -> list[str]:
    """The settings that exist with the choices of the command line, or with the defaults where Hydra refuses them."""
    chosen = [word for word in sys.argv[1:] if word.partition("=")[0] in GROUPS]
    running = GlobalHydra.instance().hydra  # where a job of a sweep fails, the next one needs it
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            try:
                return _settings(hydra.compose(config_name, overrides=chosen))
            except (HydraException, OmegaConfBaseException):  # e.g. the choices of a sweep
                return _settings(hydra.compose(config_name))
    finally:
        GlobalHydra.instance().hydra = running


def _unknown_setting(name: str, config_name: str) -> str:
    known = _known_settings(config_name)
    if name in known:
        return f"the setting '{name}' is missing and cannot be left out"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"there is no setting '{name}'; {hint}--cfg job lists all"


def format_error(error: Exception, config_name: str) -> str:
    """An error as one line, without Hydra's page of search paths.

    Args:
        error: what went wrong.
        config_name: the root whose settings are listed where one does not exist.
    """
    missing = next((e for e in (error, error.__cause__) if isinstance(e, ConfigAttributeError | ConfigKeyError)), None)
    if missing is not None:
        return _unknown_setting(str(missing.full_key), config_name)
    if isinstance(error, OverrideParseException):
        return explain_parse_error(error, GROUPS)
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}=??? is a placeholder: set {error.full_key}, on the command line or in your YAML file"
    if isinstance(error, UnicodeEncodeError):
        return f"{one_line(error)}: this locale cannot express it; set PYTHONUTF8=1 or LC_ALL=C.UTF-8"
    text = str(error).split("Config search path:")[0].removeprefix(f"In '{config_name}': ")
    if text.startswith("Ambiguous value for argument"):
        word = text.split("'", 1)[1].split("'\n")[0]
        return (
            f"{word}: a sweep needs -m, a list needs [brackets], text with a comma needs quotes: {quote_override(word)}"
        )
    text, _, options = text.partition("Available options in ")
    if options:
        names = [name for name in options.partition(":")[2].split() if not name.startswith("_")]
        text = f"{text.strip()}; expected one of {', '.join(names)}"
    if text.startswith("Error merging override") and error.__cause__:
        text = f"{text}: {error.__cause__}"
    text = text.partition("full_key:")[0]
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        text = f"{error.full_key}: {text}"
    text = " ".join(text.split()) or type(error).__name__
    return text + suggest_quotes(text)


def print_error(error: Exception, config_name: str) -> None:
    """Say what is wrong, on standard error; see `format_error`."""
    print(f"seenet: error: {format_error(error, config_name)}", file=sys.stderr, flush=True)


def run_or_exit(cfg: DictConfig, job: Callable[[DictConfig], T]) -> T:
    """Do a job; an expected error is one line and ends the program (Hydra would print a line of its own first)."""
    try:
        return job(cfg)
    except EXPECTED as error:
        if WANTS_TRACEBACK:
            raise
        print_error(error, HydraConfig.get().job.config_name)
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
    make_output_encodable()
    # Before torch is loaded: threads that spin while they wait can make a busy machine ten times as slow.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Huge pages for large tensors, whose first touch is otherwise a good part of a CPU's step.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Hints of torch's C++ part, such as ddp's about unused parameters; its errors stay.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    OmegaConf.register_new_resolver("choices", _choices_in_help, replace=True)
    if any(word.partition("=")[0] in ("--cfg", "-c") for word in sys.argv):
        for group in groups:
            print(f"# {group}: {choices(group)}")
    os.environ[_ASKED] = str(int(WANTS_TRACEBACK))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands errors on instead of printing them its own way
    try:
        refuse_choices(sys.argv[1:], groups)
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(job)()
    except EXPECTED as error:
        if WANTS_TRACEBACK:
            raise
        print_error(error, config_name)
        return 1
    except ValueError as error:  # of Hydra or its launcher: options that do not go together
        if WANTS_TRACEBACK or any(frame.f_code is job.__code__ for frame, _ in walk_tb(error.__traceback__)):
            raise
        print_error(error, config_name)
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
