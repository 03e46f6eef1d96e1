"""Search for the files of a corpus."""

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
AUDIO_SUFFIXES = tuple(f".{suffix}" for suffix in f"{_LOSSLESS} {_LOSSY} {_VIDEO}".split())
"""Suffixes of files with sound: lossless formats first, videos last."""

NOT_UTF8 = "its name is not UTF-8: rename it, or set PYTHONUTF8=1 if the locale is not UTF-8"
"""Reason for skipping a path that Python cannot decode."""


def find_files(root: Path, suffix: str | tuple[str, ...], undecodable: list[str] | None = None) -> Iterator[Path]:
    """Yield the files below a folder with a suffix, in the same order on every machine.

    The search follows links to folders and visits each folder once. It skips files with a leading dot (macOS writes
    `._name.wav` next to `name.wav`) and paths that are not UTF-8, which no table can contain.

    Args:
        root: folder to search.
        suffix: suffix or suffixes with the dot, e.g. `.wav`; the case does not matter.
        undecodable: list that receives the escaped paths that are not UTF-8; None prints a line about them.
    """
    seen = set()
    skipped: list[str] = [] if undecodable is None else undecodable
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
                skipped.append(escape_unprintable(path.relative_to(root).as_posix()))
    if skipped and undecodable is None:
        print_line(f"! {len(skipped)} file(s) below '{root}' are skipped, e.g. '{skipped[0]}': {NOT_UTF8}")


def _is_decodable(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def rank_suffix(path: Path) -> int:
    """Return the position of a suffix in `AUDIO_SUFFIXES`; other suffixes rank last."""
    suffix = path.suffix.lower()
    return AUDIO_SUFFIXES.index(suffix) if suffix in AUDIO_SUFFIXES else len(AUDIO_SUFFIXES)


def find_audio(root: Path, one_per_name: bool = False) -> tuple[list[Path], list[tuple[str, str]]]:
    """Find the files with sound below a folder, by suffix or by their first bytes.

    Args:
        root: folder to search.
        one_per_name: whether to use one of the files that differ only in their suffix, a lossless one if there is one.

    Returns:
        The files in the same order on every machine, and the skipped paths relative to the root with the reason.
    """
    found: list[Path] = []
    skipped: list[tuple[str, str]] = []
    undecodable: list[str] = []
    for path in find_files(root, "", undecodable):
        name = path.relative_to(root).as_posix()
        if rank_suffix(path) < len(AUDIO_SUFFIXES) or _has_sound(path):
            found.append(path)
        else:
            skipped.append((escape_unprintable(name), "not audio"))
    skipped += [(name, NOT_UTF8) for name in undecodable]
    if one_per_name:
        best: dict[str, Path] = {}
        for path in sorted(found, key=rank_suffix):
            used = best.setdefault(_remove_suffix(path), path)
            if used != path:
                reason = f"'{used.name}' of the same name is used instead"
                skipped.append((escape_unprintable(path.relative_to(root).as_posix()), reason))
        found = [path for path in found if best[_remove_suffix(path)] == path]
    return found, skipped


def _remove_suffix(path: Path) -> str:
    return unicodedata.normalize("NFC", str(path.with_suffix("")))


def _has_sound(path: Path) -> bool:
    try:
        if not path.is_file():  # opening a pipe would block
            return False
        with path.open("rb") as file:
            return looks_like_audio(file.read(512))
    except OSError:
        return False


def match_unicode_form(root: Path, paths: "pd.Series[str]") -> "pd.Series[str]":
    """Return paths in the Unicode form of the file system: `é` may be one character or two.

    Args:
        root: base folder of the paths.
        paths: paths of a table. Paths without a file stay unchanged. Shape (clips,).
    """
    if "".join(paths).isascii():
        return paths  # most corpora need no access to the disk
    found = (path.relative_to(root).as_posix() for path in find_files(root, ""))
    forms = {unicodedata.normalize("NFC", path): path for path in found if not path.isascii()}
    return paths.str.normalize("NFC").map(forms).fillna(paths)
