"""A table of the report: numbers for a CSV file, text for people, and a caption."""

import math

from seenet.evaluation.speaker_statistics import Interval

NONE = "–"
MINUS = "\N{MINUS SIGN}"


def _missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def percent(value: float | None) -> str:
    """A share as percent with one decimal."""
    return NONE if _missing(value) else f"{100 * value:.1f}"


def points(value: float | None) -> str:
    """A difference of shares in percentage points, with its sign."""
    return NONE if _missing(value) else f"{100 * value:+.1f}".replace("-", MINUS)


def interval(value: Interval | None, shown=percent) -> str:
    """The two ends, e.g. `[70.1, 75.2]`."""
    return NONE if value is None else f"[{shown(value.low)},\N{NO-BREAK SPACE}{shown(value.high)}]"


def p_value(value: float | None) -> str:
    """Three decimals."""
    if _missing(value):
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3 h 20 min`."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
