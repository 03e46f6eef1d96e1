"""Base class of test conditions, and their construction from `noise` in the configuration."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.folds import Fold
from seenet.corpora.manifest import Manifest
from seenet.corpora.waveform_store import WaveformStore
from seenet.data.batch import Batch
from seenet.data.conditions.noise_sources import require_noise_source


class TestCondition(ABC):
    """A change to the clips of a test part, which never affects training.

    Attributes:
        settings: JSON values that distinguish conditions of the same name.
        remark: a reservation that every result under this condition records; empty if there is none.
    """

    settings: Mapping[str, object]
    remark: str = ""

    def for_fold(self, fold: Fold) -> "TestCondition":
        """Return the condition for the test part of one fold; by default the same one.

        Args:
            fold: the fold to test.

        Raises:
            SeenetError: only clips of the test part could provide the noise.
        """
        return self

    def find_source_clips(self, fold: Fold) -> NDArray[np.int64] | None:
        """Return the rows of other clips from which the condition takes noise; None if it takes none.

        Caches of features depend on them. By default these are all clips of the fold where `for_fold` depends on it.

        Args:
            fold: the fold to test.
        """
        if type(self).for_fold is TestCondition.for_fold:
            return None
        return np.concatenate([fold.train, fold.dev, fold.test])

    @abstractmethod
    def __call__(self, batch: Batch) -> Batch:
        """Return the changed batch: a function of each clip alone, equal in every run."""


def build_conditions(node: DictConfig, manifest: Manifest, store: WaveformStore) -> dict[str, TestCondition]:
    """Build every test condition that `noise` names, in the order of the configuration.

    Args:
        node: the `noise` group; its `conditions` hold one target per name.
        manifest: the test corpus.
        store: the waveforms of the corpus.

    Raises:
        SeenetError: there is no condition, or a target does not accept a setting.
    """
    conditions = node.get("conditions")
    if not conditions:
        raise SeenetError("noise names no condition; choose a file of conf/noise that lists some under 'conditions:'")
    require_noise_source(node.get("source", "white"))  # checked here because conditions may ignore source and seed
    seed = node.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise SeenetError(f"noise.seed={seed}: expected an integer, 0 or more")
    return {
        name: instantiate_checked(each, f"noise.conditions.{name}", manifest=manifest, store=store)
        for name, each in conditions.items()
    }
