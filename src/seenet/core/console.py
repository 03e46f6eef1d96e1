"""Console output: lines, tables and progress bars, printed by rank 0 only."""

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
    """Create a rich console, quiet on ranks other than 0; 120 columns wide without a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    console = Console(stderr=stderr, highlight=False, quiet=not is_global_rank_zero())
    if not stream.isatty():
        console.width = 120
    return console


def print_line(message: str) -> None:
    """Print one plain line on rank 0."""
    if is_global_rank_zero():
        print(message, flush=True)


@contextmanager
def warn_on_failure(subject: str) -> Iterator[None]:
    """Print a warning instead of raising, for plots and audio samples that no result depends on.

    Args:
        subject: the name of the output in the warning.
    """
    try:
        yield
    except Exception as error:
        print_line(f"! {subject} could not be created: {one_line(error)}")


def escape_unprintable(name: str) -> str:
    """Escape line breaks, control characters and undecodable bytes of a file name."""
    escaped = (f"\\x{ord(c) - 0xDC00:02x}" if "\udc80" <= c <= "\udcff" else c for c in name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in escaped)


def track_progress(items: Iterable[T], total: int, description: str, done: int = 0) -> Iterator[T]:
    """Yield the items and show a progress bar on standard error.

    Args:
        items: the items that remain to be processed.
        total: the number of items, including those already done.
        description: the label of the bar.
        done: the number of items already done.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = make_console(stderr=True)
    with Progress(*columns, console=console, transient=console.is_terminal) as bar:
        yield from bar.track(items, total=total, completed=done, description=description)
