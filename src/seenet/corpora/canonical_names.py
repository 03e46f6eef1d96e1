"""Canonical forms of names, to recognise one speaker or session in several spellings."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PLACEHOLDERS = frozenset(
    {
        *("unknown", "unk", "unknown speaker", "not known", "unspecified", "not specified", "undefined", "missing"),
        *("nan", "na", "n a", "none", "null", "nil", "not available"),
        *("anonymous", "unidentified", "no speaker", "speaker unknown"),
        *("unbekannt", "inconnu", "desconocido", "未知"),
    }
)
"""Words for "unknown", in lower case with spaces for punctuation. A person called Nan or Na needs another spelling."""

MAX_SHOWN_NAMES = 5
"""Number of names that a note lists."""

_MINUS_ONE = re.compile(r"-1(?:\.0*)?")  # a usual code for unknown among numbered speakers
_NUMBER = re.compile(r"(\d+)(?:\.0*)?")


def canonicalize_name(name: str) -> str:
    """Return the canonical form of a name, or an empty text for a placeholder.

    The form is Unicode NFKC, case-folded, with single spaces and without invisible characters.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    visible = "".join(c for c in folded if unicodedata.category(c) != "Cf")
    form = " ".join(visible.split())
    words = " ".join(re.sub(r"[\W_]", " ", form).split())
    return "" if not words or words in PLACEHOLDERS or _MINUS_ONE.fullmatch(form) else form


def canonicalize_names(names: Sequence[str]) -> list[str]:
    """Return the canonical forms of a column; if all names are numbers, `01` becomes `1`."""
    forms = [canonicalize_name(name) for name in names]
    return [strip_zeros(form) for form in forms] if all(map(_NUMBER.fullmatch, filter(None, forms))) else forms


def strip_zeros(form: str) -> str:
    """Remove leading zeros and zero decimals from a number; return other forms unchanged."""
    match = _NUMBER.fullmatch(form)
    return str(int(match[1])) if match else form


def merge_spellings(column: pd.Categorical, field: str) -> tuple[pd.Categorical, tuple[str, ...]]:
    """Replace names of one canonical form by one spelling: the most frequent, then the first.

    The run time grows with the number of distinct names, not of rows.

    Args:
        column: names; missing values and placeholders become empty.
        field: name of the column in notes, e.g. `speaker`.

    Returns:
        The column with sorted categories, and notes for the user on merged spellings and unknown names.
    """
    names = [str(name) for name in column.categories] + [""]
    codes = np.where(column.codes < 0, len(names) - 1, column.codes)
    counts = np.bincount(codes, minlength=len(names))
    first = np.zeros(len(names), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # numpy keeps the last of equal indices, here the first row
    groups: dict[str, list[int]] = {}
    for code, form in enumerate(canonicalize_names(names)):
        groups.setdefault(form, []).append(code)
    spelling, merged = [""] * len(names), []
    for form, group in groups.items():
        group.sort(key=lambda code: (-counts[code], first[code]))
        for code in group:
            spelling[code] = names[group[0]] if form else ""
        if form and len(group) > 1:
            merged.append([names[code] for code in group])
    unknown = [code for code in groups.get("", ()) if names[code] != ""]
    categories = sorted({spelling[code] for code in np.flatnonzero(counts).tolist()})
    positions = {name: position for position, name in enumerate(categories)}
    new_codes = np.array([positions.get(name, -1) for name in spelling], dtype=np.int64)
    values = pd.Categorical.from_codes(new_codes[codes], categories=categories)
    return values, (*_note_merged(merged, field), *_note_unknown(names, counts, unknown, field))


def _note_merged(merged: Sequence[Sequence[str]], field: str) -> list[str]:
    if not merged:
        return []
    shown = [" = ".join(_quote_distinctly(name, group) for name in group) for group in merged[:MAX_SHOWN_NAMES]]
    more = f"; and {len(merged) - MAX_SHOWN_NAMES} more" if len(merged) > MAX_SHOWN_NAMES else ""
    return [f"spellings that count as one {field}: {'; '.join(shown)}{more}"]


def _note_unknown(names: Sequence[str], counts: NDArray[np.int64], unknown: Sequence[int], field: str) -> list[str]:
    if not unknown:
        return []
    clips = int(counts[list(unknown)].sum())
    more = f" and {len(unknown) - MAX_SHOWN_NAMES} more" if len(unknown) > MAX_SHOWN_NAMES else ""
    shown = ", ".join(f"'{names[code]}'" for code in unknown[:MAX_SHOWN_NAMES]) + more
    return [f"{field} {shown}: counted as unknown ({clips} clips)"]


def _quote_distinctly(name: str, group: Sequence[str]) -> str:
    """Quote a spelling; show its code points if another spelling of the group looks the same."""
    alike = [other for other in group if unicodedata.normalize("NFKC", other) == unicodedata.normalize("NFKC", name)]
    return ascii(name) if len(alike) > 1 else f"'{name}'"
