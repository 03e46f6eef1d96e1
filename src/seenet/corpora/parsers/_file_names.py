"""Corpora whose file names say who speaks, what, and how."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from seenet.core.errors import SeenetError
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._files import AUDIO, files_below, suffix_rank


def named_clips(
    corpus: str, folder: Path, grammar: str, example: str, row: Callable[[re.Match[str], str], Utterance | None]
) -> Manifest:
    """The audio files below a folder whose names follow a grammar, wherever in it they lie.

    A clip that is there twice counts once, in a format without loss if there is one. Files with other names are the
    manifest's `unlabelled`.

    Args:
        corpus: its name.
        folder: where to look.
        grammar: a regular expression for the end of a path without its suffix; folders are set off by `/`.
        example: a path that follows it, for messages.
        row: the utterance that a match and its path, relative to the folder, describe; None to leave it out.

    Raises:
        SeenetError: no file follows the grammar.
    """
    pattern = re.compile(rf"(?:.*/)?{grammar}\.\w+")
    rows: dict[str, Utterance] = {}
    others, followed = [], False
    # The shortest path first: of two copies the one nearer to the root is kept, on every machine.
    for path in sorted(files_below(folder, AUDIO), key=lambda p: (suffix_rank(p), len(p.parts))):
        relative = path.relative_to(folder).as_posix()
        match = pattern.fullmatch(relative)
        if not match:
            others.append(relative)
            continue
        followed = True
        found = row(match, relative)
        if found is not None:
            rows.setdefault(found.utterance, found)
    if not followed:
        raise SeenetError(f"no clip such as {example} in '{folder}'; dataset.root should hold the clips of {corpus}")
    return Manifest(corpus, folder, [rows[name] for name in sorted(rows)], unlabelled=sorted(others))


def decoded(codes: Mapping[str, str], code: str, what: str, path: str) -> str:
    """What a code in a name means.

    Raises:
        SeenetError: the corpus has no such code.
    """
    if code not in codes:
        raise SeenetError(f"'{path}': there is no {what} '{code}'; expected one of {', '.join(codes)}")
    return codes[code]
