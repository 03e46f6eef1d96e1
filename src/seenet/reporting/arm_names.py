"""Names of arms, made of the choices and settings in which arms differ."""

from collections.abc import Mapping, Sequence
from typing import Any

from seenet.reporting.arm_settings import arm_settings, content_hashes, format_setting, group_choices, stable_key

DEFAULT_NAME_GROUPS = ["backbone", "aug", "aux_task"]
"""Groups that name an arm without rivals."""


def name_arms(facts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return one name for each arm.

    The name lists choices of groups first, then settings that differ among equal choices. A setting that follows from
    a choice, such as the learning rate of a backbone, differs only between choices. It is not part of the name. Hashes
    of content are part of it only if no setting distinguishes the arms.

    Args:
        facts: the result.json of one result of each arm.
    """
    choices = [group_choices(f) for f in facts]
    settings = [arm_settings(f) for f in facts]
    groups = [group for group in choices[0] if len({choice[group] for choice in choices}) > 1]
    if not groups and len(facts) == 1:
        groups = DEFAULT_NAME_GROUPS
    names = []
    for choice, setting, hashes in zip(choices, settings, map(content_hashes, facts), strict=True):
        rivals = [s for c, s in zip(choices, settings, strict=True) if c == choice]
        plain = [name for name in setting if name not in hashes]
        keys = _find_differing(plain, rivals)
        equal = [s for s in rivals if all(stable_key(s.get(name)) == stable_key(setting[name]) for name in keys)]
        keys += _find_differing(hashes, equal)
        words = [f"{group}={choice[group]}" for group in groups]
        words += [f"{name}={format_setting(setting[name])}" for name in keys]
        if setting.get("head.normalize") == "speaker":
            words.append("(transductive)")
        names.append(" ".join(words))
    return names


def _find_differing(names: Sequence[str] | Mapping[str, Any], settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of settings with several values among arms."""
    return [name for name in names if len({stable_key(s.get(name)) for s in settings}) > 1]
