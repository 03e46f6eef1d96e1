"""Export of report figures: PNG and PDF files, and SVG for the page."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from seenet.core.atomic import atomic_path
from seenet.reporting.fonts import prepare_text, replace_missing_glyphs

# Without dates, equal results give equal bytes.
METADATA = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}
PNG_PDF_DPI = 150


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        name: the name of its files without suffix.
        caption: the text below the figure.
        alt: the alternative text for readers who cannot see the figure.
        uri: the SVG image as a data URI.
    """

    name: str
    caption: str
    alt: str
    uri: str


def save_figure(figure: Figure, folder: Path, name: str, caption: str, alt: str) -> Picture:
    """Write `<name>.png` and `<name>.pdf` and return the figure as SVG for the page."""
    FigureCanvasAgg(figure)
    with prepare_text(figure) as missing_glyphs:
        with replace_missing_glyphs(figure, missing_glyphs):
            figure.draw_without_rendering()
            figure.set_layout_engine("none")  # one layout for all formats
            for kind in ("png", "pdf"):
                _render(figure, folder / f"{name}.{kind}", kind)
        # A browser may have fonts that this machine lacks; for it the SVG keeps text instead of outlines.
        buffer = io.BytesIO()
        _render(figure, buffer, "svg", font_type="none" if missing_glyphs else "path")
    uri = "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Picture(name, caption, alt, uri)


def _render(figure: Figure, target: Path | io.BytesIO, kind: str, font_type: str = "path") -> None:
    """Write one format of a figure to a file or a buffer; `font_type` is the `svg.fonttype` of matplotlib."""
    options: dict[str, Any] = {"format": kind, "metadata": METADATA[kind]}
    if kind != "svg":
        options["dpi"] = PNG_PDF_DPI
    with matplotlib.rc_context({"svg.hashsalt": "seenet", "svg.fonttype": font_type, "path.simplify_threshold": 0.5}):
        if isinstance(target, Path):
            with atomic_path(target) as path:
                figure.savefig(path, **options)
        else:
            figure.savefig(target, **options)
