"""Fixtures: fabricated results and a report on them."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.manifold import TSNE

from seenet.reporting.html_report import write_report
from support.fabricated_results import fabricate_results
from support.quick_pictures import QuickPictures


@pytest.fixture(scope="session")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of three arms, two seeds and three folds of 24 speakers, clean and in noise."""
    folder = tmp_path_factory.mktemp("fabricated") / "outputs"
    fabricate_results(folder, seeds=(0, 1), snrs=(0, 10, 20))
    return folder


@pytest.fixture(scope="session")
def report(outputs: Path, quick_pictures: QuickPictures) -> Path:
    """The folder of a report on `outputs`, complete: with drawn pictures and t-SNE."""
    with quick_pictures.drawn():
        return write_report([outputs], outputs / "report").parent


@pytest.fixture(autouse=True)
def quick_projection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace t-SNE by two columns of the vectors in reports that a test writes itself."""
    monkeypatch.setattr(TSNE, "fit_transform", lambda projection, vectors: vectors[:, :2].astype(np.float32))
