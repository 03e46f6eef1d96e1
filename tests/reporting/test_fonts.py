"""Fonts: glyphs that no installed font has."""

import warnings

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from seenet.reporting import fonts


def test_figure_shows_code_points_when_no_font_has_the_glyphs(drawn_pictures, monkeypatch, capsys):
    """Identical boxes would hide the class names, so PNG and PDF show code points."""
    manager = fonts.font_manager.fontManager
    monkeypatch.setattr(manager, "ttflist", [font for font in manager.ttflist if font.name == fonts.DEFAULT_FONT])
    fonts.find_fallback_fonts.cache_clear()
    classes = ("生气", "难过", "calm")
    figure = Figure()
    axes, other = figure.subplots(1, 2)
    axes.barh(classes, [1, 2, 3])  # category labels
    other.set_yticks(range(3), classes)  # position labels
    axes.set_title("生")
    FigureCanvasAgg(figure)
    with warnings.catch_warnings(), fonts.prepare_text(figure) as missing:
        warnings.simplefilter("error")
        with fonts.replace_missing_glyphs(figure, missing):
            figure.draw_without_rendering()
            for each in (axes, other):
                shown = [label.get_text() for label in each.get_yticklabels()]
                assert shown == ["U+751F U+6C14", "U+96BE U+8FC7", "calm"]
            assert axes.get_title() == "U+751F"
        assert [label.get_text() for label in axes.get_yticklabels()] == list(classes)
        assert axes.get_title() == "生"
    assert capsys.readouterr().out.count("no installed font draws") == 1
    fonts.find_fallback_fonts.cache_clear()
