"""The pause of the garbage collector during imports."""

import gc
import weakref

import pytest

from seenet.core import imports
from seenet.core.imports import pause_garbage_collection, stop_excluding


class Cycle:
    """An object that only the garbage collector frees, as a trainer and its model are."""

    def __init__(self):
        self.own = self


@pytest.fixture(autouse=True)
def restored(monkeypatch: pytest.MonkeyPatch):
    """Restore what a test changes in this process."""
    monkeypatch.setattr(imports, "_is_excluding", True)
    yield
    gc.unfreeze()


def test_imports_are_excluded_from_collections():
    gc.unfreeze()
    with pause_garbage_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_models_of_earlier_folds_are_freed():
    stop_excluding()
    model = weakref.ref(Cycle())
    with pause_garbage_collection():
        pass
    gc.collect()
    assert model() is None, "a sweep would keep the model of every fold"


def test_collector_stays_off_where_it_was_off_and_returns_after_an_error():
    gc.disable()
    try:
        with pause_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
    with pytest.raises(ImportError), pause_garbage_collection():
        raise ImportError
    assert gc.isenabled()
