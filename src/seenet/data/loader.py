"""Batches of a part as Lightning takes them."""

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from seenet.data.batch import Batch
from seenet.data.dataset import Part
from seenet.data.sampler import EvaluationBatches, TrainBatches


def _as_is(batch: Batch) -> Batch:
    return batch


class Loader:
    """The batches of a part, in the sampler's order.

    Args:
        part: where the clips are.
        batches: which clips make a batch.
        device: where the batches go.
        num_workers: loader processes; 0 reads in this one.
    """

    def __init__(
        self, part: Part, batches: TrainBatches | EvaluationBatches, device: torch.device, num_workers: int = 0
    ):
        self.batches, self.device = batches, device
        self._loader = DataLoader(
            part,
            batch_sampler=batches,
            collate_fn=_as_is,
            num_workers=num_workers,
            pin_memory=device.type == "cuda",
            persistent_workers=num_workers > 0,
            generator=torch.Generator(),  # a loader without one takes its seeds from the model's stream
        )

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        yield from self._loader


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
