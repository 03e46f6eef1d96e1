"""Checks of benchmarks/gpu_checks.py on a GPU."""

import importlib
import json
from pathlib import Path

import pytest
import torch

from seenet.models.backbones.fast_dropout import apply_dropout


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    return importlib.import_module("gpu_checks")


@pytest.mark.cuda
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
@pytest.mark.parametrize(
    "name",
    ["loader", "augmentation", "masking", "attention", "precision", "resume", "waiting", "memory", "compilation"],
)
def test_check_passes_on_a_gpu(checks, name: str):
    figures = checks.Figures()
    checks.CHECKS[name](torch.device("cuda"), figures)
    assert not figures.failures


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
def test_dropout_by_seed_is_the_same_twice_on_a_gpu():
    values = torch.ones(1000, 7, device="cuda")
    first, second = apply_dropout(values, 0.3, seed=5), apply_dropout(values, 0.3, seed=5)
    assert torch.equal(first, second)
    assert 0.6 < float((first > 0).float().mean()) < 0.8


@pytest.mark.parametrize("name", ["environment", "loader", "augmentation", "masking", "attention"])
def test_check_passes_on_the_cpu(checks, name: str):
    """The slow test of benchmarks/gpu.sh runs the other checks on the CPU."""
    figures = checks.Figures()
    checks.CHECKS[name](torch.device("cpu"), figures)
    assert not figures.failures


def test_check_keeps_every_figure_when_one_is_outside_its_tolerance(checks, tmp_path: Path, monkeypatch, capsys):
    def two(device: torch.device, figures) -> None:
        figures.add_limited("loss", float("nan"), 0.1)
        figures.add_limited("share", 0.5, 1.0)

    monkeypatch.setitem(checks.CHECKS, "masking", two)
    assert checks.main("masking", tmp_path) == 1
    record = json.loads((tmp_path / "check_masking.json").read_text())
    assert record["failures"] == ["loss: nan, tolerance 0.1"]
    assert record["passed"] is False
    assert record["figures"]["share"] == 0.5
    assert record["versions"]["torch"] == torch.__version__
    assert "FAILED masking on cpu" in capsys.readouterr().out


def test_interrupted_check_keeps_its_figures(checks, tmp_path: Path, monkeypatch):
    def cut_off(device: torch.device, figures) -> None:
        figures.add_limited("share", 0.5, 1.0)
        raise KeyboardInterrupt

    monkeypatch.setitem(checks.CHECKS, "masking", cut_off)
    with pytest.raises(KeyboardInterrupt):
        checks.main("masking", tmp_path)
    record = json.loads((tmp_path / "check_masking.json").read_text())
    assert record["figures"] == {"share": 0.5}
    assert record["passed"] is None
