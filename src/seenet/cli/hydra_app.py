"""Start of Hydra applications, and errors as one line."""

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

from seenet.cli.overrides import (
    check_choices,
    choices,
    explain_parse_error,
    quote_override,
    register_tuned_layers,
    suggest_quotes,
)
from seenet.core.errors import SeenetError, one_line
from seenet.core.paths import conf_dir

T = TypeVar("T")

GROUPS = (
    *("dataset", "backbone", "pooling", "aug", "aux_task", "head", "tune", "noise", "protocol"),
    *("loss", "optim", "schedule", "trainer", "logger", "experiment"),
)

EXPECTED_ERRORS = (SeenetError, OSError, HydraException, OmegaConfBaseException, UnicodeEncodeError)
"""Errors that the console reports in one line, without a traceback."""

_TRACEBACK_VARIABLE = "SEENET_FULL_ERROR"

WANTS_TRACEBACK = os.environ.get(_TRACEBACK_VARIABLE, os.environ.get("HYDRA_FULL_ERROR")) == "1"
"""Whether the user asked for tracebacks.

`run_app` overwrites the variable of Hydra and passes the user's choice to worker processes in its own variable.
"""


_ASCII = str.maketrans(
    {"±": "+-", "×": "x", "–": "-", "—": "-", "─": "-", "━": "-", "…": "...", "≤": "<=", "≥": ">=", "•": "*"}
)


def _replace_unencodable(error: UnicodeError) -> tuple[str, int]:
    """Replace known signs by ASCII and other characters by their escapes (codec error handler)."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_ASCII)
    return text.encode("ascii", "backslashreplace").decode("ascii"), error.end


def make_output_encodable() -> None:
    """Make standard output and error accept every character, in any encoding of the terminal."""
    codecs.register_error("seenet", _replace_unencodable)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a test or a notebook may replace it
            stream.reconfigure(errors="seenet")


def _wrap_choices(group: str) -> str:
    """Wrap the choices of a group for the third column of the help text (conf/hydra/help/seenet.yaml)."""
    indent = " " * 51
    return textwrap.fill(choices(group), 115, initial_indent=indent, subsequent_indent=indent).strip()


def _list_settings(node: DictConfig, prefix: str = "") -> list[str]:
    names = []
    for key in map(str, node):
        names.append(f"{prefix}{key}")
        if OmegaConf.is_dict(node._get_node(key)):
            names += _list_settings(node[key], f"{prefix}{key}.")
    return names


def _list_known_settings(config_name: str) -> list[str]:
    """List all settings for the choices of the command line, or for the defaults if Hydra refuses the choices."""
    chosen = [word for word in sys.argv[1:] if word.partition("=")[0] in GROUPS]
    running = GlobalHydra.instance().hydra  # restored below: the next job of a sweep needs it
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
            try:
                return _list_settings(hydra.compose(config_name, overrides=chosen))
            except (HydraException, OmegaConfBaseException):  # e.g. the choices of a sweep
                return _list_settings(hydra.compose(config_name))
    finally:
        GlobalHydra.instance().hydra = running


def _explain_unknown_setting(name: str, config_name: str) -> str:
    known = _list_known_settings(config_name)
    if name in known:
        return f"the setting '{name}' is missing and has no default"
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"there is no setting '{name}'; {hint}--cfg job lists all settings"


def format_error(error: Exception, config_name: str) -> str:
    """Format an error as one line, without Hydra's list of search paths.

    Args:
        error: any expected error.
        config_name: root configuration whose settings are suggested for an unknown one.
    """
    missing = next((e for e in (error, error.__cause__) if isinstance(e, ConfigAttributeError | ConfigKeyError)), None)
    if missing is not None:
        return _explain_unknown_setting(str(missing.full_key), config_name)
    if isinstance(error, OverrideParseException):
        return explain_parse_error(error, GROUPS)
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key}=??? is a placeholder: set {error.full_key}, on the command line or in your YAML file"
    if isinstance(error, UnicodeEncodeError):
        return f"{one_line(error)}: the encoding of this locale lacks it; set PYTHONUTF8=1 or LC_ALL=C.UTF-8"
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
    """Print an error on standard error; see `format_error`."""
    print(f"seenet: error: {format_error(error, config_name)}", file=sys.stderr, flush=True)


def run_or_exit(cfg: DictConfig, job: Callable[[DictConfig], T]) -> T:
    """Run a job; print an expected error as one line and exit, before Hydra adds a line."""
    try:
        return job(cfg)
    except EXPECTED_ERRORS as error:
        if WANTS_TRACEBACK:
            raise
        print_error(error, str(HydraConfig.get().job.config_name))
        sys.exit(1)


def run_app(job: Callable[[DictConfig], None], config_name: str, groups: Sequence[str] = GROUPS) -> int:
    """Run a Hydra application.

    Args:
        job: receives the composed configuration.
        config_name: root configuration in conf/.
        groups: its configuration groups.

    Returns:
        Exit code: 0, 1 after an error, 130 after an interrupt.
    """
    make_output_encodable()
    # These variables must be set before torch is imported. Waiting threads that spin slow a busy machine tenfold.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Huge pages shorten the first access to large tensors, which takes a notable part of a step on a CPU.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Hide hints of torch's C++ code, such as that of DDP about unused parameters; errors remain visible.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    OmegaConf.register_new_resolver("choices", _wrap_choices, replace=True)
    if any(word.partition("=")[0] in ("--cfg", "-c") for word in sys.argv):
        for group in groups:
            print(f"# {group}: {choices(group)}")
    os.environ[_TRACEBACK_VARIABLE] = str(int(WANTS_TRACEBACK))
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises errors and does not print them
    try:
        check_choices(sys.argv[1:], groups)
        register_tuned_layers(sys.argv[1:])
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=config_name)(job)()
    except EXPECTED_ERRORS as error:
        if WANTS_TRACEBACK:
            raise
        print_error(error, config_name)
        return 1
    except ValueError as error:  # from Hydra or its launcher: incompatible options
        if WANTS_TRACEBACK or any(frame.f_code is job.__code__ for frame, _ in walk_tb(error.__traceback__)):
            raise
        print_error(error, config_name)
        return 1
    except BrokenExecutor:
        if WANTS_TRACEBACK:
            raise
        cause = "a worker process of the sweep was killed, possibly for lack of memory"
        advice = "lower hydra.launcher.n_jobs if so, and rerun the same command to resume"
        print(f"seenet: error: {cause}; {advice}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nseenet: interrupted; rerun the same command to resume", file=sys.stderr)
        return 130
    return 0
