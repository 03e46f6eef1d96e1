"""Loaders of batches for Lightning, with prefetching on a GPU."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader

from seenet.core.signals import ignore_stop_signals
from seenet.data.batch import Batch
from seenet.data.batch_sampler import EvaluationBatches, Item, TrainBatches
from seenet.data.dataset import FoldPart

T = TypeVar("T")


def _return_unchanged(batch: T) -> T:
    return batch


def _choose_start_method() -> str:
    """Return the start method of loader processes.

    Jobs of hydra/launcher=joblib use loky, a start method that torch does not accept. They get the default of the
    platform.
    """
    method = multiprocessing.get_start_method()
    return multiprocessing.get_all_start_methods()[0] if method.startswith("loky") else method


@cache
def _copy_stream(device: torch.device) -> torch.cuda.Stream:
    """Return one stream for all loaders, because torch caches memory per stream."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch does not annotate it


def prefetch_to_device(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield batches on a device and prefetch one batch in a thread.

    The thread copies on its own stream, in parallel to the computation. An exception in the thread is raised here. If
    the caller stops early, only the batch in progress is completed.

    Args:
        batches: source of the thread; in pinned memory for a GPU, otherwise the copy blocks.
        device: target device; a batch for the CPU is not copied.
    """
    stream = _copy_stream(device) if device.type == "cuda" else None

    def load_next() -> Batch | None:
        with torch.cuda.stream(stream):  # also selects the device, which a new thread does not inherit
            batch = next(batches, None)
            return None if batch is None else batch.to(device, non_blocking=True)

    with ThreadPoolExecutor(1) as thread:
        pending = thread.submit(load_next)
        while (batch := pending.result()) is not None:
            if stream is not None:
                current = torch.cuda.current_stream(device)
                current.wait_stream(stream)
                batch.record_stream(current)
            pending = thread.submit(load_next)
            yield batch


class Loader:
    """Batches of a part in the order of the sampler; prefetched on a GPU.

    A CPU loads each batch on request, because a thread would compete with the step for cores.

    Args:
        part: source of the clips.
        batches: positions of the clips of each batch.
        device: target device.
        num_workers: loader processes; 0 reads in this process.
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
            collate_fn=_return_unchanged,
            num_workers=num_workers,
            pin_memory=device.type == "cuda",
            persistent_workers=num_workers > 0,
            worker_init_fn=ignore_stop_signals,
            multiprocessing_context=_choose_start_method() if num_workers else None,
            generator=torch.Generator(),  # the default would draw seeds from the random stream of the model
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
        """The attribute by which Lightning shuts down loader processes.

        Python alone would shut them down at an arbitrary time.
        """
        return self._loader._iterator

    @_iterator.setter
    def _iterator(self, value: Any) -> None:
        self._loader._iterator = value


class TrainLoader(Loader):
    """A loader that counts the batches it has yielded and resumes after them.

    Prefetched batches do not count.
    """

    batches: TrainBatches
    _yielded_count = 0

    @property
    def sampler(self) -> TrainBatches:
        """The attribute by which Lightning calls `set_epoch` at the start of each epoch."""
        return self.batches

    def __iter__(self) -> Iterator[Batch]:
        # A generator runs at the first batch only, after Lightning has set the epoch of the sampler.
        self._yielded_count = self.batches.first_batch
        for batch in super().__iter__():
            self.batches.first_batch = 0
            self._yielded_count += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Return the number of yielded batches; Lightning calls this after their training steps."""
        return {"given": self._yielded_count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Start the next epoch after the batches that a state counts."""
        self.batches.first_batch = state_dict["given"]
