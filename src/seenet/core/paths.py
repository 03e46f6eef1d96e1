"""Where things are: the configuration, the cache, the corpora."""

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from seenet.core.errors import SeenetError, reason
from seenet.core.locks import locked


def conf_dir() -> Path:
    """The folder of YAML files: the wheel's own copy, else the checkout's."""
    package = Path(__file__).resolve().parents[1]
    packaged = package / "conf"
    return packaged if packaged.is_dir() else package.parents[1] / "conf"


def cache_dir() -> Path:
    """The folder for what can be made again: `SEENET_CACHE`, else the user's cache folder."""
    if "SEENET_CACHE" in os.environ:
        return Path(os.environ["SEENET_CACHE"]).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "seenet"


def corpus_root(root: str | None, corpus: str, folder_names: Iterable[str]) -> Path:
    """The folder of a corpus.

    Args:
        root: what the user gave as `dataset.root`, or None to look below `SEENET_DATA`.
        corpus: the dataset's name, for messages.
        folder_names: names the corpus' folder goes by below `SEENET_DATA`, in any case.

    Raises:
        SeenetError: no folder was named, or the one named does not exist.
    """
    if root is not None:
        folder = Path(root).expanduser()
        if not root or not folder.is_dir():
            raise SeenetError(f"dataset.root='{root}' is not a folder; give the one that holds {corpus}")
        return folder.resolve()
    if "SEENET_DATA" not in os.environ:
        raise SeenetError(
            f"dataset={corpus} needs the corpus: dataset.root=FOLDER, or SEENET_DATA=FOLDER for the folder "
            "of all corpora (dataset=synthetic needs none)"
        )
    data = Path(os.environ["SEENET_DATA"]).expanduser()
    if not data.is_dir():
        raise SeenetError(f"SEENET_DATA='{data}' is not a folder; give the folder that holds the corpora")
    wanted = {name.lower() for name in folder_names}
    found = sorted(child for child in data.iterdir() if child.is_dir() and child.name.lower() in wanted)
    if not found:
        raise SeenetError(
            f"no folder named {' or '.join(sorted(wanted))} in SEENET_DATA='{data}'; "
            f"rename it or say dataset.root=FOLDER"
        )
    return found[0].resolve()


def beside(path: Path) -> Path:
    """A fresh name in the same folder, to write under before renaming."""
    return path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex[:8]}")


_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it writable, or choose another folder"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "choose another folder"),
}


@contextmanager
def writing(path: Path) -> Iterator[None]:
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
        what = error.strerror or ("No space left on device" if "written" in str(error) else reason(error))
        advice = _ADVICE.get(error.errno or errno.ENOSPC, "look at the disk")
        raise SeenetError(
            f"'{path}' cannot be written ({what}); {advice}{setting}, then run the same command to resume"
        ) from error


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name to write under, for a file that must never be seen half written; it is renamed at the end.

    Args:
        path: the final name; its folder is made.

    Raises:
        SeenetError: the file cannot be written.
    """
    building = beside(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield building
            building.replace(path)
        finally:
            with contextlib.suppress(OSError):  # the disk is gone, or read-only by now
                building.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text file so that it is never seen half written."""
    with whole(path) as building:
        building.write_text(text, encoding="utf-8")


def make_once(
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
    with writing(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _make(folder, make, outdated)


def _make(folder: Path, make: Callable[[Path], None], outdated: Callable[[Path], bool]) -> None:
    with locked(Path(f"{folder}.lock"), folder.name):
        if folder.is_dir() and not outdated(folder):
            return
        for left in folder.parent.glob(f"{folder.name}.tmp-*"):
            shutil.rmtree(left)
        building = beside(folder)
        building.mkdir()
        try:
            make(building)
            old = beside(folder)
            if folder.is_dir():
                folder.replace(old)
            building.replace(folder)
            if old.is_dir():
                shutil.rmtree(old)
        finally:
            shutil.rmtree(building, ignore_errors=True)
