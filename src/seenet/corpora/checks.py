"""What is wrong with a corpus on disk, file by file."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from seenet.corpora.manifest import Manifest
from seenet.corpora.waveform_store import WaveformStore

SHORTEST = 400
"""Samples that a frame of the paper's backbones hears (25 ms); a shorter clip is padded with zeros to it."""

KINDS = (
    *("missing", "bad file", "counts", "unlabelled", "duplicate", "silent", "clipped", "short", "passed over"),
    *("integers", "scale", "channels", "unread", "length", "gap"),
)
"""Kinds of findings; the second line are remarks of the reader."""

GRAVE_REMARKS = ("integers", "scale", "channels", "unread")
"""Remarks of the reader (`seenet.audio.reading`) on samples that are not what they should be, or not all of them."""

CLIPPED = 0.01
"""Share of samples at full scale from which a clip is called clipped."""


@dataclass(frozen=True)
class Finding:
    """One problem of a corpus.

    Attributes:
        kind: one of `KINDS`.
        grave: whether the corpus should not be used as it is; the others are worth knowing.
        file: relative to the corpus; empty where no single file is meant.
        detail: more of it, in one line.
    """

    kind: str
    grave: bool
    file: str
    detail: str


def check(manifest: Manifest, store: WaveformStore, known: Mapping[str, Any] | None) -> list[Finding]:
    """Every problem of a corpus, grave ones first.

    Args:
        manifest: the corpus as its parser reads it.
        store: its waveforms.
        known: what the published corpus holds: `clips`, `speakers`, `emotions`; None where nobody knows.
    """
    found = [*_counts(manifest, known or {}), *_files(manifest, store), *_duplicates(manifest, store)]
    found += [Finding("unlabelled", False, name, "no label names it") for name in manifest.unlabelled]
    found += [Finding("passed over", False, name, why) for name, why in manifest.passed_over]
    return sorted(found, key=lambda finding: not finding.grave)


def _counts(manifest: Manifest, known: Mapping[str, Any]) -> Iterator[Finding]:
    counts = manifest.counts()
    here = {"clips": len(manifest), "speakers": len(set(manifest.column("speaker")) - {""})}
    expected = {name: known[name] for name in here if name in known}
    for label, count in known.get("emotions", {}).items():
        here[label], expected[label] = counts.get(label, 0), count
    for name, count in expected.items():
        if here[name] != count:
            yield Finding("counts", True, "", f"{name}: {here[name]} here, {count} in the published corpus")


def _files(manifest: Manifest, store: WaveformStore) -> Iterator[Finding]:
    paths, index = manifest.column("path"), store.index
    for row, why in store.bad.items():
        missing = why == "No such file or directory"
        detail = f"the label of '{manifest.column('utterance')[row]}' has no file" if missing else why
        yield Finding("missing" if missing else "bad file", True, paths[row], detail)
    about = {(paths[row], *remark): None for row, remarks in store.remarks.items() for remark in remarks}
    for path, kind, line in about:  # several clips of one file share its remarks
        yield Finding(kind, kind in GRAVE_REMARKS, path, line)
    good = index["length"] > 0
    for row in np.flatnonzero(good & index["silent"]):
        yield Finding("silent", False, paths[row], "every kept sample is zero")
    for row in np.flatnonzero(good & (index["clipped"] >= CLIPPED)):
        yield Finding("clipped", False, paths[row], f"{100 * index['clipped'][row]:.1f} % of samples at full scale")
    for row in np.flatnonzero(good & (index["length"] < SHORTEST)):
        yield Finding("short", False, paths[row], f"{index['length'][row]} samples at 16 kHz; padded to {SHORTEST}")


def _duplicates(manifest: Manifest, store: WaveformStore) -> Iterator[Finding]:
    """Clips whose samples are those of an earlier one; silent ones are no duplicates."""
    rows = np.flatnonzero((store.lengths > 0) & ~store.index["silent"])
    first = pd.Series(rows, index=rows).groupby(store.digests[rows]).transform("first").to_numpy()
    emotions, paths = manifest.column("emotion"), manifest.column("path")
    for row, other in zip(rows[rows != first], first[rows != first], strict=True):
        same = emotions[row] == emotions[other]
        label = "" if same else f", labelled {emotions[row]} here and {emotions[other]} there"
        yield Finding("duplicate", not same, paths[row], f"the samples of '{paths[other]}'{label}")
