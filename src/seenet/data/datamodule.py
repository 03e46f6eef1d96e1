"""The LightningDataModule: parts of a fold as batches, augmented on the device."""

from collections.abc import Callable
from typing import Literal

import lightning
import torch

from seenet.core.errors import SeenetError
from seenet.core.seeds import AUGMENTATION, derive_seed
from seenet.data.batch import Batch
from seenet.data.batch_sampler import EvaluationBatches, TrainBatches
from seenet.data.dataset import FoldPart
from seenet.data.loader import Loader, TrainLoader


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
        train: FoldPart,
        dev: FoldPart,
        test: FoldPart,
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
        self.condition: Callable[[Batch], Batch] = _as_is
        self.seed, self.batch_size, self.balanced = seed, batch_size, balanced
        self.partner = partner if augmentation.needs_partner else None
        self.bucketed, self.num_workers = bucketed, num_workers
        self._generator: torch.Generator | None = None

    def _device(self) -> torch.device:
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    def _processes(self) -> dict[str, int]:
        if self.trainer is None:
            return {"rank": 0, "world_size": 1}
        return {"rank": self.trainer.global_rank, "world_size": self.trainer.world_size}

    def train_dataloader(self) -> TrainLoader:
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
        return TrainLoader(part, batches, self._device(), self.num_workers)

    def _evaluation(self, name: str) -> Loader:
        part = self.parts[name]
        batches = EvaluationBatches(part.lengths, self.batch_size, **self._processes())
        return Loader(part, batches, self._device(), self.num_workers)

    def val_dataloader(self) -> Loader:
        """Every clip of the development part once."""
        return self._evaluation("dev")

    def test_dataloader(self) -> Loader:
        """Every clip of the test part once."""
        return self._evaluation("test")

    def predict_dataloader(self) -> Loader:
        """Every clip of the development part once."""
        return self._evaluation("dev")

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Augment a training batch, or add the test condition to a test batch, on the device."""
        if self.trainer.testing:
            return self.condition(batch)
        if not self.trainer.training:
            return batch
        return self.augmentation(batch, self._step_generator(batch.waveform.device))

    def _step_generator(self, device: torch.device) -> torch.Generator:
        """A generator that starts anew each step, so that a resumed run draws what it would have drawn."""
        step = self.trainer.fit_loop.batch_idx + 1  # it counts a batch after this
        stream = derive_seed(self.seed, AUGMENTATION, self.trainer.current_epoch, step, self.trainer.global_rank)
        if self._generator is None or self._generator.device != device:
            self._generator = torch.Generator(device)
        return self._generator.manual_seed(stream)
