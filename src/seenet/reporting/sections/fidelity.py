"""Section on fidelity: differences from the paper and its code."""

from collections.abc import Sequence

import pandas as pd

from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section, Table
from seenet.reporting.grouping import Study
from seenet.reporting.paper_differences import Deviation, find_deviations, is_comparable_to_paper


def build_fidelity_section(study: Study, arms: Sequence[ArmMetrics], prefix: str) -> Section | None:
    """Build the table of differences from the paper; return None if no result is comparable."""
    results = [result for arm in arms for result in arm.arm.results if is_comparable_to_paper(result.facts)]
    if not results:
        return None
    arms_by_deviation: dict[Deviation, dict[str, None]] = {}
    for arm in arms:
        for result in arm.arm.results:
            for deviation in find_deviations(result.facts):
                arms_by_deviation.setdefault(deviation, {})[arm.arm.name] = None
    rows = []
    for deviation, names in arms_by_deviation.items():
        which = "all" if len(names) == len(arms) else ", ".join(names)
        rows.append(
            {"topic": deviation.topic, "here": deviation.here, "paper or its code": deviation.paper, "arms": which}
        )
    frame = pd.DataFrame(rows).drop(columns=["arms"] if len(arms) == 1 else [])
    notes = [
        "Known differences of these results from the paper and its published code, found in the configuration of each "
        "run."
    ]
    if study.first_facts["selection"] == "test":
        notes.append("As in the paper, the test fold selected the epoch: both figures are optimistic.")
    caption = "Differences from the paper (Li et al. 2025) and its code."
    table = Table(f"{prefix}fidelity", caption, frame, frame, is_prose=True)
    return Section("Fidelity to the paper", notes, (), [table])
