"""Cost of the trainer: complete epochs compared with a bare loop over the same padded batches.

Both do the same arithmetic with the same number of threads and alternate in one process: forward pass, backward pass
and optimiser step over the training batches, forward pass over the development batches. The epoch of the trainer also
includes sampling, reading, padding, EBM, metrics, logging and checkpoints. The result is the ratio of the medians;
absolute times depend on the machine.

Usage: python benchmarks/epoch.py [EPOCHS]
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import Checkpoint
from torch.nn import functional as F

from seenet.core.paths import conf_dir
from seenet.data.batch import Batch
from seenet.training.experiment import Experiment
from seenet.training.fold_runner import FoldRunner
from seenet.training.trainer import TrainerConfig

WARM_UP = 1  # epochs not counted


class EpochClock(Checkpoint):
    """Clock of epochs: as the last `Checkpoint` callback it includes the time of checkpoint writes."""

    def __init__(self):
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer, pl_module):
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer, pl_module):
        self.seconds.append(time.perf_counter() - self._start)


class TimedPlan(TrainerConfig):
    """The plan that seenet-train uses, with the clock behind its callbacks."""

    def create_trainer(self, folder, logger, callbacks, **options):
        self.clock = EpochClock()
        return super().create_trainer(folder, logger, [*callbacks, self.clock], **options)


def bare_epoch(fold_run: FoldRunner, optimizer: torch.optim.Optimizer, train: list[Batch], dev: list[Batch]) -> float:
    model, generator = fold_run.model, torch.Generator().manual_seed(0)
    start = time.perf_counter()
    model.train()
    for batch in train:
        optimizer.zero_grad()
        pooled = model.classifier.pool(batch.waveform, batch.lengths)
        main = F.cross_entropy(model.classifier.logits(pooled), batch.labels)
        loss, _ = model.classifier.auxiliary.loss(main, pooled, batch, generator)
        loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        for batch in dev:
            model(batch)
    return time.perf_counter() - start


def main(epochs: int) -> None:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", overrides=["trainer=cpu", f"trainer.max_epochs={epochs + WARM_UP}"])
    cfg.trainer._target_ = f"{__name__}.TimedPlan"
    job = Experiment.from_config(cfg)
    trainer_times, bare_times = [], []
    for _ in range(2):  # in turn: trainer, bare, trainer, bare
        with tempfile.TemporaryDirectory() as folder:
            fold_run = FoldRunner(job, job.folds[0], Path(folder))
            fold_run.train("trainer", {})
            trainer_times += job.trainer.clock.seconds[WARM_UP:]
            bare = FoldRunner(job, job.folds[0], Path(folder))
            train, dev = list(bare.data.train_dataloader()), list(bare.data.val_dataloader())
            optimizer = bare.model.configure_optimizers()
            times = [bare_epoch(bare, optimizer, train, dev) for _ in range(epochs + WARM_UP)]
            bare_times += times[WARM_UP:]
    trainer, bare = statistics.median(trainer_times), statistics.median(bare_times)
    print(f"trainer: {trainer:.2f} s an epoch (median of {len(trainer_times)})")
    print(f"bare:    {bare:.2f} s an epoch (median of {len(bare_times)})")
    figures = {"trainer_s": trainer, "bare_s": bare, "ratio": trainer / bare, "threads": torch.get_num_threads()}
    print(json.dumps({"benchmark": "epoch", "backbone": cfg.backbone.name, **figures}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
