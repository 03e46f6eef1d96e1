"""The dataset of one part of a fold, which returns complete batches."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from seenet.corpora.manifest import Manifest
from seenet.corpora.split_schemes import Indices
from seenet.corpora.waveform_store import WaveformStore
from seenet.data.batch import Batch
from seenet.data.batch_sampler import Item

GENDERS = {"female": 0, "male": 1}
"""Number of each gender in a batch."""


def _encode(values: NDArray[Any], numbers: dict[str, int]) -> torch.Tensor:
    """Map each value to its number, or to -1 if it has none. Shape (clips,), int64."""
    return torch.from_numpy(pd.Series(values).map(numbers).fillna(-1).to_numpy(np.int64))


class FoldPart(Dataset[Batch]):
    """The training, development or test part of a fold.

    Args:
        manifest: the corpus.
        store: the waveforms of the corpus.
        indices: rows of the part in the manifest. Shape (clips,).
        classes: class names in order.
    """

    def __init__(self, manifest: Manifest, store: WaveformStore, indices: Indices, classes: tuple[str, ...]):
        self.store, self.indices = store, indices
        self.labels = _encode(manifest.column("emotion")[indices], {c: n for n, c in enumerate(classes)})
        self.speakers = torch.from_numpy(manifest.codes("speaker")[indices])
        self.genders = _encode(manifest.column("gender")[indices], GENDERS)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of samples of each clip. Shape (clips,)."""
        return self.store.lengths[self.indices]

    def __len__(self) -> int:
        return len(self.indices)

    def _read_waveforms(self, positions: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = self.indices[positions]
        return torch.from_numpy(self.store.padded(rows)), torch.from_numpy(self.store.lengths[rows])

    def __getitems__(self, items: list[Item]) -> Batch:
        """Return a padded batch of clips, with partners if the items name them."""
        positions = [clip for clip, _ in items]
        partners = [partner for _, partner in items]
        waveform, lengths = self._read_waveforms(positions)
        partner, partner_lengths = (None, None) if partners[0] < 0 else self._read_waveforms(partners)
        return Batch(
            waveform=waveform,
            lengths=lengths,
            labels=self.labels[positions],
            speakers=self.speakers[positions],
            genders=self.genders[positions],
            indices=torch.from_numpy(self.indices[positions]),
            partner=partner,
            partner_lengths=partner_lengths,
        )

    def __getitem__(self, item: Item) -> Batch:
        """Return a batch of one clip."""
        return self.__getitems__([item])
