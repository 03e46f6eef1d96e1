"""Canonical forms of names: one person has one name, however a table spells it."""

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
"""What means "not known", in lower case, punctuation as spaces. A person called Nan or Na needs another spelling."""

_MINUS_ONE = re.compile(r"-1(?:\.0*)?")  # the unknown of numbered speakers
_NUMBER = re.compile(r"(\d+)(?:\.0*)?")
SHOWN = 5
"""How many names a note shows."""


def canonical_form(name: str) -> str:
    """Unicode NFKC, case folded, white space collapsed, without invisible characters; empty for a placeholder."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    visible = "".join(c for c in folded if unicodedata.category(c) != "Cf")
    form = " ".join(visible.split())
    words = " ".join(re.sub(r"[\W_]", " ", form).split())
    return "" if not words or words in PLACEHOLDERS or _MINUS_ONE.fullmatch(form) else form


def canonical_names(names: Sequence[str]) -> list[str]:
    """The canonical form of each name of a column. Where all are numbers, `01` and `1.0` are `1`."""
    forms = [canonical_form(name) for name in names]
    return [number_form(form) for form in forms] if all(map(_NUMBER.fullmatch, filter(None, forms))) else forms


def number_form(form: str) -> str:
    """A number without zeros before and behind it; other forms as they are."""
    match = _NUMBER.fullmatch(form)
    return str(int(match[1])) if match else form


def merge_spellings(column: pd.Categorical, what: str) -> tuple[pd.Categorical, tuple[str, ...]]:
    """Give names of one canonical form one spelling: the most frequent one, of equally frequent ones the first.

    The work grows with the number of names, not of rows.

    Args:
        column: names; missing values and placeholders become empty.
        what: what they name, for the notes, e.g. `speaker`.

    Returns:
        The column, its categories sorted, and what a user must know: which spellings count as one name, which are
        taken for unknown.
    """
    names = [str(name) for name in column.categories] + [""]
    codes = np.where(column.codes < 0, len(names) - 1, column.codes)
    counts = np.bincount(codes, minlength=len(names))
    first = np.zeros(len(names), dtype=np.int64)
    first[codes[::-1]] = np.arange(len(codes))[::-1]  # of equal indices numpy keeps the last, here the first row
    groups: dict[str, list[int]] = {}
    for code, form in enumerate(canonical_names(names)):
        groups.setdefault(form, []).append(code)
    spelling, merged = [""] * len(names), []
    for form, group in groups.items():
        group.sort(key=lambda code: (-counts[code], first[code]))
        for code in group:
            spelling[code] = names[group[0]] if form else ""
        if form and len(group) > 1:
            merged.append([names[code] for code in group])
    nobody = [code for code in groups.get("", ()) if names[code] != ""]
    categories = sorted({spelling[code] for code in np.flatnonzero(counts).tolist()})
    places = {name: place for place, name in enumerate(categories)}
    moved = np.array([places.get(name, -1) for name in spelling], dtype=np.int64)
    values = pd.Categorical.from_codes(moved[codes], categories=categories)
    return values, (*_merged_note(merged, what), *_nobody_note(names, counts, nobody, what))


def _merged_note(merged: Sequence[Sequence[str]], what: str) -> list[str]:
    if not merged:
        return []
    shown = [" = ".join(_quoted(name, group) for name in group) for group in merged[:SHOWN]]
    more = f"; and {len(merged) - SHOWN} more" if len(merged) > SHOWN else ""
    return [f"spellings that count as one {what}: {'; '.join(shown)}{more}"]


def _nobody_note(names: Sequence[str], counts: NDArray[np.int64], nobody: Sequence[int], what: str) -> list[str]:
    if not nobody:
        return []
    clips = int(counts[list(nobody)].sum())
    more = f" and {len(nobody) - SHOWN} more" if len(nobody) > SHOWN else ""
    shown = ", ".join(f"'{names[code]}'" for code in nobody[:SHOWN]) + more
    return [f"{what} {shown}: taken for unknown ({clips} clips)"]


def _quoted(name: str, group: Sequence[str]) -> str:
    """A spelling in quotes; by its code points where it looks like another one of the group."""
    alike = [other for other in group if unicodedata.normalize("NFKC", other) == unicodedata.normalize("NFKC", name)]
    return ascii(name) if len(alike) > 1 else f"'{name}'"
