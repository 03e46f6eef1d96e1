"""Checks of overrides (NAME=VALUE) that Hydra answers with a riddle, and the quoted form of a value."""

import re
import shlex
import sys
from collections.abc import Collection, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from hydra.errors import OverrideParseException

from seenet.core.errors import SeenetError
from seenet.core.paths import conf_dir
from seenet.corpora.vocabulary import quote_class, quote_text

LISTS = ("aug", "noise")
"""Groups of which several choices can be combined."""


def choices(group: str) -> str:
    """The shipped choices of a configuration group."""
    return ", ".join(sorted(path.stem for path in (conf_dir() / group).glob("[!_]*.yaml")))


def quote_override(override: str) -> str:
    """An override whose value Hydra reads as text (or a list of texts, `classes`), quoted for Hydra and a POSIX shell.

    Args:
        override: NAME=VALUE as the user meant it; quotes that the value already has are replaced.
    """
    name, _, value = override.partition("=")
    words = re.fullmatch(r"\[(.*)\]", value) if name == "classes" else None
    if words:
        return shlex.quote(f"{name}=[{','.join(map(quote_class, _split_words(words[1])))}]")
    if value[:1] in ("'", '"'):
        value = value[1:].removesuffix(value[0])
    return shlex.quote(f"{name}={quote_text(value)}")


def _split_words(text: str) -> list[str]:
    """The words of a list, at commas outside quotes, without their own quotes."""
    words = re.findall(r"""\s*("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^,]*)\s*(?:,|$)""", text)
    bare = [word.strip() for word in words]
    return [re.sub(r"\\(.)", r"\1", w[1:-1]) if w[:1] in ("'", '"') and w[-1:] == w[0] else w for w in bare if w]


def explain_parse_error(error: OverrideParseException, groups: Collection[str]) -> str:
    """One line for an override that Hydra's grammar refuses.

    Args:
        error: has the override as the user wrote it.
        groups: the configuration groups, whose choices need no quotes.
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
    """How to quote the override that an error message is about; empty where quotes would not help.

    Args:
        message: begins with the setting's name and `=` or `:`.
    """
    for word in sys.argv[1:]:
        name, equals, value = word.partition("=")
        named = message.startswith((f"{name.lstrip('+')}=", f"{name.lstrip('+')}:"))
        if equals and named and value[:1] not in ("", "'", '"') and ("expected text" in message or "${" in value):
            return f"; as text it needs quotes: {quote_override(word)}"
    return ""


def parse_overrides(words: Sequence[str]) -> list[Override]:
    """The overrides among the words of a command line; options and their values are left out.

    Raises:
        OverrideParseException: an override that Hydra's grammar refuses.
    """
    parser = OverridesParser.create()
    return parser.parse_overrides([word for word in words if "=" in word and not word.startswith("-")])


def refuse_choices(words: Sequence[str], groups: Collection[str]) -> None:
    """Raise a SeenetError for a choice of a group that no file can have.

    Hydra shows a traceback for null, a number or a truth value, merges the files of a list whatever they are, and
    takes a choice that is listed twice once.

    Args:
        words: of the command line, after the command.
        groups: the configuration groups.
    """
    for override in parse_overrides(words):
        group, word = override.key_or_group, override.input_line
        if not group:
            raise SeenetError(f"{word}: expected NAME=VALUE")
        if group not in groups or override.is_delete():
            continue
        for value in _list_values(override):
            several = value if isinstance(value, list) and group in LISTS else [value]
            names = [choice.text if isinstance(choice, QuotedString) else choice for choice in several]
            if not all(isinstance(name, str) for name in names):
                raise SeenetError(f"{word}: expected one of {choices(group)}")
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise SeenetError(f"{word}: '{twice[0]}' is listed twice; a list takes each choice once")


def _list_values(override: Override) -> list[object]:
    """The values of a sweep that can be listed without a search of files, else the one value."""
    if override.is_choice_sweep() or override.is_range_sweep():
        return list(override.sweep_iterator())
    return [] if override.is_sweep_override() else [override.value()]
