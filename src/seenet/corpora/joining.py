"""Join several corpora to one manifest, with the speakers that they share."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seenet.corpora.canonical_names import SHOWN, canonical_names, merge_spellings
from seenet.corpora.manifest import CATEGORIES, NAMES, OWN_PEOPLE, Manifest


def join(name: str, parts: Mapping[str, Manifest]) -> Manifest:
    """Several corpora as one; clips get the corpus' name in front, so none is taken for another.

    Speakers and sessions get it, too. Corpora with the same `people` share them: the names of all of these corpora
    stand in front, and spellings are merged across them.

    Args:
        name: of the whole.
        parts: the corpora, by what `split` shall say of their clips.
    """
    table = pd.concat(
        [part.table.astype({c: object for c in CATEGORIES}) for part in parts.values()], ignore_index=True
    )
    sizes = [len(part) for part in parts.values()]
    table["split"] = np.repeat(np.array(list(parts), dtype=object), sizes)
    for field, values in (
        ("utterance", (f"{part.name}/{clip}" for part in parts.values() for clip in part.column("utterance"))),
        ("path", (os.path.join(part.root, path) for part in parts.values() for path in part.column("path"))),  # noqa: PTH118
    ):
        table[field] = np.array(list(values), dtype=object)
    notes = _join_names(table, list(parts.values()))
    synthetic = any(part.synthetic for part in parts.values())
    manifest = Manifest(name, Path("/"), table, synthetic, parts=tuple(parts.values()), parser="joined")
    manifest.notes = tuple(notes)
    return manifest


def _join_names(table: pd.DataFrame, parts: Sequence[Manifest]) -> list[str]:
    """Set the speakers and sessions of joined corpora: those of the same people are merged, others kept apart.

    Args:
        table: the rows of all parts, in their order; its columns `NAMES` are replaced.
        parts: what is joined; one that was joined itself counts as its parts.

    Returns:
        What a user must know of the names, a line each.
    """
    people, leaves = zip(*_people(parts), strict=True)
    owner = np.repeat(np.arange(len(leaves)), [len(leaf) for leaf in leaves])
    raw = {field: np.concatenate([leaf.column(field) for leaf in leaves]) for field in NAMES}
    notes, speakers = [], {}
    for group in dict.fromkeys(people):
        members = [k for k, each in enumerate(people) if each == group]
        prefix = "+".join(leaves[k].name for k in members)
        rows = np.isin(owner, members)
        for field in NAMES:
            merged, told = merge_spellings(pd.Categorical(raw[field][rows]), field)
            spelled = np.array([f"{prefix}/{value}" if value else "" for value in merged.categories], dtype=object)
            table.loc[rows, field] = spelled[merged.codes]
            notes += [f"{prefix}: {note}" for note in told]
            if field == "speaker":
                speakers[group] = (
                    prefix,
                    dict(zip(canonical_names(merged.categories), merged.categories, strict=True)),
                )
    own, named = speakers.get(OWN_PEOPLE, ("", {}))
    for group, (prefix, others) in speakers.items():
        both = sorted(f"'{others[form]}'" for form in others.keys() & named.keys() if form)
        if both and group != OWN_PEOPLE and isinstance(group, str):
            more = f" and {len(both) - SHOWN} more" if len(both) > SHOWN else ""
            notes.append(f"both {own} and {prefix} name {', '.join(both[:SHOWN])}{more}: taken for different speakers")
    return notes


def _people(parts: Sequence[Manifest]) -> Iterator[tuple[str | tuple[int, Any], Manifest]]:
    """Every corpus that was not joined itself, and the group that shares its speakers: a pair where it shares none."""
    for number, part in enumerate(parts):
        for group, leaf in _people(part.parts) if part.parts else [(part.people, part)]:
            yield group if part.people and isinstance(group, str) else (number, group), leaf
