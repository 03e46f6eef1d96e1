"""Fonts for text in any script: installed fonts stand in for letters that matplotlib's own font lacks."""

import contextlib
import warnings
from collections.abc import Iterator
from functools import cache

from matplotlib import font_manager
from matplotlib.category import StrCategoryFormatter
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FuncFormatter

from seenet.core.console import print_line

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
        print_line(
            f"! no installed font draws {shown}: PNG and PDF figures show code points (U+…) instead; "
            "install one (e.g. Noto Sans CJK) and write the report again"
        )
    return tuple(fonts), frozenset(lacking)


@contextlib.contextmanager
def drawable_text(figure: Figure) -> Iterator[frozenset[int]]:
    """Prepare the text of a figure for being drawn: no mathematics between `$`, and fonts for every script.

    Args:
        figure: complete, before its layout is made; changed in place.

    Yields:
        Code points that no installed font draws. Matplotlib's warnings about each of them are silent.
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
        yield undrawn


@contextlib.contextmanager
def spelled_out(figure: Figure, undrawn: frozenset[int]) -> Iterator[None]:
    """Replace letters that no font draws by their code points: equal boxes would hide which class is which.

    Args:
        figure: changed until the context ends.
        undrawn: code points that no font draws.
    """
    if not undrawn:
        yield
        return

    def spell(text: str) -> str:
        return "".join(f"U+{ord(letter):04X} " if ord(letter) in undrawn else letter for letter in text).strip()

    axes = [axis for each in figure.axes for axis in (each.xaxis, each.yaxis)]
    formatters = [axis.get_major_formatter() for axis in axes]  # which write the text of ticks at each drawing
    texts = [(text, text.get_text()) for text in figure.findobj(Text)]
    for text, original in texts:
        text.set_text(spell(original))
    for axis, formatter in zip(axes, formatters, strict=True):
        if isinstance(formatter, FixedFormatter | FuncFormatter | StrCategoryFormatter):
            axis.set_major_formatter(FuncFormatter(lambda x, pos, f=formatter: spell(f(x, pos))))
    try:
        yield
    finally:
        for axis, formatter in zip(axes, formatters, strict=True):
            if axis.get_major_formatter() is not formatter:
                axis.set_major_formatter(formatter)
        for text, original in texts:
            text.set_text(original)
