"""Checks of a corpus on disk, with one finding per problem."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from seenet.corpora.manifest import Manifest
from seenet.corpora.waveform_store import WaveformStore

MIN_CLIP_SAMPLES = 400
"""Receptive field of one frame of the paper's backbones, in samples (25 ms); shorter clips are padded to it."""

KINDS = (
    *("missing", "bad file", "counts", "unlabelled", "duplicate", "silent", "clipped", "short", "passed over"),
    *("integers", "scale", "channels", "unread", "length", "gap"),
)
"""Kinds of findings; those of the second line are remarks of `seenet.audio.reading`."""

ERROR_REMARKS = ("integers", "scale", "channels", "unread")
"""Remarks of `seenet.audio.reading` on wrong or missing samples."""

MIN_CLIPPED_SHARE = 0.01
"""Share of samples at full scale from which a clip counts as clipped."""


@dataclass(frozen=True)
class Finding:
    """One problem of a corpus.

    Attributes:
        kind: one of `KINDS`.
        severity: `error` if the corpus should not be used in this state, otherwise `warning`.
        file: path relative to the corpus; empty if the finding is not about one file.
        detail: description in one line.
    """

    kind: str
    severity: Literal["error", "warning"]
    file: str
    detail: str


def find_problems(manifest: Manifest, store: WaveformStore, known: Mapping[str, Any] | None) -> list[Finding]:
    """Return all problems of a corpus, errors first.

    Args:
        manifest: the corpus as its parser reads it.
        store: its waveforms.
        known: `clips`, `speakers` and `emotions` of the published corpus; None if unknown.
    """
    found = [*_check_counts(manifest, known or {}), *_check_files(manifest, store), *_check_duplicates(manifest, store)]
    found += [Finding("unlabelled", "warning", name, "no label names it") for name in manifest.unlabelled]
    found += [Finding("passed over", "warning", name, reason) for name, reason in manifest.skipped]
    return sorted(found, key=lambda finding: finding.severity != "error")


def _check_counts(manifest: Manifest, known: Mapping[str, Any]) -> Iterator[Finding]:
    counts = manifest.counts()
    actual = {"clips": len(manifest), "speakers": len(set(manifest.column("speaker")) - {""})}
    expected = {name: known[name] for name in actual if name in known}
    for label, count in known.get("emotions", {}).items():
        actual[label], expected[label] = counts.get(label, 0), count
    for name, count in expected.items():
        if actual[name] != count:
            yield Finding("counts", "error", "", f"{name}: {actual[name]} here, {count} in the published corpus")


def _check_files(manifest: Manifest, store: WaveformStore) -> Iterator[Finding]:
    paths, index = manifest.column("path"), store.index
    for row, reason in store.bad.items():
        is_missing = reason == "No such file or directory"
        detail = f"the label of '{manifest.column('utterance')[row]}' has no file" if is_missing else reason
        yield Finding("missing" if is_missing else "bad file", "error", paths[row], detail)
    remarks = {(paths[row], *remark): None for row, entries in store.remarks.items() for remark in entries}
    for path, kind, line in remarks:  # several clips of one file share its remarks
        yield Finding(kind, "error" if kind in ERROR_REMARKS else "warning", path, line)
    usable = index["length"] > 0
    for row in np.flatnonzero(usable & index["silent"]).tolist():
        yield Finding("silent", "warning", paths[row], "every kept sample is zero")
    for row in np.flatnonzero(usable & (index["clipped"] >= MIN_CLIPPED_SHARE)).tolist():
        percent = 100 * index["clipped"][row]
        yield Finding("clipped", "warning", paths[row], f"{percent:.1f} % of samples at full scale")
    for row in np.flatnonzero(usable & (index["length"] < MIN_CLIP_SAMPLES)).tolist():
        detail = f"{index['length'][row]} samples at 16 kHz; padded to {MIN_CLIP_SAMPLES}"
        yield Finding("short", "warning", paths[row], detail)


def _check_duplicates(manifest: Manifest, store: WaveformStore) -> Iterator[Finding]:
    """Find clips whose samples equal those of an earlier clip; silent clips are no duplicates."""
    rows = np.flatnonzero((store.lengths > 0) & ~store.index["silent"])
    first = pd.Series(rows, index=rows).groupby(store.digests[rows]).transform("first").to_numpy()
    emotions, paths = manifest.column("emotion"), manifest.column("path")
    for row, other in zip(rows[rows != first], first[rows != first], strict=True):
        is_same_label = emotions[row] == emotions[other]
        label = "" if is_same_label else f", labelled {emotions[row]} here and {emotions[other]} there"
        severity: Literal["error", "warning"] = "warning" if is_same_label else "error"
        yield Finding("duplicate", severity, paths[row], f"the samples of '{paths[other]}'{label}")
