"""Fixtures: fabricated results and a report on them."""

from pathlib import Path

import pytest

from seenet.reporting.html_report import write_report
from support.fabricated_results import fabricate_results


@pytest.fixture(scope="session")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of three arms, two seeds and three folds of 24 speakers, clean and in noise."""
    folder = tmp_path_factory.mktemp("fabricated") / "outputs"
    fabricate_results(folder, seeds=(0, 1), snrs=(0, 10, 20))
    return folder


@pytest.fixture(scope="session")
def report(outputs: Path) -> Path:
    """The folder of a report on `outputs`."""
    return write_report([outputs], outputs / "report").parent
