"""Pictures that are written without being drawn, for tests that are not about pictures."""

import base64
import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

CONTENT = {
    "png": base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    ),
    "pdf": b"%PDF-1.4\n%%EOF\n",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
}
"""A picture of one pixel or less in each format."""


def _write(target: str | Path | io.BytesIO, kind: str) -> None:
    if isinstance(target, io.BytesIO):
        target.write(CONTENT[kind])
    else:
        Path(target).write_bytes(CONTENT[kind])


class QuickPictures:
    """Replaces what draws and encodes the figures of matplotlib; figures are composed as usual."""

    def __init__(self) -> None:
        self._patches = [
            mock.patch.object(FigureCanvasAgg, "print_png", lambda canvas, target, **_: _write(target, "png")),
            mock.patch.object(Figure, "savefig", lambda figure, target, format, **_: _write(target, format)),
            mock.patch.object(Figure, "draw_without_rendering", lambda figure: None),
        ]

    def start(self) -> None:
        """Replace the drawing."""
        for patch in self._patches:
            patch.start()

    def stop(self) -> None:
        """Draw again."""
        for patch in self._patches:
            patch.stop()

    @contextlib.contextmanager
    def drawn(self) -> Iterator[None]:
        """Draw within this context."""
        self.stop()
        try:
            yield
        finally:
            self.start()
