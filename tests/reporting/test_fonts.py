"""Figures with letters that no installed font contains."""

import warnings
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from seenet.reporting import fonts


def test_figure_shows_code_points_when_no_font_has_a_letter(tmp_path: Path, monkeypatch, capsys):
    """PNG and PDF show an ASCII name of the code points, because empty boxes would hide the class."""
    manager = fonts.font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [font for font in manager.ttflist if font.name == fonts.DEFAULT])
    fonts._fonts_for.cache_clear()
    classes = ("生气", "难过", "calm")
    figure = Figure()
    axes, other = figure.subplots(1, 2)
    axes.barh(classes, [1, 2, 3])  # labels of categories
    other.set_yticks(range(3), classes)  # labels of positions
    axes.set_title("生")
    FigureCanvasAgg(figure)
    with warnings.catch_warnings(), fonts.drawable_text(figure) as undrawn:
        warnings.simplefilter("error")
        with fonts.spelled_out(figure, undrawn):
            figure.draw_without_rendering()
            for each in (axes, other):
                shown = [label.get_text() for label in each.get_yticklabels()]
                assert shown == ["U+751F U+6C14", "U+96BE U+8FC7", "calm"]
            assert axes.get_title() == "U+751F"
        assert [label.get_text() for label in axes.get_yticklabels()] == list(classes)
        assert axes.get_title() == "生"
    assert capsys.readouterr().out.count("no installed font draws") == 1
    fonts._fonts_for.cache_clear()
