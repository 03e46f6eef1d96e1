"""Numbers as text for the tables of the report."""

import math
from collections.abc import Callable

from seenet.evaluation.speaker_statistics import Interval

MISSING_TEXT = "–"
MINUS_SIGN = "\N{MINUS SIGN}"


def format_percent(value: float | None) -> str:
    """Format a share as percent with one decimal."""
    return MISSING_TEXT if value is None or math.isnan(value) else f"{100 * value:.1f}"


def format_points(value: float | None) -> str:
    """Format a difference of shares in percentage points with its sign."""
    if value is None or math.isnan(value):
        return MISSING_TEXT
    return f"{100 * value:+.1f}".replace("-", MINUS_SIGN)


def format_effect(value: float | None) -> str:
    """Format an effect size with its sign and two decimals."""
    return MISSING_TEXT if value is None else f"{value:+.2f}".replace("-", MINUS_SIGN)


def format_interval(value: Interval | None, format_end: Callable[[float], str] = format_percent) -> str:
    """Format both ends of an interval, such as `[70.1, 75.2]`."""
    return MISSING_TEXT if value is None else f"[{format_end(value.low)},\N{NO-BREAK SPACE}{format_end(value.high)}]"


def format_p_value(value: float | None) -> str:
    """Format a p-value with three decimals; smaller values read `< 0.001`."""
    if value is None or math.isnan(value):
        return MISSING_TEXT
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def format_duration(seconds: float) -> str:
    """Format a duration as `40 s`, `12 min` or `3 h 20 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
