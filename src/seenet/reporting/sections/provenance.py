"""Section on provenance: devices, versions, commits, folders and settings."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section, Table
from seenet.reporting.formatting import format_duration
from seenet.reporting.grouping import Study, find_differing_settings, find_shared_settings

HASH_LENGTH = 10
"""Characters of a commit or revision hash that the tables show."""


def build_provenance_section(study: Study, arms: Sequence[ArmMetrics], prefix: str) -> Section:
    """Build the tables of origin, result folders, and differing and shared settings."""
    tables = [_table_origin(arms, prefix)]
    folders = pd.DataFrame([(r.display_path, r.facts["run_id"], r.condition) for a in study.arms for r in a.results])
    folders.columns = ["folder", "run_id", "condition"]
    tables.append(Table(f"{prefix}folders", "Folder of each result.", folders, folders, is_collapsed=True))
    names = [arm.name for arm in study.arms]
    differing = find_differing_settings(study.arms)
    if differing:
        table = pd.DataFrame([[name, *values] for name, values in differing.items()], columns=["setting", *names])
        caption = "Settings in which the arms differ."
        tables.append(Table(f"{prefix}differing", caption, table, table, is_collapsed=True))
    shared = pd.DataFrame(find_shared_settings(study.arms).items(), columns=["setting", "value"])
    tables.append(Table(f"{prefix}settings", "Settings that all arms share.", shared, shared, is_collapsed=True))
    return Section("Provenance", (), (), tables)


def _table_origin(arms: Sequence[ArmMetrics], prefix: str) -> Table:
    """Tabulate audit, device, precision, weights, commit, versions and time of each arm."""
    rows, text = [], []
    for arm in arms:
        facts = [result.facts for result in arm.results]
        seconds = sum(f["seconds"] for f in facts)
        words = {
            "arm": arm.arm.name,
            "audit": _join_unique([f["audit"]["verdict"] for f in facts]),
            "device": _join_unique([f["device"] for f in facts]),
            "precision": _join_unique([f["precision"] for f in facts]),
            "weights": _join_unique([_describe_weights(f) for f in facts]),
            "commit": _join_unique([_shorten_commit(f["git_commit"]) for f in facts]),
            "torch": _join_unique([f["versions"].get("torch", "?") for f in facts]),
            "seenet": _join_unique([f["versions"]["seenet"] for f in facts]),
        }
        runs = _join_unique([result.folder.parents[1].name for result in arm.results])
        rows.append({**words, "seconds": seconds, "runs": runs})
        text.append({**words, "time": format_duration(seconds)})
    caption = "Origin of the figures; time: training epochs and tests."
    return Table(f"{prefix}provenance", caption, pd.DataFrame(rows), pd.DataFrame(text), {"time": "seconds"})


def _join_unique(values: Sequence[object]) -> str:
    return ", ".join(sorted({str(value) for value in values}))


def _shorten_commit(commit: str | None) -> str:
    """Shorten a commit hash and keep the suffix for uncommitted changes."""
    if commit is None:
        return "none"
    number, dash, dirty = commit.partition("-")
    return number[:HASH_LENGTH] + dash + dirty


def _describe_weights(facts: Mapping[str, Any]) -> str:
    """Describe the checkpoint of a result and how many of its tensors were loaded."""
    weights = facts.get("weights")
    if weights is None:  # older results
        return "not recorded"
    if weights["checkpoint"] is None:
        return "random"
    source = "@".join([weights["checkpoint"], *([weights["revision"][:HASH_LENGTH]] if weights["revision"] else [])])
    return f"{source} ({weights['loaded_tensors']} tensors loaded, {weights['new_tensors']} new)"
