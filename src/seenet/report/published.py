"""The published figures (Li et al. 2025, table 2), beside which a result may stand."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seenet.emotions import CLASS_SETS

TABLE = Path(__file__).with_name("published.csv")
SCHEMES = ("luna5", "leave_one_session_out")
FOLDS = 5  # of every protocol in the table


def published(result: Mapping[str, Any]) -> dict[str, str] | None:
    """SeeNet's published row for a result's dataset, protocol and classes, or None where one differs.

    The published epoch was selected on the evaluated fold, so only `protocol=paper` matches.
    """
    if result["protocol"] != "paper" or result["n_folds"] != FOLDS or result["noise"] != "clean":
        return None
    with TABLE.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            dataset = result["config"]["dataset"]
            # Not by the name, which users choose for tables of their own.
            if row["method"] != "SeeNet" or dataset["_target_"] != f"seenet.corpora.{row['dataset']}.read":
                continue
            if dataset["folds"] not in SCHEMES or result["dataset"] != row["dataset"]:
                continue
            if int(row["classes"]) == len(result["classes"]) and tuple(result["classes"]) in CLASS_SETS.values():
                return row
    return None
