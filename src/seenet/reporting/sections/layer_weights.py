"""Section on learned weights of encoder layers."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section, Table
from seenet.reporting.figure_export import save_figure
from seenet.reporting.formatting import format_percent
from seenet.reporting.report_plots import plot_layer_weights
from seenet.reporting.sections import MAX_PLOTTED_ARMS, note_hidden_arms

EXPLANATION = (
    "These arms learn a weighted sum of encoder layers. Layer 0 is the input of the first transformer layer, layer k "
    "the output of layer k. The weights are equal at the start of training and sum to 100 %. A large weight alone does "
    "not make a layer important, because the values of layers differ in size."
)

MIN_CHANGE = 0.01
"""Difference from equal weights below which all weights of an arm count as unchanged."""


def build_layer_weights_section(arms: Sequence[ArmMetrics], folder: Path, prefix: str) -> Section | None:
    """Build the figure and the table of the mean weight of each layer; None if no arm has learned weights."""
    collected = [(number, arm, collect_layer_weights(arm)) for number, arm in enumerate(arms)]
    weights = {arm.arm.name: (number, table) for number, arm, table in collected if table is not None}
    if not weights:
        return None
    parts = [
        pd.DataFrame({"layer": table.columns, "mean": table.mean(), "lowest": table.min(), "highest": table.max()})
        .assign(trainings=len(table))
        .assign(arm=name)
        for name, (_, table) in weights.items()
    ]
    numbers = pd.concat(parts, ignore_index=True)[["arm", "layer", "mean", "lowest", "highest", "trainings"]]
    shares = ("mean", "lowest", "highest")
    text = numbers.astype({"layer": str, "trainings": str}).assign(
        **{name: numbers[name].map(format_percent) for name in shares}
    )
    keys = {name: name for name in ("layer", *shares, "trainings")}
    caption = "Weight % of each layer: mean, lowest and highest of the trainings (folds and seeds)."
    table = Table(f"{prefix}layer_weights", caption, numbers, text, keys, is_collapsed=True)
    picture = save_figure(
        plot_layer_weights(dict(list(weights.items())[:MAX_PLOTTED_ARMS])),
        folder,
        f"{prefix}layer_weights",
        "Mean weight of each layer over folds and seeds; the black line spans lowest to highest. The dotted line shows "
        "equal weights.",
        "Weight by encoder layer of each arm; the table below lists the values",
    )
    unchanged = [
        f"{name}: training hardly changed the weights; all are within {100 * MIN_CHANGE:g} point of equal ones."
        for name, (_, table) in weights.items()
        if (table - 1 / table.shape[1]).abs().max(axis=None) < MIN_CHANGE
    ]
    hidden = note_hidden_arms([arm for _, arm, table in collected if table is not None])
    return Section("Layer weights", [EXPLANATION, *unchanged, *hidden], [picture], [table])


def collect_layer_weights(arm: ArmMetrics) -> pd.DataFrame | None:
    """Return the weights of each training of an arm; None if it has none.

    Returns:
        One row for each fold and seed, without results of older versions; columns are layers in ascending order.
    """
    trainings = {result.folder.parent: result.facts.get("layer_weights") for result in arm.results}
    rows = [pd.Series(learned["weights"], learned["layers"]) for learned in trainings.values() if learned]
    return pd.DataFrame(rows).sort_index(axis=1) if rows else None
