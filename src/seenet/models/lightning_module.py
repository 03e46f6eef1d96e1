"""The LightningModule: backbone, pooling, main head and auxiliary task wired together."""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric

from seenet.core.errors import SeenetError
from seenet.core.seeds import AUXILIARY, TRAINING, derive_seed
from seenet.data.batch import Batch
from seenet.evaluation.fold_metrics import ConfusionMetric
from seenet.models.auxiliary.base import AuxiliaryTask

LOSSES = ("fit_loss", "fit_auxiliary", "dev_loss")

HEAD_STD = 0.02
"""Standard deviation of the main head's initial weights, as in the original; its biases begin at 0."""

CHECK_EVERY = 50  # steps between looks at the loss: each look waits for the device


@dataclass(frozen=True)
class Prediction:
    """What a model says of one clip.

    Attributes:
        index: its row in the manifest.
        probabilities: of each class.
        embedding: its pooled vector, float16. Shape (dim,).
    """

    index: int
    probabilities: list[float]
    embedding: NDArray[np.float16]


class EmotionModel(lightning.LightningModule):
    """A speech emotion classifier.

    Args:
        backbone: (waveform, lengths) to (frames, mask); has `.dim`.
        pooling: (frames, mask) to pooled vectors.
        auxiliary: the auxiliary task.
        optimizer: makes an optimiser of parameters.
        classes: the emotions in their order; every checkpoint names them.
        seed: of the run.

    Attributes:
        predictions: of the test fold once `trainer.test` has run, or of the development part once `trainer.predict`
            has, in the order of the manifest.
        test_figures: what `ConfusionMetric` gives for the test fold, then too.
    """

    def __init__(
        self,
        backbone: nn.Module,
        pooling: nn.Module,
        auxiliary: AuxiliaryTask,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        classes: Sequence[str],
        seed: int,
    ):
        super().__init__()
        self.classes, num_classes = tuple(classes), len(classes)
        self.backbone, self.pooling, self.auxiliary = backbone, pooling, auxiliary
        self.head = nn.Linear(backbone.dim, num_classes)
        nn.init.normal_(self.head.weight, std=HEAD_STD)
        nn.init.zeros_(self.head.bias)
        self.optimizer, self.seed = optimizer, seed
        self.metrics = nn.ModuleDict({part: ConfusionMetric(num_classes) for part in ("fit", "dev", "test")})
        self.losses = nn.ModuleDict({name: MeanMetric(nan_strategy="disable") for name in LOSSES})
        self.predictions: list[Prediction] = []
        self.test_figures: dict[str, Tensor] = {}

    def pool(self, batch: Batch) -> Tensor:
        """Pooled vectors, shape (batch, dim)."""
        return self.pooling(*self.backbone(batch.waveform, batch.lengths))

    def forward(self, batch: Batch) -> Tensor:
        """Class probabilities, shape (batch, classes)."""
        return self._classify(self.pool(batch))

    def _classify(self, pooled: Tensor) -> Tensor:
        """Class probabilities of pooled vectors, shape (batch, classes)."""
        return self.auxiliary.predict(self.head(pooled).float().softmax(dim=1), pooled)

    def _running(self) -> Iterator[tuple[str, Tensor]]:
        """The sums of the epoch that is being trained, by name."""
        losses = {name: self.losses[name] for name in LOSSES if name.startswith("fit")}
        for name, metric in {"fit": self.metrics["fit"], **losses}.items():
            for key, value in metric.metric_state.items():
                yield f"{name}.{key}", value

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Name the classes beside the weights, and keep each process' sums where training is to go on."""
        checkpoint["classes"] = list(self.classes)
        if "optimizer_states" in checkpoint:
            self._check_loss()  # a broken model is not worth going on from
            shape = (self.trainer.world_size, -1)
            checkpoint["running"] = {n: self.all_gather(value).reshape(shape) for n, value in self._running()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from the sums of an epoch that was interrupted."""
        for name, value in self._running():
            value.copy_(checkpoint["running"][name][self.global_rank].reshape(value.shape))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser over what is trained."""
        return self.optimizer([p for p in self.parameters() if p.requires_grad])

    def on_train_start(self) -> None:
        """Make what lives on the device."""
        self._generator = torch.Generator(self.device)
        self._loss_sum = torch.zeros((), device=self.device)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Start every stream of random numbers anew, so that a resumed run equals an uninterrupted one."""
        step = self.current_epoch, batch_idx, self.global_rank
        self._generator.manual_seed(derive_seed(self.seed, AUXILIARY, *step))
        seed = derive_seed(self.seed, TRAINING, *step) % 2**32
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - a backbone of the user may draw from it
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes longer than all of these
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        pooled = self.pool(batch)
        logits = self.head(pooled).float()
        main = F.cross_entropy(logits, batch.labels)
        loss, auxiliary = self.auxiliary.loss(main, pooled, batch, self._generator)
        self.metrics["fit"].update(logits, batch.labels)
        self._loss_sum += loss.detach()
        # One value a clip: without its check for NaN, which waits for the device, MeanMetric takes no heed of weights.
        self.losses["fit_loss"].update(loss.detach().expand(len(batch)))
        self.losses["fit_auxiliary"].update(auxiliary.detach().expand(len(batch)))
        if batch_idx % CHECK_EVERY == 0 or self.trainer.is_last_batch:
            self._check_loss()
        return loss

    def _check_loss(self) -> None:
        if not torch.isfinite(self._loss_sum):
            raise SeenetError(
                f"the loss became {self._loss_sum.item()} in epoch {self.current_epoch + 1}; lower optim.lr or take "
                "trainer.precision=32-true"
            )

    def on_train_epoch_end(self) -> None:
        """Close the epoch's figures on the training batches (augmented, main head)."""
        self._log_scalars("fit")

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Count a batch of the part that selects the epoch."""
        probabilities = self(batch)
        self.metrics["dev"].update(probabilities, batch.labels)
        loss = F.nll_loss(probabilities.clamp(min=1e-9).log(), batch.labels, reduction="none")
        self.losses["dev_loss"].update(loss)

    def on_validation_epoch_end(self) -> None:
        """Close the figures that select the epoch."""
        self._log_scalars("dev")

    def on_test_start(self) -> None:
        """Forget earlier predictions."""
        self.predictions = []

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Predict a batch of the test fold."""
        self.metrics["test"].update(self._predict(batch), batch.labels)

    def _predict(self, batch: Batch) -> Tensor:
        """Probabilities of a batch, which are remembered; shape (batch, classes)."""
        pooled = self.pool(batch)
        probabilities = self._classify(pooled)
        rows = zip(batch.indices.tolist(), probabilities.double().tolist(), pooled.half().cpu().numpy(), strict=True)
        self.predictions += [Prediction(*row) for row in rows]
        return probabilities

    def on_predict_start(self) -> None:
        """Forget earlier predictions."""
        self.predictions = []

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        """Predict a batch of the development part."""
        self._predict(batch)

    def on_predict_epoch_end(self) -> None:
        """Gather every process' predictions."""
        self._gather_predictions()

    def on_test_epoch_end(self) -> None:
        """Close the fold's figures and gather every process' predictions.

        Here and not after `trainer.test`, which leaves the model on the CPU, where NCCL cannot gather.
        """
        self.test_figures = {name: value.cpu() for name, value in self.metrics["test"].compute().items()}
        self.metrics["test"].reset()
        self._gather_predictions()

    def _gather_predictions(self) -> None:
        """The predictions of all processes, in the order of the manifest."""
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
