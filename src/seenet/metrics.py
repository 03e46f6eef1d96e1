"""UA, WA, macro-F1, recall and confusion of a whole fold, never averaged over batches.

UA (unweighted accuracy) is the mean recall over the classes that occur in the fold; WA (weighted accuracy)
is plain accuracy.
"""

from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix


class FoldMetrics(MulticlassConfusionMatrix):
    """Counts over a fold, gathered over processes; every figure follows from them.

    Labels are not checked at each update, for a check waits for the device.

    Args:
        num_classes: how many emotions.
    """

    def __init__(self, num_classes: int):
        super().__init__(num_classes, validate_args=False)

    def compute(self) -> dict[str, Tensor]:
        """The figures.

        Returns:
            `ua`, `wa`, `macro_f1` in [0, 1]; `recall`, shape (classes,), NaN for a class that does not occur;
            `confusion`, counts, rows the true class, shape (classes, classes). Macro-F1 is over the classes that
            occur or are predicted.
        """
        confusion = super().compute()
        hits, true, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
        recall = hits / true  # 0 / 0 is NaN, which the mean leaves out
        return {
            "recall": recall,
            "ua": recall.nanmean(),
            "wa": hits.sum() / true.sum(),
            "macro_f1": (2 * hits / (true + predicted)).nanmean(),
            "confusion": confusion,
        }
