"""Sections of the report.

Each module builds one `Section` of text, tables and figures from the arms of a study.
"""

from collections.abc import Sequence

from seenet.reporting.arm_metrics import ArmMetrics

MAX_PLOTTED_ARMS = 8
"""Arms that one figure can distinguish."""


def note_hidden_arms(arms: Sequence[ArmMetrics]) -> list[str]:
    """Return a note if figures show fewer arms than there are."""
    if len(arms) <= MAX_PLOTTED_ARMS:
        return []
    return [f"The figures show the {MAX_PLOTTED_ARMS} best of {len(arms)} arms."]
