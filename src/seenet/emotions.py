"""The shared vocabulary of emotions, and class sets drawn from it."""

from collections.abc import Iterable, Sequence

from seenet.errors import SeenetError

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

LABELS = (*EMOTIONS, NO_AGREEMENT)
"""What the emotion of an utterance may be."""

CLASS_SETS = {"four": EMOTIONS[:4], "eight": EMOTIONS[:8]}
"""Class sets by name: SeeNet's four and RAVDESS's eight."""


def resolve_classes(classes: str | Sequence[str], available: Iterable[str] = EMOTIONS) -> tuple[str, ...]:
    """Class names in the order in which they are numbered, which is that of `EMOTIONS`.

    Args:
        classes: a name (`four`, `eight`, or `all` for every emotion available) or a list of emotions.
        available: the emotions to choose from, for `all`.

    Raises:
        SeenetError: an unknown name or emotion, a repeated one, or fewer than two classes.
    """
    if isinstance(classes, str):
        if classes != "all" and classes not in CLASS_SETS:
            raise SeenetError(
                f"classes='{classes}': expected one of {', '.join([*CLASS_SETS, 'all'])} or a list of emotions"
            )
        classes = CLASS_SETS.get(classes) or tuple(set(available) - {NO_AGREEMENT})
    if not isinstance(classes, list | tuple):
        raise SeenetError(f"classes={classes}: expected one of {', '.join([*CLASS_SETS, 'all'])} or a list of emotions")
    unknown = [c for c in classes if c not in EMOTIONS]
    if unknown:
        raise SeenetError(f"classes: unknown emotion '{unknown[0]}'; expected some of {', '.join(EMOTIONS)}")
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise SeenetError(f"classes={list(classes)}: at least two different emotions are needed")
    return tuple(sorted(classes, key=EMOTIONS.index))
