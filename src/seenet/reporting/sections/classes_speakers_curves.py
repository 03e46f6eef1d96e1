"""Where an arm is right and wrong: classes, speakers, and how it learned."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seenet.evaluation.scores import classification_scores
from seenet.reporting import report_plots
from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section, Table
from seenet.reporting.formatting import percent
from seenet.reporting.grouping import Study
from seenet.reporting.run_plots import selected_on

MOST = 8
"""Arms that one figure tells apart."""
WORST = 8
"""Speakers that a table lists."""


def classes_section(arms: Sequence[ArmMetrics], folder: Path, prefix: str) -> Section:
    """Confusion matrices and recall of each class."""
    classes = list(arms[0].classes)
    shown = arms[:MOST]
    recalls = {arm.arm.name: classification_scores(arm.confusion)["recall"] for arm in arms}
    pictures = [
        report_plots.save_figure(
            report_plots.confusions({arm.arm.name: arm.confusion for arm in shown}, classes),
            folder,
            f"{prefix}confusion",
            "Confusion of all test clips, folds and seeds together: share of the true class, and clips.",
            "Confusion matrices of " + ", ".join(arm.arm.name for arm in shown),
        ),
        report_plots.save_figure(
            report_plots.recalls({arm.arm.name: recalls[arm.arm.name] for arm in shown}, classes),
            folder,
            f"{prefix}recall",
            "Recall of each class.",
            "Recall of each class by arm; the table below has the numbers",
        ),
    ]
    numbers = pd.DataFrame([{"arm": name, **dict(zip(classes, r, strict=True))} for name, r in recalls.items()])
    text = numbers.assign(**{c: numbers[c].map(percent) for c in classes})
    table = Table(f"{prefix}recall", "Recall % of each class, all test clips together.", numbers, text,
                  {c: c for c in classes})  # fmt: skip
    return Section("Classes", _left_out(arms), pictures, [table])


def _left_out(arms: Sequence[ArmMetrics]) -> list[str]:
    return [f"The figures show the {MOST} best of {len(arms)} arms."] if len(arms) > MOST else []


def speakers_section(arms: Sequence[ArmMetrics], folder: Path, prefix: str) -> Section:
    """UA of each speaker."""
    values = {}
    for arm in arms:
        if arm.speakers:
            names, counts = arm.speakers
            values[arm.arm.name] = pd.Series(classification_scores(counts)["ua"], index=names)
    if not values:
        return Section("Speakers", ["The corpus does not name all speakers."])
    shown = dict(list(values.items())[:MOST])
    picture = report_plots.save_figure(
        report_plots.plot_speaker_scores(shown),
        folder,
        f"{prefix}speakers",
        "UA of each speaker, over the classes that there are clips of.",
        "UA by speaker and arm; the table below lists the worst",
    )
    table = pd.DataFrame(values).rename_axis(index="speaker")
    worst = table.loc[table.mean(axis=1).nsmallest(WORST).index].reset_index()
    text = worst.assign(**{name: worst[name].map(percent) for name in values})
    caption = f"The {len(worst)} speakers with the lowest UA %, of {len(table)}."
    return Section(
        "Speakers",
        _left_out(arms),
        [picture],
        [Table(f"{prefix}speakers", caption, worst, text, {n: n for n in values})],
    )


def learning_section(study: Study, arms: Sequence[ArmMetrics], folder: Path, prefix: str) -> Section:
    """Loss and UA of what selects the epoch, and the epochs selected."""
    curves, epochs, missing = {}, [], []
    for arm in arms:
        name = arm.arm.name
        trained = {r.folder.parent: r for r in arm.results}.values()
        tables = [r.curves for r in trained if r.curves is not None]
        if len(tables) < len(trained):
            missing.append(f"{name}: {len(trained) - len(tables)} of {len(trained)} curves.csv are missing.")
        if tables:
            rows = pd.concat(tables).groupby("epoch")[["dev_loss", "dev_ua"]]
            curves[name] = rows.agg(["mean", "min", "max"])
        best = [r.facts["best_epoch"] for r in trained]
        numbers = {"arm": name, "epochs": max(r.facts["epochs"] for r in trained), "median": np.median(best)}
        epochs.append(numbers | {"selected": " ".join(map(str, sorted(best)))})
    table = pd.DataFrame(epochs)
    text = table.astype({"epochs": str}).assign(median=table["median"].map("{:g}".format))
    keys = {"epochs": "epochs", "median": "median"}
    selected = Table(f"{prefix}epochs", "The epochs selected, by fold and seed.", table, text, keys, folded=True)
    pictures = []
    if curves:
        part = selected_on(study.first["selection"])
        shown = dict(list(curves.items())[:MOST])
        pictures.append(
            report_plots.save_figure(
                report_plots.learning(shown, part),
                folder,
                f"{prefix}curves",
                f"Learning curves on the {part}: mean over folds and seeds; the band is from lowest to highest.",
                "Loss and UA by epoch of each arm",
            )
        )
    return Section("Learning curves", [*missing, *_left_out(arms)], pictures, [selected])
