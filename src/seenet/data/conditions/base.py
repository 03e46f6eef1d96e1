"""The contract of a test condition."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from omegaconf import DictConfig

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.folds import Fold
from seenet.corpora.manifest import Manifest
from seenet.corpora.waveform_store import WaveformStore
from seenet.data.batch import Batch
from seenet.data.conditions.noise_sources import require_noise_source


class TestCondition(ABC):
    """A change to the clips of a test fold. It never touches training, so it never retrains.

    Attributes:
        settings: JSON values that tell one condition from another of the same name.
        remark: what every result made so must say; empty when nothing needs saying.
    """

    settings: Mapping[str, object]
    remark: str = ""

    def for_fold(self, fold: Fold) -> "TestCondition":
        """The condition for the test part of one fold; most are the same for all folds.

        Args:
            fold: whose test clips are changed.

        Raises:
            SeenetError: the noise cannot be made without clips of the test part.
        """
        return self

    @abstractmethod
    def __call__(self, batch: Batch) -> Batch:
        """The batch as the model hears it; a function of each clip alone, the same in every run."""


def build_conditions(node: DictConfig, manifest: Manifest, store: WaveformStore) -> dict[str, TestCondition]:
    """Every test condition that `noise` names, in the order of the configuration.

    Args:
        node: its `conditions` hold one target each, by name.
        manifest: the corpus that is tested.
        store: its waveforms.

    Raises:
        SeenetError: no condition, or a setting that its target does not have.
    """
    conditions = node.get("conditions")
    if not conditions:
        raise SeenetError("noise names no condition; a YAML file of conf/noise holds some under 'conditions:'")
    require_noise_source(node.get("source", "white"))  # no condition need use it, nor the seed
    seed = node.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise SeenetError(f"noise.seed={seed}: expected a whole number, 0 or more")
    return {
        name: instantiate_checked(each, f"noise.conditions.{name}", manifest=manifest, store=store)
        for name, each in conditions.items()
    }
