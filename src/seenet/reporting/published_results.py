"""The published figures (Li et al. 2025, table 2), beside which a result may stand."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seenet.corpora.vocabulary import CLASS_SETS

TABLE = Path(__file__).with_name("published_results.csv")
SCHEMES = ("luna5", "leave_one_session_out")
FOLDS = 5  # of every protocol in the table


def published_row(result: Mapping[str, Any]) -> dict[str, str] | None:
    """SeeNet's published row of a result's corpus, or None where there is none."""
    rows = published_rows(result)
    return next((row for row in rows if row["method"] == "SeeNet"), None)


def published_rows(result: Mapping[str, Any]) -> list[dict[str, str]]:
    """Every published row of a result's corpus."""
    # Not by the name alone, which users choose for tables of their own; results before schema 5 do not say.
    parser = result["corpora"].get(result["dataset"], {}).get("parser")
    with TABLE.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if result["dataset"] == parser == row["dataset"]]


def mismatches(result: Mapping[str, Any], row: Mapping[str, str]) -> list[str]:
    """What keeps a result from comparing with a published row, in words; the model and what trains it apart."""
    found = []
    if result["protocol"] != "paper":
        found.append("epoch selected on held-out training speakers here, on the test fold there")
    if result["n_folds"] != FOLDS:
        found.append(f"{result['n_folds']} folds here, {FOLDS} there")
    elif result["config"]["dataset"]["folds"] not in SCHEMES:
        found.append(f"folds by {result['config']['dataset']['folds']} here, by {' or '.join(SCHEMES)} there")
    if int(row["classes"]) != len(result["classes"]):
        found.append(f"{len(result['classes'])} classes here, {row['classes']} there")
    elif tuple(result["classes"]) not in CLASS_SETS.values():
        found.append("other classes here than there")
    if result["noise"] != "clean":
        found.append(f"{result['noise']} here, clean speech there")
    return found


def comparable_row(result: Mapping[str, Any]) -> dict[str, str] | None:
    """SeeNet's published row for a result's dataset, protocol and classes, or None where one differs.

    The published epoch was selected on the evaluated fold, so only `protocol=paper` matches.
    """
    row = published_row(result)
    return row if row and not mismatches(result, row) else None
