"""What depends on the device, on a GPU: the checks of benchmarks/gpu_checks.py."""

import importlib
from pathlib import Path

import pytest
import torch

NAMES = ("loader", "augmentation", "masking", "attention", "precision", "resume", "compilation")


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    return importlib.import_module("gpu_checks")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no GPU")
@pytest.mark.parametrize("name", NAMES)
def test_check_passes_on_a_gpu(checks, name: str):
    checks.CHECKS[name](torch.device("cuda"))


@pytest.mark.parametrize("name", ["augmentation", "masking"])
def test_check_passes_on_the_cpu(checks, name: str):
    """The others run there in the slow test of benchmarks/gpu.sh."""
    checks.CHECKS[name](torch.device("cpu"))


def test_checks_fail_outside_their_tolerance(checks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    with pytest.raises(AssertionError, match="losses: nan, tolerance 0.1"):
        checks.require(float("nan"), 0.1, "losses")
    monkeypatch.setitem(checks.CHECKS, "masking", lambda device: {"share": checks.require(2.0, 1.0, "share")})
    assert checks.main("masking", tmp_path) == 1
    assert '"passed": false' in (tmp_path / "check_masking.json").read_text()
