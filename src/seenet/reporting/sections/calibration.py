"""Section on the calibration of class probabilities."""

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
from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section, Table
from seenet.reporting.figure_export import save_figure
from seenet.reporting.formatting import MISSING_TEXT, format_percent
from seenet.reporting.grouping import Study
from seenet.reporting.report_plots import plot_reliability
from seenet.reporting.result_loader import LoadedResult, encode_classes, extract_probabilities
from seenet.reporting.sections import MAX_PLOTTED_ARMS

BIN_COUNT = 15
HEADING = "Calibration"


def build_calibration_section(study: Study, arms: Sequence[ArmMetrics], folder: Path, prefix: str) -> Section:
    """Build reliability diagrams and the calibration error before and after temperature scaling."""
    diagrams, numbers, text, notes = {}, [], [], []
    for arm in arms:
        if arm.clips is None:
            notes.append(f"{arm.arm.name}: a predictions.csv is missing.")
            continue
        labels = arm.clips["label"].to_numpy()
        plain = [extract_probabilities(result.predictions, arm.classes) for result in arm.results]
        fitted = [_fit_dev_temperature(result, arm.classes) for result in arm.results]
        temperatures = [temperature for temperature in fitted if temperature is not None]
        kinds = {"as trained": np.concatenate(plain)}
        if len(temperatures) == len(plain):
            tempered = [apply_temperature(p, t) for p, t in zip(plain, temperatures, strict=True)]
            kinds["tempered"] = np.concatenate(tempered)
        diagrams[arm.arm.name] = {kind: reliability_curve(p, labels, BIN_COUNT) for kind, p in kinds.items()}
        errors = {kind: expected_calibration_error(p, labels, BIN_COUNT) for kind, p in kinds.items()}
        after = errors.get("tempered")
        numbers.append({"arm": arm.arm.name, "ece": errors["as trained"], "ece_tempered": after})
        shown = " ".join(f"{t:.2f}" for t in temperatures) if after is not None else MISSING_TEXT
        text.append(
            {"arm": arm.arm.name, "ECE %": format_percent(errors["as trained"])}
            | {"ECE % tempered": format_percent(after), "temperatures": shown}
        )
    if study.first_facts["selection"] == "test":
        notes.append("The test fold selected the epoch: no held-out part is available to fit a temperature.")
    elif any(row["ece_tempered"] is None for row in numbers):
        notes.append("Without a dev_predictions.csv, no temperature is fitted.")
    if not numbers:
        return Section(HEADING, notes)
    caption = (
        f"Expected calibration error over all test clips in {BIN_COUNT} bins, as trained and after temperature scaling "
        "fitted on the development part of each fold and seed."
    )
    keys = {"ECE %": "ece", "ECE % tempered": "ece_tempered"}
    table = Table(f"{prefix}calibration", caption, pd.DataFrame(numbers), pd.DataFrame(text), keys)
    picture = save_figure(
        plot_reliability(dict(list(diagrams.items())[:MAX_PLOTTED_ARMS])),
        folder,
        f"{prefix}reliability",
        "Accuracy against confidence; the dotted line shows perfect calibration. The area of a circle shows the number "
        "of clips.",
        "Reliability diagram of each arm",
    )
    return Section(HEADING, notes, [picture], [table])


def _fit_dev_temperature(result: LoadedResult, classes: Sequence[str]) -> float | None:
    """Fit the temperature on the development part; return None without a separate one."""
    dev = result.dev_predictions
    if result.facts["selection"] == "test" or dev is None or dev.empty:
        return None
    return fit_temperature(extract_probabilities(dev, classes), encode_classes(dev["label"], classes))
