"""Settings that define an arm or a study, read from a result."""

import json
from collections.abc import Mapping
from typing import Any

from seenet.reporting.result_loader import is_cross_corpus
from seenet.runs.identity import describe_training


def stable_key(value: object) -> str:
    """Return a text that is equal for equal JSON values."""
    return json.dumps(value, sort_keys=True)


def format_setting(value: object) -> str:
    """Return text unchanged and other values as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def flatten_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings with dotted names, such as `optim.lr`.

    Lists and empty groups remain values.
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        is_group = isinstance(value, Mapping) and value
        flat |= flatten_settings(value, f"{prefix}{key}.") if is_group else {f"{prefix}{key}": value}
    return flat


def arm_settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting that defines an arm by dotted name, and hashes of content."""
    described = describe_training(facts["config"])
    trained = {name: value for name, value in described.items() if name not in ("seed", "protocol", "scheme")}
    backbone = facts["config"]["backbone"]
    weights = {f"backbone.{name}": backbone.get(name) for name in ("checkpoint", "revision")}
    # Results without an identity schema come from versions that trained differently.
    schema = facts.get("learned", {}).get("schema") or f"seenet {facts['versions']['seenet']}"
    # `aug` records the order of augmentations, which their settings do not.
    recorded = {"precision": facts["precision"], "identity schema": schema, "aug": facts["aug"]}
    return flatten_settings(trained) | weights | recorded | content_hashes(facts)


def content_hashes(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return split scheme, corpora and weights, which the settings do not determine."""
    learned = facts.get("learned")
    scheme = {} if is_cross_corpus(facts) else {"scheme": describe_training(facts["config"])["scheme"]}
    if learned is None:  # schema 3
        return scheme
    trained, *tests = learned["corpora"]
    if is_cross_corpus(facts):  # the other test corpora do not change this result
        tests = [name for name in tests if facts["test_part"] == f"test_{name}"]
    corpora = {name: learned["corpora"][name] for name in (trained, *tests)}
    return scheme | flatten_settings({"weights": learned["weights"], "devices": learned["devices"], "corpus": corpora})


CHOICE_GROUPS = ("backbone", "pooling", "aug", "aux_task")
"""Configuration groups that name an arm."""

LATER_CHOICES = {"head": "linear", "tune": "all", "loss": "cross_entropy", "schedule": "none"}
"""Groups that only later results name, with the choice of earlier ones."""


def group_choices(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the choice of each configuration group and the name of the optimiser."""
    later = {group: facts.get(group, choice) for group, choice in LATER_CHOICES.items()}
    return (
        {group: facts[group] for group in CHOICE_GROUPS} | later | {"optim": facts["config"]["optim"].get("name", "")}
    )


IGNORED_DATASET_SETTINGS = ("root", "schemes", "known", "on_bad_file", "partner", "_target_", "table")
"""Settings of a dataset that do not distinguish studies."""


def study_settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of corpus and protocol, which define a study."""
    dataset = facts["config"]["dataset"]
    # Null and false are the neutral values of new settings; they must not separate a study from older results.
    shown = {
        name: value
        for name, value in flatten_settings(dataset).items()
        if name.partition(".")[0] not in IGNORED_DATASET_SETTINGS and value is not None and value is not False
    }
    return shown | {"name": training_corpus(facts), "protocol": describe_training(facts["config"])["protocol"]}


def training_corpus(facts: Mapping[str, Any]) -> str:
    """Return the name of the corpus that a result is trained on."""
    dataset = str(facts["dataset"])
    return dataset.partition("_to_")[0] if is_cross_corpus(facts) else dataset
