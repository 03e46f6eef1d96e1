"""The condition without noise."""

from collections.abc import Mapping

from seenet.corpora.manifest import Manifest
from seenet.corpora.waveform_store import WaveformStore
from seenet.data.batch import Batch
from seenet.data.conditions.base import TestCondition


class Clean(TestCondition):
    """A condition that changes nothing.

    Args:
        manifest: the test corpus.
        store: the waveforms of the corpus.
    """

    def __init__(self, manifest: Manifest, store: WaveformStore):
        self.settings: Mapping[str, object] = {}

    def __call__(self, batch: Batch) -> Batch:
        """Return the same batch."""
        return batch
