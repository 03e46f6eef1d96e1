"""Results as studies and arms: what may be compared, and what each is called.

A study is one corpus, its classes, folds and protocol. In it an arm is everything that was trained and tested in the
same way; folds, seeds and test conditions apart.
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
from seenet.reporting.result_loader import LoadedResult, is_cross_corpus


@dataclass(frozen=True)
class Arm:
    """Results that differ in fold, seed and test condition only.

    Attributes:
        name: what sets it apart from the others, or its choices where it is alone.
        choices: of the groups.
        settings: everything that it was made with, flat.
        results: all of them.
    """

    name: str
    choices: Mapping[str, str]
    settings: Mapping[str, Any]
    results: Sequence[LoadedResult]

    def under(self, condition: str) -> list[LoadedResult]:
        """The results under a test condition, by seed and fold."""
        return sorted((r for r in self.results if r.condition == condition), key=lambda r: r.part[::-1])


@dataclass(frozen=True)
class Study:
    """What may stand in one table.

    Attributes:
        title: of the section.
        arms: in the order of their names' first result.
        condition: the test condition of all that is not about noise: `clean` where there is any.
    """

    title: str
    arms: list[Arm]
    condition: str

    @property
    def first(self) -> Mapping[str, Any]:
        """Facts that all results share, such as the classes."""
        return self.arms[0].results[0].facts

    @property
    def classes(self) -> list[str]:
        """Their order is that of every matrix."""
        return list(self.first["classes"])

    def tested(self) -> list[Arm]:
        """The arms with a result under the study's condition."""
        return [arm for arm in self.arms if arm.under(self.condition)]

    def parts(self) -> list[tuple[int | str, int]]:
        """Every fold and seed that some arm has."""
        return sorted({r.part for arm in self.arms for r in arm.results})

    def baseline(self, name: str | None) -> Arm:
        """The arm of a name; without one the arm with most choices `none`, of several the first."""
        arms = self.tested()
        named = [arm for arm in arms if arm.name == name]
        return named[0] if named else max(arms, key=lambda arm: list(arm.choices.values()).count("none"))


def _study_key(facts: Mapping[str, Any]) -> str:
    tested = facts["test_part"] if is_cross_corpus(facts) else facts["n_folds"]
    return stable_key([study_settings(facts), facts["classes"], facts["protocol"], tested])


def _title(facts: Mapping[str, Any]) -> str:
    dataset, count = training_corpus(facts), f"{len(facts['classes'])} classes"
    protocol = f"protocol {facts['protocol']}"
    if is_cross_corpus(facts):
        return f"{dataset} → {facts['test_part'].removeprefix('test_')}, {count}, {protocol}"
    folds = f"{facts['n_folds']} folds ({facts['config']['dataset'].get('folds', 'unnamed')})"
    return f"{dataset}, {count}, {protocol}, {folds}"


def group_into_studies(results: Sequence[LoadedResult]) -> list[Study]:
    """Divide results into studies, and each into its arms."""
    groups: dict[str, list[LoadedResult]] = {}
    for result in results:
        groups.setdefault(_study_key(result.facts), []).append(result)
    titles = [_title(group[0].facts) for group in groups.values()]
    made = []
    for title, group in zip(titles, groups.values(), strict=True):
        alike = [g[0].facts for t, g in zip(titles, groups.values(), strict=True) if t == title]
        if len(alike) > 1:  # the title tells them not apart: say what does
            mine = study_settings(group[0].facts)
            differing = [
                name for name in mine if len({stable_key(study_settings(facts).get(name)) for facts in alike}) > 1
            ]
            title += "".join(f", {name}={format_setting(mine[name])}" for name in differing)
        conditions = list(dict.fromkeys(r.condition for r in group))
        made.append(Study(title, _arms(group), "clean" if "clean" in conditions else conditions[0]))
    return sorted(made, key=lambda study: study.title)


def _arms(results: Sequence[LoadedResult]) -> list[Arm]:
    groups: dict[str, list[LoadedResult]] = {}
    for result in results:
        groups.setdefault(stable_key(arm_settings(result.facts)), []).append(result)
    apart = [(part, extra) for group in groups.values() for part, extra in _runs_apart(group)]
    names = name_arms([group[0].facts for group, _ in apart])
    return [
        Arm(
            name=" ".join(filter(None, (name, extra))) or "all",
            choices=group_choices(group[0].facts),
            settings=arm_settings(group[0].facts),
            results=group,
        )
        for name, (group, extra) in zip(names, apart, strict=True)
    ]


def _runs_apart(group: list[LoadedResult]) -> list[tuple[list[LoadedResult], str]]:
    """Results of the same settings as one arm, or by runs where these cannot be the same; and the rest of its name."""
    told = "learned" in group[0].facts
    if told and is_cross_corpus(
        group[0].facts
    ):  # one test corpus beside different others: trained alike, so it counts once
        first: dict[tuple[Any, str], LoadedResult] = {}
        for result in group:
            first.setdefault((result.part, result.condition), result)
        group = list(first.values())
    runs: dict[str, list[LoadedResult]] = {}
    for result in group:
        runs.setdefault(result.folder.parents[1].name.rpartition("-")[2], []).append(result)
    slots, seeds = ({(r.part, r.condition) for r in group}, [{r.part[1] for r in run} for run in runs.values()])
    mixed = sum(map(len, seeds)) > len(set().union(*seeds))  # two runs of one seed: other labels, audio or weights
    if len(slots) == len(group) and (told or not mixed):
        return [(group, "")]
    return [(run, f"run={name}") for name, run in runs.items()]


def check_baseline(found: Sequence[Study], name: str | None) -> None:
    """Refuse a baseline that no study has.

    Raises:
        SeenetError: naming the arms there are.
    """
    names = list(dict.fromkeys(arm.name for study in found for arm in study.tested()))
    if name is not None and name not in names:
        raise SeenetError(f"--baseline '{name}': no arm has this name; expected one of {', '.join(map(repr, names))}")


def pooled_confusion(results: Sequence[LoadedResult]) -> np.ndarray:
    """Counts of all test clips, rows the true class. Shape (classes, classes)."""
    return np.sum([r.facts["metrics"]["confusion"] for r in results], axis=0)


def differing_settings(arms: Sequence[Arm]) -> dict[str, list[str]]:
    """The settings in which arms differ, and each arm's value; `–` where an arm has no such setting."""
    names = dict.fromkeys(name for arm in arms for name in arm.settings)
    values = {
        name: [format_setting(arm.settings[name]) if name in arm.settings else "–" for arm in arms] for name in names
    }
    return {name: shown for name, shown in values.items() if len(set(shown)) > 1}


def shared_settings(arms: Sequence[Arm]) -> dict[str, str]:
    """The settings that all arms share."""
    differing = differing_settings(arms)
    return {name: format_setting(value) for name, value in arms[0].settings.items() if name not in differing}
