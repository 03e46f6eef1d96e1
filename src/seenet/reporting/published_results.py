"""Published figures (Li et al. 2025, table 2) and conditions for a comparison with them."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seenet.corpora.vocabulary import CLASS_SETS

PUBLISHED_TABLE = Path(__file__).with_name("published_results.csv")
PUBLISHED_SCHEMES = ("luna5", "leave_one_session_out")
PUBLISHED_FOLD_COUNT = 5
"""Number of folds of every protocol in the table."""


def published_row(result: Mapping[str, Any], comparable_only: bool = False) -> dict[str, str] | None:
    """Return SeeNet's published figures for the corpus of a result.

    Args:
        result: the content of result.json.
        comparable_only: whether protocol, folds, classes and test condition must be the same too. The paper selects
            the epoch on the test fold, so only `protocol=paper` can match.

    Returns:
        One row of the table; None if there is none.
    """
    row = next((row for row in read_published_rows(result) if row["method"] == "SeeNet"), None)
    return None if row and comparable_only and list_mismatches(result, row) else row


def read_published_rows(result: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the published figures of all methods for the corpus of a result."""
    # Users choose the names of their own tables, so the parser must match too. Results before schema 5 lack it.
    parser = result["corpora"].get(result["dataset"], {}).get("parser")
    with PUBLISHED_TABLE.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if result["dataset"] == parser == row["dataset"]]


def list_mismatches(result: Mapping[str, Any], row: Mapping[str, str]) -> list[str]:
    """Return the reasons against a comparison with a published row.

    The reasons do not include differences in model and training.
    """
    reasons = []
    if result["protocol"] != "paper":
        reasons.append("epoch selected on held-out training speakers here, on the test fold there")
    if result["n_folds"] != PUBLISHED_FOLD_COUNT:
        reasons.append(f"{result['n_folds']} folds here, {PUBLISHED_FOLD_COUNT} there")
    elif result["config"]["dataset"]["folds"] not in PUBLISHED_SCHEMES:
        scheme = result["config"]["dataset"]["folds"]
        reasons.append(f"folds by {scheme} here, by {' or '.join(PUBLISHED_SCHEMES)} there")
    if int(row["classes"]) != len(result["classes"]):
        reasons.append(f"{len(result['classes'])} classes here, {row['classes']} there")
    elif tuple(result["classes"]) not in CLASS_SETS.values():
        reasons.append("different classes here and there")
    if result["noise"] != "clean":
        reasons.append(f"{result['noise']} here, clean speech there")
    return reasons
