"""Where the figures come from."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section, Table
from seenet.reporting.formatting import duration
from seenet.reporting.grouping import Study, differing_settings, shared_settings


def _all(values: Sequence[object]) -> str:
    return ", ".join(sorted({str(value) for value in values}))


def _short(commit: str | None) -> str:
    """Enough of a commit to know it by, and whether files differed from it."""
    if commit is None:
        return "none"
    number, dash, dirty = commit.partition("-")
    return number[:10] + dash + dirty


def _weights(facts: Mapping[str, Any]) -> str:
    """The checkpoint of a result and how much of it was loaded; older results do not record it."""
    weights = facts.get("weights")
    if weights is None:
        return "not recorded"
    if weights["checkpoint"] is None:
        return "random"
    source = "@".join([weights["checkpoint"], *([weights["revision"][:10]] if weights["revision"] else [])])
    return f"{source} ({weights['loaded_tensors']} tensors loaded, {weights['new_tensors']} new)"


def provenance_section(study: Study, arms: Sequence[ArmMetrics], prefix: str) -> Section:
    """Devices, versions, commits, verdicts, folders and settings."""
    rows, text = [], []
    for arm in arms:
        facts = [r.facts for r in arm.results]
        seconds = sum(f["seconds"] for f in facts)
        words = {
            "arm": arm.arm.name,
            "audit": _all([f["audit"]["verdict"] for f in facts]),
            "device": _all([f["device"] for f in facts]),
            "precision": _all([f["precision"] for f in facts]),
            "weights": _all([_weights(f) for f in facts]),
            "commit": _all([_short(f["git_commit"]) for f in facts]),
            "torch": _all([f["versions"].get("torch", "?") for f in facts]),
            "seenet": _all([f["versions"]["seenet"] for f in facts]),
        }
        rows.append({**words, "seconds": seconds, "runs": _all([r.folder.parents[1].name for r in arm.results])})
        text.append({**words, "time": duration(seconds)})
    tables = [
        Table(
            f"{prefix}provenance",
            "What made the figures; time: training epochs and tests.",
            pd.DataFrame(rows),
            pd.DataFrame(text),
            {"time": "seconds"},
        )
    ]
    folders = pd.DataFrame([(r.where, r.facts["run_id"], r.condition) for a in study.arms for r in a.results])
    folders.columns = ["folder", "run_id", "condition"]
    tables.append(Table(f"{prefix}folders", "The folder of each result.", folders, folders, folded=True))
    names = [arm.name for arm in study.arms]
    different = differing_settings(study.arms)
    if different:
        table = pd.DataFrame([[name, *values] for name, values in different.items()], columns=["setting", *names])
        tables.append(Table(f"{prefix}differing", "Settings in which arms differ.", table, table, folded=True))
    shared = pd.DataFrame(shared_settings(study.arms).items(), columns=["setting", "value"])
    tables.append(Table(f"{prefix}settings", "Settings that all arms share.", shared, shared, folded=True))
    return Section("Provenance", (), (), tables)
