"""How tables and folders in the wild spell emotions, genders and splits, and the shared names for them."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seenet.core.errors import SeenetError
from seenet.corpora.vocabulary import EMOTIONS, NO_AGREEMENT, quoted_class


def plain(spelling: str) -> str:
    """A spelling without the differences that mean nothing: case, Unicode form, and `_` or `-` for a space."""
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
    spelling: emotion for emotion, others in _EMOTIONS.items() for spelling in (plain(emotion), *others.split(", "))
}
"""Spelling, in lower case and with spaces between words, to shared name. Single letters mean something else in each
corpus, so none but X is here."""

LISTED = 40
"""Unknown labels that a message lists."""

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "development", "val", "valid", "validation"), "dev"),
    **dict.fromkeys(("test", "testing"), "test"),
}
GENDERS = {
    **dict.fromkeys(("female", "f", "w", "woman", "weiblich"), "female"),
    **dict.fromkeys(("male", "m", "man", "männlich"), "male"),
}


def renamed(values: "pd.Series[str]", names: Mapping[str, str], default: str | None = None) -> NDArray[Any]:
    """Values by their shared names; `default`, or the value itself, where they have none. Shape (values,)."""
    codes, found = pd.factorize(values)
    fallback = found if default is None else [default] * len(found)
    return np.array([names.get(plain(v), f) for v, f in zip(found, fallback, strict=True)], dtype=object)[codes]


def emotions_of(values: "pd.Series[str]", labels: Mapping[Any, Any] | None, source: str) -> NDArray[Any]:
    """Shared names of spelled labels.

    Args:
        values: as the corpus spells them. Shape (clips,).
        labels: the user's own meanings, which go before the table: an emotion in any known spelling, or a word of the
            user's own; None means that the clips are left out.
        source: where the labels are from, for messages.

    Returns:
        An emotion, an own word or `no_agreement` for each value, None where the user leaves it out. Shape (clips,),
        objects.

    Raises:
        SeenetError: labels that are spelled in no known way, all of them named, or an empty meaning.
    """
    own: dict[str, str | None] = {}
    for spelling, meaning in (labels or {}).items():  # YAML reads 01 as a number
        if meaning is not None and not str(meaning).strip():
            raise SeenetError(f"dataset.labels: '{spelling}' has an empty meaning; expected a class, or null")
        name = None if meaning is None else str(meaning).strip()
        own[str(spelling)] = name if name is None else SPELLINGS.get(plain(name), name)
    known = {**SPELLINGS, **{plain(spelling): emotion for spelling, emotion in own.items()}}
    codes, found = pd.factorize(values)
    unknown = [k for k, value in enumerate(found) if value not in own and plain(value) not in known]
    if unknown:
        counts = np.bincount(codes[codes >= 0], minlength=len(found))
        unknown.sort(key=lambda k: found[k])
        shown = ", ".join(f"'{found[k]}' ({counts[k]})" for k in unknown[:LISTED])
        shown += f" and {len(unknown) - LISTED} more" if len(unknown) > LISTED else ""
        taken = ",".join(quoted_class(found[k]) for k in unknown[:LISTED])
        # Hydra's command line takes no other letters in a key.
        writable = re.fullmatch(r"[\w ./-]+", found[unknown[0]], re.ASCII)
        meaning = f"{{{found[unknown[0]]}: angry}}"
        way = f"'dataset.labels={meaning}'" if writable else f"labels: {meaning} in a dataset's YAML"
        raise SeenetError(
            f"{source} holds labels of unknown meaning (clips): {shown}; take them as classes of your own, "
            f"'classes=[…,{taken}]', or say what they mean, null to leave them out, e.g. {way} "
            f"(one of {', '.join((*EMOTIONS, NO_AGREEMENT))}, or your own word)"
        )
    return np.array([own.get(value, known.get(plain(value))) for value in found], dtype=object)[codes]


def merged_into_other(values: "pd.Series[str]", emotions: NDArray[Any]) -> dict[str, dict[str, Any]]:
    """What a manifest records of labels that the user counts as `other`.

    Args:
        values: as the corpus spells them. Shape (clips,).
        emotions: their shared names. Shape (clips,).

    Returns:
        Arguments of `Manifest`: `merge` and `merged_clips`.
    """
    labels = values[(emotions == "other") & (values.map(plain).map(SPELLINGS.get) != "other").to_numpy()]
    return {"merge": dict.fromkeys(labels.unique(), "other"), "merged_clips": labels.value_counts().to_dict()}


def speakers_of(paths: "pd.Series[str]", pattern: str) -> "pd.Series[str]":
    """Who speaks, from the paths: the groups of a regular expression joined, empty where it finds nothing.

    Args:
        paths: relative paths. Shape (clips,).
        pattern: searched for in each path.

    Raises:
        SeenetError: no regular expression, one without a group, or one that finds nothing in any path.
    """
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise SeenetError(f"dataset.speaker='{pattern}' is no regular expression: {error}") from error
    if not groups:
        raise SeenetError(f"dataset.speaker='{pattern}' has no group; put brackets around the speaker, e.g. '([^/]+)/'")
    speakers = paths.str.extract(pattern).fillna("").agg("".join, axis=1)
    if not speakers.any():
        raise SeenetError(f"dataset.speaker='{pattern}' finds nothing in any path, e.g. '{paths.iloc[0]}'")
    return speakers
