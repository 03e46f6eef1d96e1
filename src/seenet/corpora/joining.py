"""Join several corpora into one manifest and merge the speakers that they share."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seenet.corpora.canonical_names import MAX_SHOWN_NAMES, canonicalize_names, merge_spellings
from seenet.corpora.manifest import CATEGORIES, NAMES, OWN_PEOPLE, Manifest


def join_corpora(name: str, parts: Mapping[str, Manifest]) -> Manifest:
    """Join several corpora into one manifest.

    The name of its corpus prefixes each clip, speaker and session, to keep equal names of different corpora apart.
    Corpora with the same `people` share speakers and sessions: the names of all these corpora form the prefix, and
    spellings are merged across them.

    Args:
        name: name of the joined corpus.
        parts: the corpora, by the value of `split` for their clips.
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
    """Merge names of the same people in joined corpora, and separate the others.

    Args:
        table: the rows of all parts, in their order; its columns `NAMES` are replaced.
        parts: the joined corpora; one that was joined itself counts as its parts.

    Returns:
        Notes for the user on names, one line each.
    """
    people, sources = zip(*_list_people(parts), strict=True)
    owner = np.repeat(np.arange(len(sources)), [len(source) for source in sources])
    raw = {field: np.concatenate([source.column(field) for source in sources]) for field in NAMES}
    notes, speakers = [], {}
    for group in dict.fromkeys(people):
        members = [k for k, each in enumerate(people) if each == group]
        prefix = "+".join(sources[k].name for k in members)
        rows = np.isin(owner, members)
        for field in NAMES:
            merged, field_notes = merge_spellings(pd.Categorical(raw[field][rows]), field)
            prefixed = np.array([f"{prefix}/{value}" if value else "" for value in merged.categories], dtype=object)
            table.loc[rows, field] = prefixed[merged.codes]
            notes += [f"{prefix}: {note}" for note in field_notes]
            if field == "speaker":
                forms = canonicalize_names(merged.categories)
                speakers[group] = (prefix, dict(zip(forms, merged.categories, strict=True)))
    own, own_names = speakers.get(OWN_PEOPLE, ("", {}))
    for group, (prefix, names) in speakers.items():
        common = sorted(f"'{names[form]}'" for form in names.keys() & own_names.keys() if form)
        if common and group != OWN_PEOPLE and isinstance(group, str):
            more = f" and {len(common) - MAX_SHOWN_NAMES} more" if len(common) > MAX_SHOWN_NAMES else ""
            shown = ", ".join(common[:MAX_SHOWN_NAMES]) + more
            notes.append(f"both {own} and {prefix} name {shown}: counted as different speakers")
    return notes


def _list_people(parts: Sequence[Manifest]) -> Iterator[tuple[str | tuple[int, Any], Manifest]]:
    """Yield each corpus that is not joined itself, with the group of its people.

    A text is a group of several corpora, a pair the group of one corpus.
    """
    for number, part in enumerate(parts):
        for group, source in _list_people(part.parts) if part.parts else [(part.people, part)]:
            yield group if part.people and isinstance(group, str) else (number, group), source
