"""The LightningDataModule: parts of a fold as batches, augmented on the device."""

from collections.abc import Callable
from typing import Literal

import lightning
import torch
from torch.utils.data import DataLoader

from seenet.data.batch import Batch
from seenet.data.dataset import Part
from seenet.data.sampler import EvaluationBatches, TrainBatches
from seenet.errors import SeenetError
from seenet.seeds import AUGMENTATION, mix


def _as_is(batch: Batch) -> Batch:
    return batch


class EmotionData(lightning.LightningDataModule):
    """Batches of one fold.

    Args:
        train: the training part.
        dev: what selects the epoch.
        test: the test part.
        augmentation: an `Augmentation`; training batches only.
        seed: of the run.
        batch_size: clips a batch and process.
        balanced: draw clips with weight 1 / class count, with replacement.
        partner: how partners are drawn: `uniform` over the training part, or `class_first`.
        bucketed: put clips of like length into a batch, which leaves little padding.
        num_workers: loader processes; 0 reads in the main one, which is fastest from a memory-mapped store.

    Attributes:
        noise: the test condition, a `Noise`; test batches only.

    Raises:
        SeenetError: a size that makes no batch.
    """

    def __init__(
        self,
        train: Part,
        dev: Part,
        test: Part,
        augmentation: Callable[[Batch, torch.Generator], Batch],
        seed: int,
        batch_size: int = 64,
        balanced: bool = True,
        partner: Literal["uniform", "class_first"] = "uniform",
        bucketed: bool = True,
        num_workers: int = 0,
    ):
        super().__init__()
        if batch_size < 1:
            raise SeenetError(f"data.batch_size={batch_size}: at least 1 is needed")
        if num_workers < 0:
            raise SeenetError(f"data.num_workers={num_workers}: expected 0 or more")
        self.parts = {"train": train, "dev": dev, "test": test}
        self.augmentation = augmentation
        self.noise: Callable[[Batch], Batch] = _as_is
        self.seed, self.batch_size, self.balanced = seed, batch_size, balanced
        self.partner = partner if augmentation.needs_partner else None
        self.bucketed, self.num_workers = bucketed, num_workers
        self._generator: torch.Generator | None = None
        self._epoch = -1

    def _loader(self, part: Part, batches: TrainBatches | EvaluationBatches) -> DataLoader:
        return DataLoader(
            part,
            batch_sampler=batches,
            collate_fn=_as_is,
            num_workers=self.num_workers,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
            persistent_workers=self.num_workers > 0,
            generator=torch.Generator(),  # a loader without one takes its seeds from the model's stream
        )

    def _processes(self) -> dict[str, int]:
        if self.trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}

    def train_dataloader(self) -> DataLoader:
        """The training part, drawn anew each epoch."""
        part = self.parts["train"]
        batches = TrainBatches(
            part.labels,
            part.lengths,
            self.batch_size,
            self.balanced,
            self.partner,
            self.seed,
            self.bucketed,
            **self._processes(),
        )
        return self._loader(part, batches)

    def _evaluation(self, name: str) -> DataLoader:
        part = self.parts[name]
        return self._loader(part, EvaluationBatches(part.lengths, self.batch_size, **self._processes()))

    def val_dataloader(self) -> DataLoader:
        """Every clip of the development part once."""
        return self._evaluation("dev")

    def test_dataloader(self) -> DataLoader:
        """Every clip of the test part once."""
        return self._evaluation("test")

    def predict_dataloader(self) -> DataLoader:
        """Every clip of the development part once."""
        return self._evaluation("dev")

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Send a batch without waiting for it: it lies in pinned memory where the device is a GPU."""
        return batch.to(device, non_blocking=True)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment a training batch, or add the test condition to a test batch, on the device."""
        if self.trainer.testing:
            return self.noise(batch)
        if not self.trainer.training:
            return batch
        return self.augmentation(batch, self._epoch_generator(batch.waveform.device))

    def _epoch_generator(self, device: torch.device) -> torch.Generator:
        """A generator that starts anew each epoch, so that a resumed run draws what it would have drawn."""
        if self._epoch != self.trainer.current_epoch or self._generator is None:
            self._epoch = self.trainer.current_epoch
            stream = mix(self.seed, AUGMENTATION, self._epoch, self.trainer.global_rank)
            self._generator = torch.Generator(device).manual_seed(stream)
        return self._generator
