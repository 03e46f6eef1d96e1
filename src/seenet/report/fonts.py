"""Fonts for text in any script: installed fonts stand in for letters that matplotlib's own font lacks."""

import contextlib
import warnings
from collections.abc import Iterator
from functools import cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from seenet.console import say

DEFAULT = "DejaVu Sans"


@cache
def _letters(path: str) -> frozenset[int]:
    """Code points that a font file draws; none where it cannot be read."""
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a damaged font of the system draws nothing
        return frozenset()


@cache
def _fonts_for(letters: frozenset[int]) -> tuple[tuple[str, ...], frozenset[int]]:
    """Installed fonts that draw letters which the default font lacks, and the letters that none draws."""
    fonts, lacking = [], set(letters)
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda e: (e.style != "normal", e.name, e.fname)):
        if "LastResort" in entry.fname:  # which draws every letter as a box
            continue
        if lacking & (there := _letters(entry.fname)):
            fonts.append(entry.name)
            lacking -= there
        if not lacking:
            break
    if lacking:
        shown = "".join(map(chr, sorted(lacking)[:20]))
        say(
            f"! no installed font draws {shown}: PNG and PDF figures show boxes instead; "
            "install one (e.g. Noto Sans CJK) and write the report again"
        )
    return tuple(fonts), frozenset(lacking)


@contextlib.contextmanager
def drawable_text(figure: Figure) -> Iterator[bool]:
    """Prepare the text of a figure for being drawn: no mathematics between `$`, and fonts for every script.

    Args:
        figure: complete, before its layout is made; changed in place.

    Yields:
        Whether every letter is drawn. Where not, matplotlib's warnings about each glyph are silent.
    """
    for axes in figure.axes:  # tick labels are made when they are asked for
        axes.get_xticklabels()
        axes.get_yticklabels()
    texts = figure.findobj(Text)
    for text in texts:
        text.set_parse_math(False)
    letters = {ord(letter) for text in texts for letter in text.get_text() if not letter.isspace()}
    lacking = frozenset(letters - _letters(font_manager.findfont(DEFAULT)))
    fonts, undrawn = _fonts_for(lacking) if lacking else ((), frozenset())
    if fonts:
        for text in texts:
            text.set_fontfamily([DEFAULT, *fonts])
    with warnings.catch_warnings():
        if undrawn:
            warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield not undrawn
