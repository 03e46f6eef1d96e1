"""Grouping of results into studies and arms.

A study is one corpus with its classes, folds and protocol. An arm is the set of its results with the same settings;
they differ in fold, seed and test condition only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seenet.core.errors import SeenetError
from seenet.reporting.arm_names import name_arms
from seenet.reporting.arm_settings import (
    arm_settings,
    format_setting,
    group_choices,
    stable_key,
    study_settings,
    training_corpus,
)
from seenet.reporting.formatting import MISSING_TEXT
from seenet.reporting.result_loader import LoadedResult, is_cross_corpus


@dataclass(frozen=True)
class Arm:
    """Results that differ in fold, seed and test condition only.

    Attributes:
        name: the differences from the other arms; the choices of groups if there is no other arm.
        choices: by configuration group.
        settings: every setting by its dotted name.
        results: all results of the arm.
    """

    name: str
    choices: Mapping[str, str]
    settings: Mapping[str, Any]
    results: Sequence[LoadedResult]

    def select_results(self, condition: str) -> list[LoadedResult]:
        """Return the results under a test condition, sorted by seed and fold."""
        selected = (result for result in self.results if result.condition == condition)
        return sorted(selected, key=lambda result: result.fold_and_seed[::-1])


@dataclass(frozen=True)
class Study:
    """Arms that one table may compare.

    Attributes:
        title: the heading of its chapter.
        arms: in the order of their first result.
        condition: the test condition of all sections except noise: `clean` if any result has it.
    """

    title: str
    arms: list[Arm]
    condition: str

    @property
    def first_facts(self) -> Mapping[str, Any]:
        """Content of one result.json, for fields that all results share, such as the classes."""
        return self.arms[0].results[0].facts

    @property
    def classes(self) -> list[str]:
        """Class names in the order of every matrix."""
        return list(self.first_facts["classes"])

    def select_tested_arms(self) -> list[Arm]:
        """Return the arms with a result under the condition of the study."""
        return [arm for arm in self.arms if arm.select_results(self.condition)]

    def list_folds_and_seeds(self) -> list[tuple[int | str, int]]:
        """Return every pair of fold and seed that at least one arm has."""
        return sorted({result.fold_and_seed for arm in self.arms for result in arm.results})

    def choose_baseline(self, name: str | None) -> Arm:
        """Return the arm with this name; otherwise the first of the arms with most choices `none`."""
        arms = self.select_tested_arms()
        named = [arm for arm in arms if arm.name == name]
        return named[0] if named else max(arms, key=lambda arm: list(arm.choices.values()).count("none"))


def group_into_studies(results: Sequence[LoadedResult]) -> list[Study]:
    """Group results into studies and the results of each study into arms."""
    groups: dict[str, list[LoadedResult]] = {}
    for result in results:
        groups.setdefault(_study_key(result.facts), []).append(result)
    titles = [_format_title(group[0].facts) for group in groups.values()]
    studies = []
    for title, group in zip(titles, groups.values(), strict=True):
        same_title = [g[0].facts for t, g in zip(titles, groups.values(), strict=True) if t == title]
        conditions = list(dict.fromkeys(result.condition for result in group))
        condition = "clean" if "clean" in conditions else conditions[0]
        title += _distinguish_title(group[0].facts, same_title)
        studies.append(Study(title, _group_into_arms(group), condition))
    return sorted(studies, key=lambda study: study.title)


def _study_key(facts: Mapping[str, Any]) -> str:
    test = facts["test_part"] if is_cross_corpus(facts) else facts["n_folds"]
    return stable_key([study_settings(facts), facts["classes"], facts["protocol"], test])


def _format_title(facts: Mapping[str, Any]) -> str:
    dataset, count = training_corpus(facts), f"{len(facts['classes'])} classes"
    protocol = f"protocol {facts['protocol']}"
    if is_cross_corpus(facts):
        return f"{dataset} → {facts['test_part'].removeprefix('test_')}, {count}, {protocol}"
    folds = f"{facts['n_folds']} folds ({facts['config']['dataset'].get('folds', 'unnamed')})"
    return f"{dataset}, {count}, {protocol}, {folds}"


def _distinguish_title(facts: Mapping[str, Any], same_title: Sequence[Mapping[str, Any]]) -> str:
    """Return the settings that distinguish a study from others with the same title."""
    if len(same_title) == 1:
        return ""
    settings, others = study_settings(facts), [study_settings(other) for other in same_title]
    differing = [name for name in settings if len({stable_key(other.get(name)) for other in others}) > 1]
    return "".join(f", {name}={format_setting(settings[name])}" for name in differing)


def _group_into_arms(results: Sequence[LoadedResult]) -> list[Arm]:
    groups: dict[str, list[LoadedResult]] = {}
    for result in results:
        groups.setdefault(stable_key(arm_settings(result.facts)), []).append(result)
    split = [(part, suffix) for group in groups.values() for part, suffix in _split_runs(group)]
    names = name_arms([group[0].facts for group, _ in split])
    return [
        Arm(
            name=" ".join(filter(None, (name, suffix))) or "all",
            choices=group_choices(group[0].facts),
            settings=arm_settings(group[0].facts),
            results=group,
        )
        for name, (group, suffix) in zip(names, split, strict=True)
    ]


def _split_runs(group: list[LoadedResult]) -> list[tuple[list[LoadedResult], str]]:
    """Split results with equal settings into one arm per run if the runs cannot be one arm.

    Returns:
        The results of each arm and a suffix for its name.
    """
    has_hashes = "learned" in group[0].facts
    if has_hashes and is_cross_corpus(group[0].facts):
        # Runs with different other test corpora trained equally, so a test corpus counts once.
        unique: dict[tuple[Any, str], LoadedResult] = {}
        for result in group:
            unique.setdefault((result.fold_and_seed, result.condition), result)
        group = list(unique.values())
    runs: dict[str, list[LoadedResult]] = {}
    for result in group:
        runs.setdefault(result.folder.parents[1].name.rpartition("-")[2], []).append(result)
    tests = {(result.fold_and_seed, result.condition) for result in group}
    seeds = [{result.fold_and_seed[1] for result in run} for run in runs.values()]
    # Two runs of one seed have different labels, audio or weights.
    share_seeds = sum(map(len, seeds)) > len(set().union(*seeds))
    if len(tests) == len(group) and (has_hashes or not share_seeds):
        return [(group, "")]
    return [(run, f"run={name}") for name, run in runs.items()]


def check_baseline(studies: Sequence[Study], name: str | None) -> None:
    """Check that at least one study has an arm with the name of the baseline.

    Raises:
        SeenetError: if no study has one; lists the names of all arms.
    """
    names = list(dict.fromkeys(arm.name for study in studies for arm in study.select_tested_arms()))
    if name is not None and name not in names:
        raise SeenetError(f"--baseline '{name}': no arm has this name; expected one of {', '.join(map(repr, names))}")


def pool_confusions(results: Sequence[LoadedResult]) -> np.ndarray:
    """Return the confusion counts of all test clips, shape (true class, predicted class)."""
    confusion: np.ndarray = np.sum([result.facts["metrics"]["confusion"] for result in results], axis=0)
    return confusion


def find_differing_settings(arms: Sequence[Arm]) -> dict[str, list[str]]:
    """Return the settings in which arms differ, with the value of each arm.

    The value is `–` if an arm lacks the setting.
    """
    names = dict.fromkeys(name for arm in arms for name in arm.settings)
    values = {
        name: [format_setting(arm.settings[name]) if name in arm.settings else MISSING_TEXT for arm in arms]
        for name in names
    }
    return {name: shown for name, shown in values.items() if len(set(shown)) > 1}


def find_shared_settings(arms: Sequence[Arm]) -> dict[str, str]:
    """Return the settings that all arms share."""
    differing = find_differing_settings(arms)
    return {name: format_setting(value) for name, value in arms[0].settings.items() if name not in differing}
