"""Atomic writes: temporary files and directories that are renamed when complete."""

import contextlib
import errno
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seenet.core.errors import SeenetError, one_line
from seenet.core.locks import hold_lock
from seenet.core.paths import cache_dir


def temporary_sibling(path: Path) -> Path:
    """Return a new temporary path in the same folder."""
    return path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex[:8]}")


_ADVICE_BY_ERRNO = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free disk space"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable, or choose another folder"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "choose another folder"),
}


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Convert an OSError into a SeenetError that names the path, the cause and the remedy.

    Args:
        path: the file or folder to write. For a path in the cache the message also names `SEENET_CACHE`.

    Raises:
        SeenetError: a full disk or quota, a read-only folder, a file in place of a folder, or a missing disk.
    """
    try:
        yield
    except OSError as error:
        setting = " (SEENET_CACHE=FOLDER)" if path.is_relative_to(cache_dir()) else ""
        # NumPy reports the number of written items instead of an error number.
        cause = error.strerror or ("No space left on device" if "written" in str(error) else one_line(error))
        advice = _ADVICE_BY_ERRNO.get(error.errno or errno.ENOSPC, "check the disk")
        raise SeenetError(
            f"'{path}' cannot be written ({cause}); {advice}{setting}, then run the same command to resume"
        ) from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path and rename it to the final path on success.

    Readers never see an incomplete file. An error removes the temporary file.

    Args:
        path: the final path; its folder is created.

    Raises:
        SeenetError: the file cannot be written.
    """
    temporary = temporary_sibling(path)
    with explain_write_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            temporary.replace(path)
        finally:
            with contextlib.suppress(OSError):  # the disk may be missing or read-only after the failure
                temporary.unlink(missing_ok=True)


def atomic_write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def build_directory_once(
    folder: Path, build: Callable[[Path], None], is_stale: Callable[[Path], bool] = lambda folder: False
) -> None:
    """Build a folder atomically unless an up-to-date one exists.

    One process builds while the others wait. Temporary folders of interrupted processes are removed.

    Args:
        folder: the final path.
        build: fills an empty folder.
        is_stale: whether an existing folder must be replaced.

    Raises:
        SeenetError: the folder cannot be written.
    """
    if folder.is_dir() and not is_stale(folder):
        return
    with explain_write_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _build_locked(folder, build, is_stale)


def _build_locked(folder: Path, build: Callable[[Path], None], is_stale: Callable[[Path], bool]) -> None:
    with hold_lock(Path(f"{folder}.lock"), folder.name):
        if folder.is_dir() and not is_stale(folder):
            return
        for abandoned in folder.parent.glob(f"{folder.name}.tmp-*"):
            shutil.rmtree(abandoned)
        temporary = temporary_sibling(folder)
        temporary.mkdir()
        try:
            build(temporary)
            replaced = temporary_sibling(folder)
            if folder.is_dir():
                folder.replace(replaced)
            temporary.replace(folder)
            if replaced.is_dir():
                shutil.rmtree(replaced)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
