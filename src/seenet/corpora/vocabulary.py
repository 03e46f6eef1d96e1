"""Shared vocabulary of emotions and named class sets; a corpus may have further labels."""

import re
from collections.abc import Iterable

from seenet.core.errors import SeenetError

EMOTIONS = (
    "happy",
    "neutral",
    "sad",
    "angry",
    "calm",
    "disgust",
    "fearful",
    "surprised",
    "excited",
    "frustrated",
    "bored",
    "contempt",
    "other",
)
"""Emotions by their shared names, in the order of class numbers."""

NO_AGREEMENT = "no_agreement"
"""Label of a clip without agreement of its raters: counted, but never a class."""

CLASS_SETS = {"four": EMOTIONS[:4], "eight": EMOTIONS[:8]}
"""Class sets by name: SeeNet's four and RAVDESS's eight."""


def sort_labels(labels: Iterable[str]) -> list[str]:
    """Sort labels: the vocabulary in its order, other words by name, then `no_agreement`."""
    own = len(EMOTIONS)
    rank = {**{emotion: k for k, emotion in enumerate(EMOTIONS)}, NO_AGREEMENT: own + 1}
    return sorted(set(labels), key=lambda label: (rank.get(label, own), label))


def resolve_classes(classes: object, available: Iterable[str] = EMOTIONS) -> tuple[str, ...]:
    """Return class names in the order of their numbers.

    Emotions of the vocabulary have its order. A list with other words keeps the order of the list.

    Args:
        classes: a name (`four`, `eight`, or `all` for all available labels) or a list of emotions or other words;
            any other value of a configuration is an error.
        available: available labels, for `all`.

    Raises:
        SeenetError: neither a name nor a list, an unknown name, a repeated class, or fewer than two classes.
    """
    expected = f"expected one of {', '.join([*CLASS_SETS, 'all'])} or a list of classes, e.g. classes=[angry,happy]"
    if isinstance(classes, str):
        if classes != "all" and classes not in CLASS_SETS:
            raise SeenetError(f"classes='{classes}': {expected}")
        classes = CLASS_SETS.get(classes) or tuple(sort_labels(set(available) - {NO_AGREEMENT}))
    if not isinstance(classes, list | tuple) or not all(isinstance(c, str | int) and str(c).strip() for c in classes):
        raise SeenetError(f"classes={classes}: {expected}")
    names = tuple(str(c) for c in classes)  # YAML reads 1 as a number
    if NO_AGREEMENT in names:
        raise SeenetError(f"classes={list(names)}: {NO_AGREEMENT} is the label of clips without a class")
    if len(set(names)) != len(names) or len(names) < 2:
        raise SeenetError(f"classes={list(names)}: at least two different classes are needed")
    return tuple(sort_labels(names)) if set(names) <= set(EMOTIONS) else names


def quote_text(text: str) -> str:
    """Quote a text for Hydra's command line, with double quotes."""
    text = re.sub(r'(\\*)"', r'\1\1\\"', text.replace("${", r"\${"))
    return '"' + re.sub(r"(\\+)$", r"\1\1", text) + '"'


def quote_class(name: str) -> str:
    """Quote a class for Hydra's command line if it needs quotes."""
    is_plain = re.fullmatch(r"[A-Za-z_][\w-]*", name, re.ASCII)
    return name if is_plain and name.lower() not in ("null", "true", "false", "nan", "inf") else quote_text(name)
