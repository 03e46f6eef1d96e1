"""LightningDataModule of one fold: batches of its parts, augmented on the device."""

from collections.abc import Callable
from typing import Literal

import lightning
import torch

from seenet.core.errors import SeenetError
from seenet.core.seeds import AUGMENTATION, derive_seed
from seenet.data.augmentation.base import Augmentation
from seenet.data.batch import Batch
from seenet.data.batch_sampler import EvaluationBatches, TrainBatches
from seenet.data.dataset import FoldPart
from seenet.data.loader import Loader, TrainLoader


def _return_unchanged(batch: Batch) -> Batch:
    return batch


class EmotionData(lightning.LightningDataModule):
    """Batches of one fold.

    Args:
        train: the training part.
        dev: the part that selects the epoch.
        test: the test part.
        augmentation: changes training batches.
        seed: seed of the run.
        batch_size: clips per batch and process.
        balanced: whether to draw clips with weight 1 / class count, with replacement.
        partner: how to draw partners: `uniform` over the training part, or `class_first`.
        bucketed: whether to batch clips of similar length, which reduces padding.
        num_workers: loader processes; 0 reads in the main process, which is fastest with a memory-mapped store.

    Attributes:
        condition: the `TestCondition` for test batches.

    Raises:
        SeenetError: `batch_size` or `num_workers` is out of range.
    """

    def __init__(
        self,
        train: FoldPart,
        dev: FoldPart,
        test: FoldPart,
        augmentation: Augmentation,
        seed: int,
        batch_size: int = 64,
        balanced: bool = True,
        partner: Literal["uniform", "class_first"] = "uniform",
        bucketed: bool = True,
        num_workers: int = 0,
    ):
        super().__init__()
        if batch_size < 1:
            raise SeenetError(f"data.batch_size={batch_size}: expected 1 or more")
        if num_workers < 0:
            raise SeenetError(f"data.num_workers={num_workers}: expected 0 or more")
        self.parts = {"train": train, "dev": dev, "test": test}
        self.augmentation = augmentation
        self.condition: Callable[[Batch], Batch] = _return_unchanged
        self.seed, self.batch_size, self.balanced = seed, batch_size, balanced
        self.partner = partner if augmentation.needs_partner else None
        self.bucketed, self.num_workers = bucketed, num_workers
        self._generator: torch.Generator | None = None

    def _device(self) -> torch.device:
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    def _process_rank(self) -> dict[str, int]:
        if self.trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}

    def train_dataloader(self) -> TrainLoader:
        """Return batches of the training part, which are drawn again each epoch."""
        part = self.parts["train"]
        batches = TrainBatches(
            part.labels,
            part.lengths,
            self.batch_size,
            self.balanced,
            self.partner,
            self.seed,
            self.bucketed,
            **self._process_rank(),
        )
        return TrainLoader(part, batches, self._device(), self.num_workers)

    def _evaluation_loader(self, name: str) -> Loader:
        part = self.parts[name]
        batches = EvaluationBatches(part.lengths, self.batch_size, **self._process_rank())
        return Loader(part, batches, self._device(), self.num_workers)

    def val_dataloader(self) -> Loader:
        """Return every clip of the development part once."""
        return self._evaluation_loader("dev")

    def test_dataloader(self) -> Loader:
        """Return every clip of the test part once."""
        return self._evaluation_loader("test")

    def predict_dataloader(self) -> Loader:
        """Return every clip of the development part once."""
        return self._evaluation_loader("dev")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment a training batch, or apply the test condition to a test batch, on the device."""
        trainer = self.trainer
        if trainer is None or not (trainer.testing or trainer.training):
            return batch
        if trainer.testing:
            return self.condition(batch)
        return self.augmentation(batch, self._step_generator(trainer, batch.waveform.device))

    def _step_generator(self, trainer: lightning.Trainer, device: torch.device) -> torch.Generator:
        """Seed the generator for one step, which makes a resumed run equal to an uninterrupted one."""
        step = trainer.fit_loop.batch_idx + 1  # Lightning increments its count after this hook
        stream = derive_seed(self.seed, AUGMENTATION, trainer.current_epoch, step, trainer.global_rank)
        if self._generator is None or self._generator.device != device:
            self._generator = torch.Generator(device)
        return self._generator.manual_seed(stream)
