"""UA, WA, macro-F1, recall and confusion of a whole fold, never averaged over batches."""

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from seenet.evaluation.scores import classification_scores


class ConfusionMetric(MulticlassConfusionMatrix):
    """Counts over a fold, gathered over processes; every figure follows from them.

    Labels are not checked at each update, for a check waits for the device, too.

    Args:
        num_classes: how many emotions.
    """

    def __init__(self, num_classes: int):
        super().__init__(num_classes, validate_args=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count clips; torchmetrics' own, by `bincount`, waits for a GPU.

        Args:
            preds: a score of each class. Shape (batch, classes).
            target: class numbers. Shape (batch,).
        """
        cells = target * self.num_classes + preds.argmax(dim=1)
        self.confmat.view(-1).scatter_add_(0, cells, torch.ones_like(cells))

    def compute(self) -> dict[str, Tensor]:
        """The figures, on the device of the counts.

        Returns:
            The values of `classification_scores`, and `confusion`: counts, rows the true class. Shape (classes,
            classes).
        """
        confusion = super().compute()
        figures = classification_scores(confusion.cpu().numpy())
        return {
            **{name: torch.tensor(value, dtype=torch.float32).to(confusion.device) for name, value in figures.items()},
            "confusion": confusion,
        }
