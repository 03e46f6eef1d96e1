"""Common spellings of emotions, genders and splits, with their shared names."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seenet.core.errors import SeenetError
from seenet.corpora.vocabulary import EMOTIONS, NO_AGREEMENT, quote_class


def normalize(spelling: str) -> str:
    """Remove differences without meaning: case, Unicode form, and `_` or `-` for a space."""
    return unicodedata.normalize("NFC", re.sub(r"[\s_-]+", " ", spelling).strip().casefold())


_EMOTIONS = {
    "happy": "hap, happiness, joy, joyful, freude, fröhlich, glücklich",
    "neutral": "neu, neut, neutrality",
    "sad": "sadness, trauer, traurig, traurigkeit",
    "angry": "ang, anger, wut, wütend, ärger, zorn",
    "calm": "cal, calmness, ruhig",
    "disgust": "dis, disgusted, ekel",
    "fearful": "fea, fear, afraid, scared, anxiety, angst, furcht",
    "surprised": "sur, surprise, ps, pleasant surprise, pleasant surprised, überraschung, überrascht",
    "excited": "exc, excitement",
    "frustrated": "fru, frustration",
    "bored": "bor, boredom, boredem, langeweile, gelangweilt",
    "contempt": "con, contemptuous, verachtung",
    "other": "oth, others, sonstige",
    NO_AGREEMENT: "x, xxx, unknown, undefined, ambiguous",
}
SPELLINGS = {
    spelling: emotion for emotion, others in _EMOTIONS.items() for spelling in (normalize(emotion), *others.split(", "))
}
"""Shared names by normalised spelling. Single letters differ between corpora; only X is unambiguous."""

MAX_LISTED_LABELS = 40
"""Number of unknown labels that a message lists."""

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "development", "val", "valid", "validation"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}
GENDERS = {
    **dict.fromkeys(("female", "f", "w", "woman", "weiblich"), "female"),
    **dict.fromkeys(("male", "m", "man", "männlich"), "male"),
}


class MergedLabels(TypedDict):
    """The arguments `merge` and `merged_clips` of `Manifest`."""

    merge: dict[str, str]
    merged_clips: dict[str, int]


def translate_spellings(values: "pd.Series[str]", names: Mapping[str, str], default: str | None = None) -> NDArray[Any]:
    """Replace values by shared names. Shape (values,).

    Args:
        values: values in any spelling.
        names: shared names by normalised spelling.
        default: replacement for other values; None keeps them.
    """
    codes, found = pd.factorize(values)
    fallback = found if default is None else [default] * len(found)
    shared = [names.get(normalize(v), f) for v, f in zip(found, fallback, strict=True)]
    translated: NDArray[Any] = np.array(shared, dtype=object)[codes]
    return translated


def translate_emotions(values: "pd.Series[str]", labels: Mapping[Any, Any] | None, source: str) -> NDArray[Any]:
    """Replace labels by shared names of emotions.

    Args:
        values: labels as the corpus spells them. Shape (clips,).
        labels: the user's meanings of labels, which override `SPELLINGS`: an emotion in any known spelling, or another
            word; None excludes the clips.
        source: origin of the labels, for messages.

    Returns:
        An emotion, another word or `no_agreement` for each value; None for excluded clips. Shape (clips,), objects.

    Raises:
        SeenetError: labels of unknown meaning, with a list of them, or an empty meaning.
    """
    own: dict[str, str | None] = {}
    for spelling, meaning in (labels or {}).items():  # YAML reads 01 as a number
        if meaning is not None and not str(meaning).strip():
            raise SeenetError(f"dataset.labels: '{spelling}' has an empty meaning; expected a class, or null")
        name = None if meaning is None else str(meaning).strip()
        own[str(spelling)] = name if name is None else SPELLINGS.get(normalize(name), name)
    known = {**SPELLINGS, **{normalize(spelling): emotion for spelling, emotion in own.items()}}
    codes, found = pd.factorize(values)
    unknown = [k for k, value in enumerate(found) if value not in own and normalize(value) not in known]
    if unknown:
        counts = np.bincount(codes[codes >= 0], minlength=len(found))
        unknown.sort(key=lambda k: found[k])
        shown = ", ".join(f"'{found[k]}' ({counts[k]})" for k in unknown[:MAX_LISTED_LABELS])
        shown += f" and {len(unknown) - MAX_LISTED_LABELS} more" if len(unknown) > MAX_LISTED_LABELS else ""
        classes = ",".join(quote_class(found[k]) for k in unknown[:MAX_LISTED_LABELS])
        # Hydra's command line accepts no other characters in a key.
        is_valid_key = re.fullmatch(r"[\w ./-]+", found[unknown[0]], re.ASCII)
        meaning = f"{{{found[unknown[0]]}: angry}}"
        example = f"'dataset.labels={meaning}'" if is_valid_key else f"labels: {meaning} in a dataset's YAML"
        raise SeenetError(
            f"{source} contains labels of unknown meaning (clips): {shown}; make them classes of your own, "
            f"'classes=[…,{classes}]', or give their meaning, null to exclude them, e.g. {example} "
            f"(one of {', '.join((*EMOTIONS, NO_AGREEMENT))}, or your own word)"
        )
    shared = [own.get(value, known.get(normalize(value))) for value in found]
    emotions: NDArray[Any] = np.array(shared, dtype=object)[codes]
    return emotions


def describe_merges(values: "pd.Series[str]", emotions: NDArray[Any]) -> MergedLabels:
    """Return the merges of labels that the user counts as `other`.

    Args:
        values: labels as the corpus spells them. Shape (clips,).
        emotions: their shared names. Shape (clips,).
    """
    labels = values[(emotions == "other") & (values.map(normalize).map(SPELLINGS.get) != "other").to_numpy()]
    return {"merge": dict.fromkeys(labels.unique(), "other"), "merged_clips": labels.value_counts().to_dict()}


def extract_speakers(paths: "pd.Series[str]", pattern: str) -> "pd.Series[str]":
    """Extract speakers from paths: the joined groups of a regular expression.

    Args:
        paths: relative paths. Shape (clips,).
        pattern: regular expression to search in each path.

    Raises:
        SeenetError: an invalid regular expression, one without a group, or one that matches no path.
    """
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise SeenetError(f"dataset.speaker='{pattern}' is not a regular expression: {error}") from error
    if not groups:
        raise SeenetError(f"dataset.speaker='{pattern}' has no group; put parentheses around the speaker: '([^/]+)/'")
    speakers = paths.str.extract(pattern).fillna("").agg("".join, axis=1)
    if not speakers.any():
        raise SeenetError(f"dataset.speaker='{pattern}' matches no path, e.g. '{paths.iloc[0]}'")
    return speakers
