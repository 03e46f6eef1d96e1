"""Atomic writes: temporary files that are renamed when complete, and directories that are built once."""

import contextlib
import errno
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seenet.core.errors import SeenetError, one_line
from seenet.core.locks import locked
from seenet.core.paths import cache_dir


def temporary_sibling(path: Path) -> Path:
    """A fresh name in the same folder, to write under before renaming."""
    return path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex[:8]}")


_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable, or choose another folder"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "choose another folder"),
}


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into one line that names what cannot be written and how to resume.

    Args:
        path: the file or folder; below the cache the advice names `SEENET_CACHE`.

    Raises:
        SeenetError: a full disk or quota, a read-only folder, a file in place of a folder, a disk that is gone.
    """
    try:
        yield
    except OSError as error:
        setting = " (SEENET_CACHE=FOLDER)" if path.is_relative_to(cache_dir()) else ""
        # NumPy counts what it could write instead of naming the reason
        what = error.strerror or ("No space left on device" if "written" in str(error) else one_line(error))
        advice = _ADVICE.get(error.errno or errno.ENOSPC, "look at the disk")
        raise SeenetError(
            f"'{path}' cannot be written ({what}); {advice}{setting}, then run the same command to resume"
        ) from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A name to write under, for a file that must never be seen half written; it is renamed at the end.

    Args:
        path: the final name; its folder is made.

    Raises:
        SeenetError: the file cannot be written.
    """
    building = temporary_sibling(path)
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield building
            building.replace(path)
        finally:
            with contextlib.suppress(OSError):  # the disk is gone, or read-only by now
                building.unlink(missing_ok=True)


def atomic_write_text(path: Path, text: str) -> None:
    """Write a text file so that it is never seen half written."""
    with atomic_path(path) as building:
        building.write_text(text, encoding="utf-8")


def build_directory_once(
    folder: Path, make: Callable[[Path], None], outdated: Callable[[Path], bool] = lambda folder: False
) -> None:
    """Make a folder unless it exists; it is never seen half made.

    Of several processes one makes it and the others wait. What a killed process left is removed.

    Args:
        folder: its final name.
        make: fills an empty folder.
        outdated: whether the folder, where it exists, gives way to a new one once that is made.

    Raises:
        SeenetError: the folder cannot be written.
    """
    if folder.is_dir() and not outdated(folder):
        return
    with explain_write_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _build_locked(folder, make, outdated)


def _build_locked(folder: Path, make: Callable[[Path], None], outdated: Callable[[Path], bool]) -> None:
    with locked(Path(f"{folder}.lock"), folder.name):
        if folder.is_dir() and not outdated(folder):
            return
        for left in folder.parent.glob(f"{folder.name}.tmp-*"):
            shutil.rmtree(left)
        building = temporary_sibling(folder)
        building.mkdir()
        try:
            make(building)
            old = temporary_sibling(folder)
            if folder.is_dir():
                folder.replace(old)
            building.replace(folder)
            if old.is_dir():
                shutil.rmtree(old)
        finally:
            shutil.rmtree(building, ignore_errors=True)
