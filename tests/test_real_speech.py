"""The page of results on real speech is the one that its figures give."""

import importlib
from pathlib import Path

import pytest


def test_page_shows_the_recorded_figures(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    script = importlib.import_module("real_speech")
    assert script.PAGE.read_text(encoding="utf-8") == script.build_page(), "run: python benchmarks/real_speech.py page"


def test_packed_results_name_no_folder_of_the_machine(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    script = importlib.import_module("real_speech")
    packed = script.without_paths('{"root": "/home/me/data/emodb", "name": "a/b", "rate": 1, "file": "wav/1.wav"}')
    assert packed == '{"root": "emodb", "name": "a/b", "rate": 1, "file": "wav/1.wav"}'
