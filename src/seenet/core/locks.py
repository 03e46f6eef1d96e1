"""Locks between processes that name their holder to those who wait."""

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from seenet.core.console import print_line

POLL_SECONDS = 0.5
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Lock:
    """A lock that the system releases when its process ends, however it ends.

    Args:
        path: the lock file, in an existing folder. A note beside it (`.holder`) names the process that holds the lock.
        what: is locked, for the console.
    """

    def __init__(self, path: Path, what: str):
        self._lock, self._note, self._what = FileLock(path), Path(f"{path}.holder"), what
        self._attempts = 0

    def try_acquire(self) -> bool:
        """Take the lock if it is free; the second attempt in vain prints who holds it.

        A file system without locks is named in a line, and counts as free.

        Raises:
            OSError: the lock file cannot be made.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            self._attempts += 1
            if self._attempts == 2:  # the holder has written its note by now
                print_line(f"{self._what}: {self._holder()}; waiting")
            return False
        except (NotImplementedError, OSError) as error:
            if isinstance(error, OSError) and error.errno not in _NO_LOCKS:
                raise
            print_line(f"! {self._what}: the file system has no locks; run no other command on it at the same time")
            return True
        note = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        with contextlib.suppress(OSError):  # a full disk: the lock holds without its note
            self._note.write_text(json.dumps(note), encoding="utf-8")
        return True

    def _holder(self) -> str:
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            return f"process {note['pid']} on {note['host']} has worked on it since {note['since']}"
        except (OSError, ValueError, TypeError, KeyError):  # no note, or a torn one
            return "another process works on it"

    def release(self) -> None:
        """Release the lock if this process holds it."""
        if self._lock.is_locked:
            with contextlib.suppress(OSError):
                self._note.unlink()
            self._lock.release()


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold a lock; wait for it as long as another process holds it.

    Args:
        path: the lock file, in an existing folder.
        what: is locked, for the console.
    """
    lock = Lock(path, what)
    try:
        while not lock.try_acquire():
            time.sleep(POLL_SECONDS)
        yield
    finally:
        lock.release()
