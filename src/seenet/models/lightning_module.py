"""The LightningModule: loss, metrics, optimiser and predictions around the classifier."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric

from seenet.core.errors import SeenetError
from seenet.core.seeds import AUXILIARY, TRAINING, derive_seed
from seenet.data.batch import Batch
from seenet.evaluation.fold_metrics import ConfusionMetric
from seenet.models.classifier import EmotionClassifier
from seenet.models.prediction import Prediction

PARTS = ("fit", "dev", "test")
LOSSES = ("fit_loss", "fit_auxiliary", "dev_loss")

LOSS_CHECK_STEPS = 50
"""Steps between checks of the loss for NaN: each check waits for the device."""


class EmotionModel(lightning.LightningModule):
    """Train and test a classifier. A checkpoint holds the classifier's tensors alone.

    Args:
        classifier: the model.
        loss: the loss of the main head.
        optimizer: makes an optimiser of the classifier.
        classes: the emotions in their order; every checkpoint names them.
        seed: of the run.
        schedule: returns Lightning's scheduler settings for an optimiser and a function that counts its steps, or None
            for a constant learning rate.

    Attributes:
        predictions: of the test fold after `trainer.test`, or of the development part after `trainer.predict`, in the
            order of the manifest.
        test_figures: the values of `ConfusionMetric` for the test fold after `trainer.test`.
    """

    # ModuleDict has no type parameter for its values.
    metrics: Mapping[str, ConfusionMetric]
    losses: Mapping[str, MeanMetric]

    def __init__(
        self,
        classifier: EmotionClassifier,
        loss: nn.Module,
        optimizer: Callable[[nn.Module], torch.optim.Optimizer],
        classes: Sequence[str],
        seed: int,
        schedule: Callable[[torch.optim.Optimizer, Callable[[], int]], dict[str, Any] | None] = lambda *_: None,
    ):
        super().__init__()
        self.classes, num_classes = tuple(classes), len(classes)
        self.classifier, self.loss = classifier, loss
        self.optimizer, self.schedule, self.seed = optimizer, schedule, seed
        self.metrics = nn.ModuleDict({part: ConfusionMetric(num_classes) for part in PARTS})  # type: ignore[assignment]
        self.losses = nn.ModuleDict(  # type: ignore[assignment]
            {name: MeanMetric(nan_strategy="disable") for name in LOSSES}
        )
        self.predictions: list[Prediction] = []
        self.test_figures: dict[str, Tensor] = {}

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the tensors of the classifier; see `EmotionClassifier.trained_state`."""
        return self.classifier.trained_state()

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load the tensors of the classifier."""
        return self.classifier.load_trained_state(state_dict)

    def forward(self, batch: Batch) -> Tensor:
        """Return class probabilities, shape (batch, classes)."""
        return self.classifier.classify(batch.pooled_by(self.classifier))

    def _running(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the metric sums of the running epoch, by name."""
        losses = {name: self.losses[name] for name in LOSSES if name.startswith("fit")}
        for name, metric in {"fit": self.metrics["fit"], **losses}.items():
            for key, value in metric.metric_state.items():
                if isinstance(value, Tensor):  # no metric here keeps a list
                    yield f"{name}.{key}", value

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the classes, and each process' running metric sums where training may resume."""
        checkpoint["classes"] = list(self.classes)
        if "optimizer_states" in checkpoint:
            self._check_loss()  # a model with a NaN loss must not be resumed
            shape, gather = (self.trainer.world_size, -1), self.trainer.strategy.all_gather
            checkpoint["running"] = {name: gather(value).reshape(shape) for name, value in self._running()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the running metric sums when training resumes within an epoch."""
        for name, value in self._running():
            value.copy_(checkpoint["running"][name][self.global_rank].reshape(value.shape))

    def configure_optimizers(self) -> Any:
        """Return the optimiser of the trainable parameters, with a learning-rate scheduler if configured."""
        optimizer = self.optimizer(self.classifier)
        scheduler = self.schedule(optimizer, lambda: int(self.trainer.estimated_stepping_batches))
        return optimizer if scheduler is None else {"optimizer": optimizer, "lr_scheduler": scheduler}

    def on_train_start(self) -> None:
        """Create the generator and the running loss on the device."""
        self._generator = torch.Generator(self.device)
        self._loss_sum = torch.zeros((), device=self.device)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed every random stream by epoch and step, which makes a resumed run equal an uninterrupted one."""
        step = self.current_epoch, batch_idx, self.global_rank
        self._generator.manual_seed(derive_seed(self.seed, AUXILIARY, *step))
        seed = derive_seed(self.seed, TRAINING, *step) % 2**32
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - a backbone of the user may draw from it
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes longer than all of these
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        pooled = batch.pooled_by(self.classifier)
        logits = self.classifier.logits(pooled)
        main = self.loss(logits, batch.labels)
        loss, auxiliary = self.classifier.auxiliary.loss(main, pooled, batch, self._generator)
        self.metrics["fit"].update(logits, batch.labels)
        self._loss_sum += loss.detach()
        # One value per clip: MeanMetric ignores weights when its NaN check, which waits for the device, is off.
        self.losses["fit_loss"].update(loss.detach().expand(len(batch)))
        self.losses["fit_auxiliary"].update(auxiliary.detach().expand(len(batch)))
        if batch_idx % LOSS_CHECK_STEPS == 0 or self.trainer.is_last_batch:
            self._check_loss()
        return loss

    def _check_loss(self) -> None:
        if not torch.isfinite(self._loss_sum):
            raise SeenetError(
                f"the loss became {self._loss_sum.item()} in epoch {self.current_epoch + 1}; lower optim.lr or take "
                "trainer.precision=32-true"
            )

    def on_train_epoch_end(self) -> None:
        """Log the epoch's metrics of the training batches (augmented, main head)."""
        self._log_scalars("fit")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch of the development part to the metrics."""
        probabilities = self(batch)
        self.metrics["dev"].update(probabilities, batch.labels)
        loss = F.nll_loss(probabilities.clamp(min=1e-9).log(), batch.labels, reduction="none")
        self.losses["dev_loss"].update(loss)

    def on_validation_epoch_end(self) -> None:
        """Log the metrics that select the epoch."""
        self._log_scalars("dev")

    def on_test_start(self) -> None:
        """Clear the prediction buffer."""
        self.predictions = []

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Predict a batch of the test fold."""
        self.metrics["test"].update(self._predict(batch), batch.labels)

    def _predict(self, batch: Batch) -> Tensor:
        """Return and buffer the probabilities of a batch. Shape (batch, classes)."""
        pooled = batch.pooled_by(self.classifier)
        probabilities = self.classifier.classify(pooled)
        rows = zip(batch.indices.tolist(), probabilities.double().tolist(), pooled.half().cpu().numpy(), strict=True)
        self.predictions += [Prediction(*row) for row in rows]
        return probabilities

    def on_predict_start(self) -> None:
        """Clear the prediction buffer."""
        self.predictions = []

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        """Predict a batch of the development part."""
        self._predict(batch)

    def on_predict_epoch_end(self) -> None:
        """Gather the predictions of all processes."""
        self._gather_predictions()

    def on_test_epoch_end(self) -> None:
        """Compute the metrics of the fold and gather the predictions of all processes.

        This happens before `trainer.test` moves the model to the CPU, where NCCL cannot gather.
        """
        self.test_figures = {name: value.cpu() for name, value in self.metrics["test"].compute().items()}
        self.metrics["test"].reset()
        self._gather_predictions()

    def _gather_predictions(self) -> None:
        """Collect the predictions of all processes in the order of the manifest."""
        if self.trainer.world_size > 1:
            shares: list[list[Prediction]] = [[] for _ in range(self.trainer.world_size)]
            torch.distributed.all_gather_object(shares, self.predictions)
            self.predictions = [prediction for share in shares for prediction in share]
        self.predictions.sort(key=lambda prediction: prediction.index)

    def _log_scalars(self, part: str) -> None:
        values = self.metrics[part].compute()
        figures = {f"{part}/{name}": values[name] for name in ("ua", "wa", "macro_f1")}
        for name in LOSSES:
            if name.startswith(part):
                figures[name.replace("_", "/", 1)] = self.losses[name].compute()
                self.losses[name].reset()
        self.metrics[part].reset()
        self.log_dict(figures)
