"""Section on classes: confusion matrices and recall."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from seenet.evaluation.scores import classification_scores
from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section, Table
from seenet.reporting.figure_export import save_figure
from seenet.reporting.formatting import format_percent
from seenet.reporting.report_plots import plot_confusions, plot_recalls
from seenet.reporting.sections import MAX_PLOTTED_ARMS, note_hidden_arms


def build_classes_section(arms: Sequence[ArmMetrics], folder: Path, prefix: str) -> Section:
    """Build the confusion matrices and the recall of each class."""
    classes = list(arms[0].classes)
    shown = arms[:MAX_PLOTTED_ARMS]
    recalls = {arm.arm.name: classification_scores(arm.confusion)["recall"] for arm in arms}
    pictures = [
        save_figure(
            plot_confusions({arm.arm.name: arm.confusion for arm in shown}, classes),
            folder,
            f"{prefix}confusion",
            "Confusion matrices pooled over folds and seeds: percent of the true class, and number of clips for up to "
            "5 classes.",
            "Confusion matrices of " + ", ".join(arm.arm.name for arm in shown),
        ),
        save_figure(
            plot_recalls({arm.arm.name: recalls[arm.arm.name] for arm in shown}, classes),
            folder,
            f"{prefix}recall",
            "Recall of each class.",
            "Recall of each class by arm; the table below has the numbers",
        ),
    ]
    numbers = pd.DataFrame([{"arm": name, **dict(zip(classes, r, strict=True))} for name, r in recalls.items()])
    text = numbers.assign(**{c: numbers[c].map(format_percent) for c in classes})
    caption = "Recall % of each class, pooled over all test clips."
    table = Table(f"{prefix}recall", caption, numbers, text, {c: c for c in classes})
    return Section("Classes", note_hidden_arms(arms), pictures, [table])
