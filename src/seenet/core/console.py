"""What is said to the person at the terminal: notices, tables and progress bars."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from seenet.core.errors import one_line
from seenet.core.processes import is_global_rank_zero

T = TypeVar("T")


def make_console(stderr: bool = False) -> Console:
    """A console that never folds a table below 120 columns; silent on all but the first process."""
    stream = sys.stderr if stderr else sys.stdout
    console = Console(stderr=stderr, highlight=False, quiet=not is_global_rank_zero())
    if not stream.isatty():
        console.width = 120
    return console


def print_line(message: str) -> None:
    """Print one plain line."""
    if is_global_rank_zero():
        print(message, flush=True)


@contextmanager
def warn_on_failure(what: str) -> Iterator[None]:
    """Turn any failure into a warning line: for pictures and sounds, which no number depends on.

    Args:
        what: is made, for the console.
    """
    try:
        yield
    except Exception as error:
        print_line(f"! {what} could not be made: {one_line(error)}")


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
    console = make_console(stderr=True)
    with Progress(*columns, console=console, transient=console.is_terminal) as bar:
        yield from bar.track(items, total=total, completed=done, description=description)
