"""Fast imports of large libraries: their objects are no garbage, and the collector need not scan them repeatedly."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_is_excluding = True


@contextmanager
def pause_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector during imports, and exclude what they made from later collections."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if _is_excluding:
            gc.freeze()
        if was_enabled:
            gc.enable()


def stop_excluding() -> None:
    """Exclude nothing from now on; call it before a model is built, whose memory must be freed after its fold."""
    global _is_excluding
    _is_excluding = False
