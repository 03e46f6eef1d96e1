"""UA, WA, macro-F1, recall and confusion of a complete fold, never averaged over batches."""

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from seenet.evaluation.scores import classification_scores


class ConfusionMetric(MulticlassConfusionMatrix):
    """Confusion counts over a fold, summed over processes; all scores derive from them.

    Updates do not validate labels, because that would synchronise with the device.

    Args:
        num_classes: number of emotions.
    """

    def __init__(self, num_classes: int):
        super().__init__(num_classes, validate_args=False)

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count clips without `bincount`, by which torchmetrics synchronises with a GPU.

        Args:
            preds: score of each class. Shape (batch, classes).
            target: class numbers. Shape (batch,).
        """
        cells = target * self.num_classes + preds.argmax(dim=1)
        self.confmat.view(-1).scatter_add_(0, cells, torch.ones_like(cells))

    def compute(self) -> dict[str, Tensor]:
        """Compute the scores, on the device of the counts.

        Returns:
            The values of `classification_scores`, and `confusion`: counts, rows the true class. Shape (classes,
            classes).
        """
        confusion = super().compute()
        scores = classification_scores(confusion.cpu().numpy())
        return {
            **{name: torch.tensor(value, dtype=torch.float32).to(confusion.device) for name, value in scores.items()},
            "confusion": confusion,
        }
