"""What is said to the person at the terminal: notices, tables and progress bars."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seenet.core.errors import reason
from seenet.core.processes import rank

T = TypeVar("T")


def is_main_process() -> bool:
    """Whether this is the process that speaks and writes: the first of a distributed run, or the only one."""
    return rank() == 0


def terminal(stderr: bool = False) -> Console:
    """A console that never folds a table below 120 columns; silent on all but the first process."""
    stream = sys.stderr if stderr else sys.stdout
    console = Console(stderr=stderr, highlight=False, quiet=not is_main_process())
    if not stream.isatty():
        console.width = 120
    return console


def say(message: str) -> None:
    """Print one plain line."""
    if is_main_process():
        print(message, flush=True)


@contextmanager
def optional(what: str) -> Iterator[None]:
    """Turn any failure into a warning line: for pictures and sounds, which no number depends on.

    Args:
        what: is made, for the console.
    """
    try:
        yield
    except Exception as error:
        say(f"! {what} could not be made: {reason(error)}")


def printable(name: str) -> str:
    """Escape what cannot stand in one line of UTF-8: line breaks, and bytes of file names that are not UTF-8."""
    escaped = (f"\\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else c for c in name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in escaped)


def progress(items: Iterable[T], total: int, description: str, done: int = 0) -> Iterator[T]:
    """Pass the items through, with a progress bar on standard error.

    Args:
        items: what is worked through.
        total: how many there are, with those done before.
        description: what stands before the bar.
        done: how many were done before.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = terminal(stderr=True)
    with Progress(*columns, console=console, transient=console.is_terminal) as bar:
        yield from bar.track(items, total=total, completed=done, description=description)
