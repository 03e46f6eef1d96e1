"""Stratified division of groups."""

import subprocess
import sys
import warnings

import numpy as np
import pytest

from seenet.corpora.stratification import divide_groups


@pytest.mark.parametrize("case", range(40))
def test_divide_groups_equals_scikit_learn(case: int):
    from sklearn.model_selection import StratifiedGroupKFold

    rng = np.random.default_rng(case)
    groups = 3 * rng.integers(0, rng.integers(3, 40), rng.integers(30, 400))
    labels = rng.integers(0, rng.integers(2, 8), len(groups))
    if case % 4 == 0:  # groups with labels of their own, and many ties
        labels = groups % 2
    parts, seed = int(rng.integers(2, min(6, len(np.unique(groups))) + 1)), int(rng.integers(0, 5))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        splitter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
        expected = [set(groups[test]) for _, test in splitter.split(groups, labels, groups)]
    assert [set(part) for part in divide_groups(parts, seed, labels, groups)] == expected


def test_speaker_folds_import_no_scikit_learn():
    """A training makes its folds before the first step; the import of scikit-learn takes a second."""
    code = """
import sys
import numpy as np
from seenet.corpora.split_schemes import stratify_groups
stratify_groups(2, 0, np.array([0, 1] * 6), np.repeat(np.arange(4), 3))
assert "sklearn" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
