"""Clips as they were recorded."""

from collections.abc import Mapping

from seenet.corpora.manifest import Manifest
from seenet.corpora.waveform_store import WaveformStore
from seenet.data.batch import Batch
from seenet.data.conditions.base import TestCondition


class Clean(TestCondition):
    """Adds nothing.

    Args:
        manifest: the corpus that is tested.
        store: its waveforms.
    """

    def __init__(self, manifest: Manifest, store: WaveformStore):
        self.settings: Mapping[str, object] = {}

    def __call__(self, batch: Batch) -> Batch:
        """The same batch."""
        return batch
