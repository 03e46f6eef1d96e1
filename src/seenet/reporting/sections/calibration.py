"""Whether the arms' probabilities mean what they say."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from seenet.evaluation.calibration import (
    apply_temperature,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)
from seenet.reporting import report_plots
from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section, Table
from seenet.reporting.formatting import NONE, percent
from seenet.reporting.grouping import Study
from seenet.reporting.result_loader import LoadedResult, codes, probabilities
from seenet.reporting.sections.classes_speakers_curves import MOST

BINS = 15


def _temperature(result: LoadedResult, classes: Sequence[str]) -> float | None:
    dev = result.dev_predictions
    if result.facts["selection"] == "test" or dev is None or dev.empty:
        return None
    return fit_temperature(probabilities(dev, classes), codes(dev["label"], classes))


def calibration_section(study: Study, arms: Sequence[ArmMetrics], folder: Path, prefix: str) -> Section:
    """Expected calibration error as trained and tempered, and reliability diagrams."""
    diagrams, numbers, text, notes = {}, [], [], []
    for arm in arms:
        if arm.clips is None:
            notes.append(f"{arm.arm.name}: a predictions.csv is missing.")
            continue
        labels = arm.clips["label"].to_numpy()
        plain = [probabilities(r.predictions, arm.classes) for r in arm.results]
        temperatures = [_temperature(r, arm.classes) for r in arm.results]
        kinds = {"as trained": np.concatenate(plain)}
        if None not in temperatures:
            kinds["tempered"] = np.concatenate(
                [apply_temperature(p, t) for p, t in zip(plain, temperatures, strict=True)]
            )
        diagrams[arm.arm.name] = {kind: reliability_curve(p, labels, BINS) for kind, p in kinds.items()}
        errors = {kind: expected_calibration_error(p, labels, BINS) for kind, p in kinds.items()}
        after = errors.get("tempered")
        numbers.append({"arm": arm.arm.name, "ece": errors["as trained"], "ece_tempered": after})
        shown = " ".join(f"{t:.2f}" for t in temperatures) if after is not None else NONE
        text.append(
            {"arm": arm.arm.name, "ECE %": percent(errors["as trained"]), "ECE % tempered": percent(after)}
            | {"temperatures": shown}
        )
    if study.first["selection"] == "test":
        notes.append("The epoch was selected on the test fold: no held-out part is left to fit a temperature on.")
    elif any(row["ece_tempered"] is None for row in numbers):
        notes.append("Where a dev_predictions.csv is missing no temperature is fitted.")
    if not numbers:
        return Section("Calibration", notes)
    caption = (
        f"Expected calibration error of all test clips in {BINS} bins, as trained and after a temperature that was "
        "fitted on the development part of each fold and seed."
    )
    keys = {"ECE %": "ece", "ECE % tempered": "ece_tempered"}
    table = Table(f"{prefix}calibration", caption, pd.DataFrame(numbers), pd.DataFrame(text), keys)
    picture = report_plots.save_figure(
        report_plots.reliability_diagram(dict(list(diagrams.items())[:MOST])),
        folder,
        f"{prefix}reliability",
        "Accuracy against confidence; on the dotted line probabilities mean what they say. Areas: clips.",
        "Reliability diagram of each arm",
    )
    return Section("Calibration", notes, [picture], [table])
