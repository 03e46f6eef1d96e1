"""The shared vocabulary of emotions, and class sets drawn from it; corpora may add labels of their own."""

import re
from collections.abc import Iterable, Sequence

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
"""Every emotion by its shared name, in the order in which classes are numbered."""

NO_AGREEMENT = "no_agreement"
"""The label of a clip on which its raters did not agree: counted, and never a class."""

CLASS_SETS = {"four": EMOTIONS[:4], "eight": EMOTIONS[:8]}
"""Class sets by name: SeeNet's four and RAVDESS's eight."""


def vocabulary_order(labels: Iterable[str]) -> list[str]:
    """Sort labels: emotions of the vocabulary in its order, then a corpus' own words by name, then `no_agreement`."""
    own = len(EMOTIONS)
    rank = {**{emotion: k for k, emotion in enumerate(EMOTIONS)}, NO_AGREEMENT: own + 1}
    return sorted(set(labels), key=lambda label: (rank.get(label, own), label))


def resolve_classes(classes: str | Sequence[str], available: Iterable[str] = EMOTIONS) -> tuple[str, ...]:
    """Class names in the order in which they are numbered.

    Emotions of the vocabulary stand in its order. A list with words of the user's own keeps the order in which it is
    given.

    Args:
        classes: a name (`four`, `eight`, or `all` for every label available) or a list of emotions or own words.
        available: the labels to choose from, for `all`.

    Raises:
        SeenetError: an unknown name, a repeated class, or fewer than two classes.
    """
    expected = f"expected one of {', '.join([*CLASS_SETS, 'all'])} or a list of classes, e.g. classes=[angry,happy]"
    if isinstance(classes, str):
        if classes != "all" and classes not in CLASS_SETS:
            raise SeenetError(f"classes='{classes}': {expected}")
        classes = CLASS_SETS.get(classes) or tuple(vocabulary_order(set(available) - {NO_AGREEMENT}))
    if not isinstance(classes, list | tuple) or not all(isinstance(c, str | int) and str(c).strip() for c in classes):
        raise SeenetError(f"classes={classes}: {expected}")
    names = tuple(str(c) for c in classes)  # YAML reads 1 as a number
    if NO_AGREEMENT in names:
        raise SeenetError(f"classes={list(names)}: {NO_AGREEMENT} is the label of clips without a class")
    if len(set(names)) != len(names) or len(names) < 2:
        raise SeenetError(f"classes={list(names)}: at least two different classes are needed")
    return tuple(vocabulary_order(names)) if set(names) <= set(EMOTIONS) else names


def quoted_text(text: str) -> str:
    """A text as Hydra's command line takes it, between double quotes."""
    text = re.sub(r'(\\*)"', r'\1\1\\"', text.replace("${", r"\${"))
    return '"' + re.sub(r"(\\+)$", r"\1\1", text) + '"'


def quoted_class(name: str) -> str:
    """A class as a word of Hydra's command line, with quotes only where it needs them."""
    bare = re.fullmatch(r"[A-Za-z_][\w-]*", name, re.ASCII)
    return name if bare and name.lower() not in ("null", "true", "false", "nan", "inf") else quoted_text(name)
