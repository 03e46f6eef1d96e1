"""Clips as they were recorded."""

from collections.abc import Mapping

from seenet.corpora.manifest import Manifest
from seenet.corpora.waveform_store import Store
from seenet.data.batch import Batch
from seenet.data.conditions.base import Noise


class Clean(Noise):
    """Adds nothing.

    Args:
        manifest: the corpus that is tested.
        store: its waveforms.
    """

    def __init__(self, manifest: Manifest, store: Store):
        self.settings: Mapping[str, object] = {}

    def __call__(self, batch: Batch) -> Batch:
        """The same batch."""
        return batch
