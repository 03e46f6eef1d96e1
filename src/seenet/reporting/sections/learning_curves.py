"""Section on learning curves and selected epochs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section, Table
from seenet.reporting.figure_export import save_figure
from seenet.reporting.grouping import Study
from seenet.reporting.report_plots import plot_learning_curves
from seenet.reporting.run_plots import describe_selection_part
from seenet.reporting.sections import MAX_PLOTTED_ARMS, note_hidden_arms


def build_learning_section(study: Study, arms: Sequence[ArmMetrics], folder: Path, prefix: str) -> Section:
    """Build the curves of the part that selects the epoch, and the table of selected epochs."""
    curves, epochs, missing = {}, [], []
    for arm in arms:
        name = arm.arm.name
        results = [result for result in arm.results if result.facts["best_epoch"] is not None]  # a fitted head has none
        trained = {result.folder.parent: result for result in results}.values()
        if not trained:
            continue
        tables = [result.curves for result in trained if result.curves is not None]
        if len(tables) < len(trained):
            missing.append(f"{name}: {len(trained) - len(tables)} of {len(trained)} curves.csv are missing.")
        if tables:
            rows = pd.concat(tables).groupby("epoch")[["dev_loss", "dev_ua"]]
            curves[name] = rows.agg(["mean", "min", "max"])
        best = [result.facts["best_epoch"] for result in trained]
        numbers = {"arm": name, "epochs": max(r.facts["epochs"] for r in trained), "median": np.median(best)}
        epochs.append(numbers | {"selected": " ".join(map(str, sorted(best)))})
    if not epochs:
        return Section("Learning curves", ["No arm was trained in epochs."], [], [])
    table = pd.DataFrame(epochs)
    text = table.astype({"epochs": str}).assign(median=table["median"].map("{:g}".format))
    keys = {"epochs": "epochs", "median": "median"}
    selected = Table(f"{prefix}epochs", "Selected epochs by fold and seed.", table, text, keys, is_collapsed=True)
    pictures = []
    if curves:
        part = describe_selection_part(study.first_facts["selection"])
        pictures.append(
            save_figure(
                plot_learning_curves(dict(list(curves.items())[:MAX_PLOTTED_ARMS]), part),
                folder,
                f"{prefix}curves",
                f"Learning curves on the {part}: mean over folds and seeds; the band spans lowest to highest.",
                "Loss and UA by epoch of each arm",
            )
        )
    return Section("Learning curves", [*missing, *note_hidden_arms(arms)], pictures, [selected])
