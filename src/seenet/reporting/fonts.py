"""Fonts for text in any script.

Installed fonts draw the characters that matplotlib's default font lacks.
"""

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

DEFAULT_FONT = "DejaVu Sans"


@cache
def _read_code_points(path: str) -> frozenset[int]:
    """Return the code points that a font file contains; none if the file is unreadable."""
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # a damaged system font must not stop the report
        return frozenset()


@cache
def find_fallback_fonts(code_points: frozenset[int]) -> tuple[tuple[str, ...], frozenset[int]]:
    """Return installed fonts for code points, and the code points without a font."""
    fonts, missing = [], set(code_points)
    for entry in sorted(font_manager.fontManager.ttflist, key=lambda e: (e.style != "normal", e.name, e.fname)):
        if "LastResort" in entry.fname:  # draws every character as a box
            continue
        if missing & (available := _read_code_points(entry.fname)):
            fonts.append(entry.name)
            missing -= available
        if not missing:
            break
    if missing:
        shown = "".join(map(chr, sorted(missing)[:20]))
        print_line(
            f"! no installed font draws {shown}: PNG and PDF figures show code points (U+…) instead; "
            "install one (e.g. Noto Sans CJK) and write the report again"
        )
    return tuple(fonts), frozenset(missing)


@contextlib.contextmanager
def prepare_text(figure: Figure) -> Iterator[frozenset[int]]:
    """Switch off math mode and choose fonts for every text of a figure.

    Args:
        figure: complete, but without layout; changed in place.

    Yields:
        Code points that no installed font contains. The context silences matplotlib's warnings about them.
    """
    for axes in figure.axes:  # matplotlib creates tick labels on request
        axes.get_xticklabels()
        axes.get_yticklabels()
    texts = figure.findobj(Text)
    for text in texts:
        text.set_parse_math(False)
    used = {ord(letter) for text in texts for letter in text.get_text() if not letter.isspace()}
    outside_default = frozenset(used - _read_code_points(font_manager.findfont(DEFAULT_FONT)))
    fonts, missing = find_fallback_fonts(outside_default) if outside_default else ((), frozenset())
    if fonts:
        for text in texts:
            text.set_fontfamily([DEFAULT_FONT, *fonts])
    with warnings.catch_warnings():
        if missing:
            warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
        yield missing


@contextlib.contextmanager
def replace_missing_glyphs(figure: Figure, missing: frozenset[int]) -> Iterator[None]:
    """Replace characters without a font by code points such as `U+751F`.

    Otherwise identical boxes would hide the names of classes.

    Args:
        figure: changed until the context ends.
        missing: code points that no installed font contains.
    """
    if not missing:
        yield
        return

    def spell(text: str) -> str:
        return "".join(f"U+{ord(letter):04X} " if ord(letter) in missing else letter for letter in text).strip()

    axes = [axis for each in figure.axes for axis in (each.xaxis, each.yaxis)]
    formatters = [axis.get_major_formatter() for axis in axes]  # they rewrite tick labels at each drawing
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
