"""UA, WA, macro-F1, recall and confusion of a complete fold, never averaged over batches."""

import torch
from torch import Tensor
from torchmetrics import Metric

from seenet.evaluation.scores import classification_scores


class ConfusionMetric(Metric):
    """Confusion counts over a fold, summed over processes; all scores derive from them.

    Args:
        num_classes: number of emotions.
    """

    full_state_update = False
    confmat: Tensor

    def __init__(self, num_classes: int):
        super().__init__()
        self.num_classes = num_classes
        self.add_state("confmat", torch.zeros(num_classes, num_classes, dtype=torch.long), dist_reduce_fx="sum")

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Count clips without `bincount` and without checks of labels, which synchronise with a GPU.

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
        scores = classification_scores(self.confmat.cpu().numpy())
        device = self.confmat.device
        return {
            **{name: torch.tensor(value, dtype=torch.float32).to(device) for name, value in scores.items()},
            "confusion": self.confmat,
        }
