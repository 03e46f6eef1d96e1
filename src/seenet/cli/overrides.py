"""Checks of overrides (NAME=VALUE) for which Hydra has no clear message, and the quoted form of a value."""

import re
import shlex
import sys
from collections.abc import Collection, Sequence

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import OverrideParseException
from omegaconf import OmegaConf

from seenet.core.errors import SeenetError
from seenet.core.paths import conf_dir
from seenet.corpora.vocabulary import quote_class, quote_text

COMBINABLE_GROUPS = ("aug", "noise")
"""Groups whose choices can be combined in a list."""


def choices(group: str) -> str:
    """Return the shipped choices of a configuration group, separated by commas."""
    return ", ".join(sorted(path.stem for path in (conf_dir() / group).glob("[!_]*.yaml")))


def quote_override(override: str) -> str:
    """Quote an override for Hydra and a POSIX shell, with text (or a list of texts, `classes`) as its value.

    Args:
        override: NAME=VALUE; quotes around the value are replaced.
    """
    name, _, value = override.partition("=")
    words = re.fullmatch(r"\[(.*)\]", value) if name == "classes" else None
    if words:
        return shlex.quote(f"{name}=[{','.join(map(quote_class, _split_words(words[1])))}]")
    if value[:1] in ("'", '"'):
        value = value[1:].removesuffix(value[0])
    return shlex.quote(f"{name}={quote_text(value)}")


def _split_words(text: str) -> list[str]:
    """Split a list at commas outside quotes and remove the quotes of each word."""
    words = re.findall(r"""\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^,]*)\s*(?:,|$)""", text)
    bare = [word.strip() for word in words]
    return [re.sub(r"\\(.)", r"\1", w[1:-1]) if w[:1] in ("'", '"') and w[-1:] == w[0] else w for w in bare if w]


def explain_parse_error(error: OverrideParseException, groups: Collection[str]) -> str:
    """Explain in one line why Hydra's grammar refuses an override.

    Args:
        error: holds the override as the user wrote it.
        groups: names of the configuration groups, whose choices need no quotes.
    """
    name, equals, _ = error.override.partition("=")
    if not equals:
        return f"{error.override}: expected NAME=VALUE"
    if name.lstrip("+") in groups:
        return f"{error.override}: expected one of {choices(name.lstrip('+'))}"
    brackets = "close every bracket, or " if set("[]{}()").intersection(error.override) else ""
    quoted = quote_override(error.override)
    return f"{error.override}: Hydra cannot read this value; {brackets}quote it if it is text: {quoted}"


def suggest_quotes(message: str) -> str:
    """Suggest quotes for the override named in an error message; return "" if quotes would not help.

    Args:
        message: starts with the name of the setting and `=` or `:`.
    """
    for word in sys.argv[1:]:
        name, equals, value = word.partition("=")
        named = message.startswith((f"{name.lstrip('+')}=", f"{name.lstrip('+')}:"))
        if equals and named and value[:1] not in ("", "'", '"') and ("expected text" in message or "${" in value):
            return f"; as text it needs quotes: {quote_override(word)}"
    return ""


def parse_overrides(words: Sequence[str]) -> list[Override]:
    """Parse the overrides of a command line; skip flags and their values.

    Raises:
        OverrideParseException: Hydra's grammar refuses an override.
    """
    parser = OverridesParser.create()
    return parser.parse_overrides([word for word in words if "=" in word and not word.startswith("-")])


def check_choices(words: Sequence[str], groups: Collection[str]) -> None:
    """Check that each choice of a group can be the name of a file.

    Hydra shows a traceback for null, a number or a truth value. It merges any list of files and silently drops
    repeated choices.

    Args:
        words: arguments of the command line.
        groups: names of the configuration groups.

    Raises:
        SeenetError: a choice is not a name, or is listed twice.
    """
    for override in parse_overrides(words):
        group, word = override.key_or_group, override.input_line
        if not group:
            raise SeenetError(f"{word}: expected NAME=VALUE")
        if group not in groups or override.is_delete():
            continue
        for value in _list_values(override):
            listed = value if isinstance(value, list) and group in COMBINABLE_GROUPS else [value]
            names = [choice.text if isinstance(choice, QuotedString) else choice for choice in listed]
            if not all(isinstance(name, str) for name in names):
                raise SeenetError(f"{word}: expected one of {choices(group)}")
            repeated = [name for name in names if names.count(name) > 1]
            if repeated:
                raise SeenetError(f"{word}: '{repeated[0]}' is listed twice; remove one of them")


def register_tuned_layers(words: Sequence[str]) -> None:
    """Add the choice last:N of the group `tune` for each number that a command line names.

    Args:
        words: arguments of the command line.
    """
    for word in words:
        if word.startswith("tune="):
            for count in re.findall(r"\blast:(\d+)\b", word):
                node = {
                    **OmegaConf.load(conf_dir() / "tune" / "last.yaml"),
                    "name": f"last:{count}",
                    "layers": int(count),
                }
                ConfigStore.instance().store(group="tune", name=f"last:{count}", node=node)


def _list_values(override: Override) -> list[object]:
    """Return the values of a sweep, none if they depend on a search of files, or the one value."""
    if override.is_choice_sweep() or override.is_range_sweep():
        return list(override.sweep_iterator())
    return [] if override.is_sweep_override() else [override.value()]
