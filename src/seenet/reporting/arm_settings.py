"""The settings and contents that make an arm, read from a result."""

import json
from collections.abc import Mapping
from typing import Any

from seenet.reporting.result_loader import is_cross_corpus
from seenet.runs.identity import describe_training


def stable_key(value: object) -> str:
    """Return a text that is equal for equal JSON values."""
    return json.dumps(value, sort_keys=True)


def format_setting(value: object) -> str:
    """Return a setting as a reader writes it: text as it is, other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


CHOICES = ("backbone", "pooling", "aug", "aux_task")


UNSHOWN = ("root", "schemes", "known", "on_bad_file", "partner", "_target_", "table")
"""Settings of a dataset that do not tell one study from another."""


def flatten_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level: `optim.lr`. Lists stay whole, and an empty group is itself."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        nested = isinstance(value, Mapping) and value
        found |= flatten_settings(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return found


def arm_settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting that makes an arm, flat, with the hashes of its contents."""
    described = describe_training(facts["config"])
    arm = {name: value for name, value in described.items() if name not in ("seed", "protocol", "scheme")}
    backbone = facts["config"]["backbone"]
    named = {f"backbone.{name}": backbone.get(name) for name in ("checkpoint", "revision")}
    # Results that do not say by which schema they are identified come from versions that learned differently.
    schema = facts.get("learned", {}).get("schema") or f"seenet {facts['versions']['seenet']}"
    made = {"precision": facts["precision"], "identity schema": schema}
    made["aug"] = facts["aug"]  # the order too, which the settings of its steps do not tell
    return flatten_settings(arm) | named | made | content_hashes(facts)


def content_hashes(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the settings by themselves do not tell: the scheme of a name, the corpora, the weights."""
    learned = facts.get("learned")
    made = {} if is_cross_corpus(facts) else {"scheme": describe_training(facts["config"])["scheme"]}
    if learned is None:  # schema 3
        return made
    trained, *tests = learned["corpora"]
    if is_cross_corpus(facts):  # what else was tested does not matter
        tests = [name for name in tests if facts["test_part"] == f"test_{name}"]
    corpora = {name: learned["corpora"][name] for name in (trained, *tests)}
    return made | flatten_settings({"weights": learned["weights"], "devices": learned["devices"], "corpus": corpora})


def group_choices(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the choice of each group, and the optimiser's name."""
    return {group: facts[group] for group in CHOICES} | {"optim": facts["config"]["optim"].get("name", "")}


def study_settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the corpus and the protocol, which make a study."""
    dataset = facts["config"]["dataset"]
    # A new setting of a corpus is neutral where it is null or false: it parts no study from older ones.
    shown = {
        name: value
        for name, value in flatten_settings(dataset).items()
        if name.partition(".")[0] not in UNSHOWN and value is not None and value is not False
    }
    return shown | {"name": training_corpus(facts), "protocol": describe_training(facts["config"])["protocol"]}


def training_corpus(facts: Mapping[str, Any]) -> str:
    """Return the name of the corpus that a result is trained on."""
    return facts["dataset"].partition("_to_")[0] if is_cross_corpus(facts) else facts["dataset"]
