"""Locks between processes; a waiting process prints which process holds the lock."""

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
_LOCKS_UNSUPPORTED_ERRNOS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class Lock:
    """A file lock that the operating system releases when the process ends, even after a kill.

    Args:
        path: the lock file, in an existing folder. The file with suffix `.holder` names the process that holds it.
        subject: the name of the locked resource in messages.
    """

    def __init__(self, path: Path, subject: str):
        self._lock, self._holder_file, self._subject = FileLock(path), Path(f"{path}.holder"), subject
        self._attempts = 0

    def try_acquire(self) -> bool:
        """Acquire the lock if it is free, and return whether the caller may proceed.

        The second failed attempt prints the holder. A file system without locks counts as free, with a warning.

        Raises:
            OSError: the lock file cannot be created.
        """
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            self._attempts += 1
            if self._attempts == 2:  # by then the holder file is written
                print_line(f"{self._subject}: {self._describe_holder()}; waiting")
            return False
        except (NotImplementedError, OSError) as error:  # filelock raises either where flock is missing
            if isinstance(error, OSError) and error.errno not in _LOCKS_UNSUPPORTED_ERRNOS:
                raise
            print_line(f"! {self._subject}: the file system has no locks; run no other command on it at the same time")
            return True
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        with contextlib.suppress(OSError):  # on a full disk the lock works without the holder file
            self._holder_file.write_text(json.dumps(holder), encoding="utf-8")
        return True

    def _describe_holder(self) -> str:
        try:
            holder = json.loads(self._holder_file.read_text(encoding="utf-8"))
            return f"process {holder['pid']} on {holder['host']} has worked on it since {holder['since']}"
        except (OSError, ValueError, TypeError, KeyError):  # no holder file, or an incomplete one
            return "another process works on it"

    def release(self) -> None:
        """Release the lock if this process holds it."""
        if self._lock.is_locked:
            with contextlib.suppress(OSError):
                self._holder_file.unlink()
            self._lock.release()


@contextmanager
def hold_lock(path: Path, subject: str) -> Iterator[None]:
    """Hold a lock within the context, after waiting until it is free.

    Args:
        path: the lock file, in an existing folder.
        subject: the name of the locked resource in messages.
    """
    lock = Lock(path, subject)
    try:
        while not lock.try_acquire():
            time.sleep(POLL_SECONDS)
        yield
    finally:
        lock.release()
