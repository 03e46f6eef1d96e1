"""Corpora with labels in the file names."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from seenet.core.errors import SeenetError
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._files import AUDIO_SUFFIXES, find_files, rank_suffix


def read_named_clips(
    corpus: str, folder: Path, grammar: str, example: str, row: Callable[[re.Match[str], str], Utterance | None]
) -> Manifest:
    """Read all audio files below a folder with names that match a grammar.

    Of several copies of a clip one is used, a lossless one if there is one. Files with other names are listed as
    `unlabelled` in the manifest.

    Args:
        corpus: name of the corpus.
        folder: folder to search.
        grammar: regular expression for the end of a path without its suffix, with `/` between folders.
        example: a matching path, for messages.
        row: returns the utterance for a match and its path relative to the folder; None excludes the file.

    Raises:
        SeenetError: no file matches the grammar.
    """
    pattern = re.compile(rf"(?:.*/)?{grammar}\.\w+")
    rows: dict[str, Utterance] = {}
    others, has_match = [], False
    # The shortest path first: on every machine the copy nearest to the root is used.
    for path in sorted(find_files(folder, AUDIO_SUFFIXES), key=lambda p: (rank_suffix(p), len(p.parts))):
        relative = path.relative_to(folder).as_posix()
        match = pattern.fullmatch(relative)
        if not match:
            others.append(relative)
            continue
        has_match = True
        utterance = row(match, relative)
        if utterance is not None:
            rows.setdefault(utterance.utterance, utterance)
    if not has_match:
        raise SeenetError(f"no clip such as {example} in '{folder}'; dataset.root must contain the clips of {corpus}")
    return Manifest(corpus, folder, [rows[name] for name in sorted(rows)], unlabelled=sorted(others))


def decode(codes: Mapping[str, str], code: str, what: str, path: str) -> str:
    """Return the meaning of a code in a file name.

    Args:
        codes: meanings by code.
        code: the code.
        what: kind of the code, for the message, e.g. `emotion`.
        path: the file, for the message.

    Raises:
        SeenetError: the corpus does not have this code.
    """
    if code not in codes:
        raise SeenetError(f"'{path}': unknown {what} '{code}'; expected one of {', '.join(codes)}")
    return codes[code]
