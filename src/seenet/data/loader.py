"""Batches of a part as Lightning takes them; for a GPU, the next is made and sent while this one computes."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from torch.utils.data import DataLoader

from seenet.core.signals import ignore_in_worker
from seenet.data.batch import Batch
from seenet.data.batch_sampler import EvaluationBatches, Item, TrainBatches
from seenet.data.dataset import FoldPart


def _as_is(batch: Batch) -> Batch:
    return batch


def _choose_start_method() -> str:
    """Return how loader processes start.

    A job of hydra/launcher=joblib starts its processes as loky does, which takes no process of torch's: there it is the
    platform's own way.
    """
    method = multiprocessing.get_start_method()
    return multiprocessing.get_all_start_methods()[0] if method.startswith("loky") else method


@cache
def _copying(device: torch.device) -> torch.cuda.Stream:
    """One stream for all passes over all loaders: torch keeps memory apart for each stream."""
    return torch.cuda.Stream(device)


def prefetch_to_device(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Batches on a device, each made and sent by a thread while the one before is in use.

    The thread copies on a stream of its own, so that the GPU computes meanwhile. What goes wrong in it is raised
    here; leaving the loop waits for the batch in the making, no longer.

    Args:
        batches: what the thread takes; pinned where the device is a GPU, or the copy would not be at the same time.
        device: where to. On the CPU nothing is copied.
    """
    stream = _copying(device) if device.type == "cuda" else None

    def following() -> Batch | None:
        with torch.cuda.stream(stream):  # and on its device, which a new thread does not know
            batch = next(batches, None)
            return None if batch is None else batch.to(device, non_blocking=True)

    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(following)
        while (batch := waiting.result()) is not None:
            if stream is not None:
                current = torch.cuda.current_stream(device)
                current.wait_stream(stream)
                batch.record_stream(current)
            waiting = thread.submit(following)
            yield batch


class Loader:
    """The batches of a part, in the sampler's order; on a GPU made ahead of their use.

    On the CPU they are made when asked for: a thread would take the step's cores.

    Args:
        part: where the clips are.
        batches: which clips make a batch.
        device: where the batches go.
        num_workers: loader processes; 0 reads in this one.
    """

    def __init__(
        self,
        part: FoldPart,
        batches: TrainBatches | EvaluationBatches | list[list[Item]],
        device: torch.device,
        num_workers: int = 0,
    ):
        self.batches, self.device = batches, device
        self._loader = DataLoader(
            part,
            batch_sampler=batches,
            collate_fn=_as_is,
            num_workers=num_workers,
            pin_memory=device.type == "cuda",
            persistent_workers=num_workers > 0,
            worker_init_fn=ignore_in_worker,
            multiprocessing_context=_choose_start_method() if num_workers else None,
            generator=torch.Generator(),  # a loader without one takes its seeds from the model's stream
        )

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        if self.device.type == "cuda":
            yield from prefetch_to_device(iter(self._loader), self.device)
        else:
            yield from self._loader

    @property
    def _iterator(self) -> Any:
        """Where Lightning looks for loader processes to end when all is done; Python would at any time later."""
        return self._loader._iterator

    @_iterator.setter
    def _iterator(self, value: Any) -> None:
        self._loader._iterator = value


class TrainLoader(Loader):
    """Knows how many batches of the epoch it has handed out, and begins behind them after a resume.

    What it, or its processes, read ahead does not count.
    """

    batches: TrainBatches
    _given = 0

    @property
    def sampler(self) -> TrainBatches:
        """Where Lightning looks for `set_epoch` at the start of each epoch."""
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        # All this waits for the first batch, when Lightning has told the sampler its epoch.
        self._given = self.batches.begin
        for batch in super().__iter__():
            self.batches.begin = 0
            self._given += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """The number of batches handed out; Lightning asks when they have been trained on."""
        return {"given": self._given}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Begin the next epoch behind the batches of a state."""
        self.batches.begin = state_dict["given"]
