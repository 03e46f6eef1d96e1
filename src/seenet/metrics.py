"""UA, WA, macro-F1, recall and confusion of a whole fold, never averaged over batches.

UA (unweighted accuracy) is the mean recall over the classes that occur in the fold; WA (weighted accuracy)
is plain accuracy.
"""

import torch
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
    MulticlassRecall,
)


class FoldMetrics(MetricCollection):
    """Counts over a fold, gathered over processes.

    Args:
        num_classes: how many emotions.
    """

    def __init__(self, num_classes: int):
        super().__init__(
            {
                "recall": MulticlassRecall(num_classes, average="none"),
                "wa": MulticlassAccuracy(num_classes, average="micro"),
                "macro_f1": MulticlassF1Score(num_classes, average="macro"),
                "confusion": MulticlassConfusionMatrix(num_classes),
            },
        )

    def compute(self) -> dict[str, Tensor]:
        """The figures.

        Returns:
            `ua`, `wa`, `macro_f1` in [0, 1]; `recall`, shape (classes,), NaN for a class that does not occur;
            `confusion`, counts, rows the true class, shape (classes, classes).
        """
        values = super().compute()
        present = values["confusion"].sum(dim=1) > 0
        recall = torch.where(present, values["recall"], torch.nan)
        return {**values, "recall": recall, "ua": recall.nanmean()}
