"""Names of arms: the choices and settings that tell one from another."""

from collections.abc import Mapping, Sequence
from typing import Any

from seenet.reporting.arm_settings import arm_settings, content_hashes, format_setting, group_choices, stable_key


def name_arms(facts: Sequence[Mapping[str, Any]]) -> list[str]:
    """What sets each arm apart: choices of groups first, then settings that differ among arms of equal choices.

    Settings that follow from a choice, such as a backbone's learning rate, differ between choices only and stay away;
    so do hashes of the content where a setting tells the arms apart.
    """
    choices = [group_choices(f) for f in facts]
    settings = [arm_settings(f) for f in facts]
    differing = [group for group in choices[0] if len({c[group] for c in choices}) > 1]
    if not differing and len(facts) == 1:
        differing = ["backbone", "aug", "aux_task"]
    names = []
    for mine, setting, content in zip(choices, settings, map(content_hashes, facts), strict=True):
        rivals = [s for c, s in zip(choices, settings, strict=True) if c == mine]
        keys = [name for name in setting if name not in content and len({stable_key(s.get(name)) for s in rivals}) > 1]
        alike = [s for s in rivals if all(stable_key(s.get(name)) == stable_key(setting[name]) for name in keys)]
        keys += [name for name in content if len({stable_key(s.get(name)) for s in alike}) > 1]
        words = [f"{group}={mine[group]}" for group in differing]
        names.append(" ".join(words + [f"{name}={format_setting(setting[name])}" for name in keys]))
    return names
