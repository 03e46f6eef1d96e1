"""Finding the files of a corpus."""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from seenet.audio.file_types import looks_like_audio
from seenet.core.console import escape_unprintable, print_line

_LOSSLESS = "wav flac aif aiff aifc w64 rf64 bwf caf au snd nist sph wv tta ape tak voc"
_LOSSY = "ogg oga opus spx mp3 mp2 mp1 mpa m4a m4b aac ac3 eac3 dts amr awb wma mpc ra mka 3ga weba"
_VIDEO = "mp4 m4v mov qt mkv webm avi wmv asf flv f4v 3gp 3g2 mpg mpeg vob ts mts m2ts ogv rm mxf wtv"
AUDIO = tuple(f".{suffix}" for suffix in f"{_LOSSLESS} {_LOSSY} {_VIDEO}".split())
"""Suffixes of files with sound, what loses nothing first and videos last."""


NOT_UTF8 = "its name is not UTF-8: rename it, or set PYTHONUTF8=1 where the locale is another"
"""Why a path is passed over that Python cannot decode."""


def files_below(root: Path, suffix: str | tuple[str, ...], undecodable: list[str] | None = None) -> Iterator[Path]:
    """Every file with a suffix, or one of several, (in any case) below a folder, in the same order on every machine.

    Links to folders are followed, each folder once. Files whose names begin with a dot are passed over
    (macOS leaves `._name.wav` beside `name.wav`), and so are those whose paths are not UTF-8, which no table can hold.

    Args:
        root: where to look.
        suffix: with its dot, e.g. `.wav`.
        undecodable: gets the escaped paths that are not UTF-8; None prints a line about them.
    """
    seen = set()
    strange: list[str] = [] if undecodable is None else undecodable
    for folder, below, names in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            below.clear()
            continue
        seen.add(real)
        below.sort()
        decodable = _is_decodable(os.path.relpath(folder, root))
        for name in sorted(names):
            if not name.lower().endswith(suffix) or name.startswith("."):
                continue
            path = Path(folder) / name
            if decodable and _is_decodable(name):
                yield path
            else:
                strange.append(escape_unprintable(path.relative_to(root).as_posix()))
    if strange and undecodable is None:
        print_line(f"! {len(strange)} file(s) below '{root}' are passed over, e.g. '{strange[0]}': {NOT_UTF8}")


def _is_decodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def suffix_rank(path: Path) -> int:
    """Where a file's suffix stands in `AUDIO`; behind all of them if it is another."""
    suffix = path.suffix.lower()
    return AUDIO.index(suffix) if suffix in AUDIO else len(AUDIO)


def find_audio(root: Path, one_per_name: bool = False) -> tuple[list[Path], list[tuple[str, str]]]:
    """Find the files with sound below a folder: by their suffix, or where they have another by their first bytes.

    Args:
        root: where to look.
        one_per_name: take one of the files in a folder that differ in their suffix only, a lossless one if there is.

    Returns:
        The files in the same order on every machine; and what is passed over, relative to the root, each with why.
    """
    found: list[Path] = []
    passed_over: list[tuple[str, str]] = []
    undecodable: list[str] = []
    for path in files_below(root, "", undecodable):
        name = path.relative_to(root).as_posix()
        if suffix_rank(path) < len(AUDIO) or _has_sound(path):
            found.append(path)
        else:
            passed_over.append((escape_unprintable(name), "not audio"))
    passed_over += [(name, NOT_UTF8) for name in undecodable]
    if one_per_name:
        best: dict[str, Path] = {}
        for path in sorted(found, key=suffix_rank):
            taken = best.setdefault(_without_suffix(path), path)
            if taken != path:
                why = f"'{taken.name}' of the same name is used instead"
                passed_over.append((escape_unprintable(path.relative_to(root).as_posix()), why))
        found = [path for path in found if best[_without_suffix(path)] == path]
    return found, passed_over


def _without_suffix(path: Path) -> str:
    return unicodedata.normalize("NFC", str(path.with_suffix("")))


def _has_sound(path: Path) -> bool:
    try:
        if not path.is_file():  # a pipe would be waited for
            return False
        with path.open("rb") as file:
            return looks_like_audio(file.read(512))
    except OSError:
        return False


def as_on_disk(root: Path, paths: "pd.Series[str]") -> "pd.Series[str]":
    """Relative paths in the Unicode form that the disk has them in: `é` may be one character or two.

    Args:
        root: what they start from.
        paths: what a table says. Those that no file has stay as they are.
    """
    if "".join(paths).isascii():
        return paths  # most corpora: nothing on the disk is looked at
    found = (path.relative_to(root).as_posix() for path in files_below(root, ""))
    forms = {unicodedata.normalize("NFC", path): path for path in found if not path.isascii()}
    return paths.str.normalize("NFC").map(forms).fillna(paths)
