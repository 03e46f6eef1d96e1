"""A random augmentation that is drawn once for each clip, so that features of the result can be cached."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from seenet.core.seeds import AUGMENTATION, derive_seed
from seenet.corpora.folds import Fold
from seenet.corpora.manifest import Manifest
from seenet.corpora.waveform_store import WaveformStore
from seenet.data.augmentation.base import Augmentation
from seenet.data.batch import Batch
from seenet.data.batch_sampler import draw_partners
from seenet.data.conditions.base import TestCondition


class AugmentedCopy(TestCondition):
    """One draw of an augmentation for each training clip.

    It is no test condition, but caches treat both alike. The draws are a function of the names of corpus and clip and
    of the number of the copy: every seed and head reads the same copies. Partners are training clips of the fold.

    Args:
        augmentation: the augmentation.
        described: its settings as a JSON value.
        number: of the copy, 1 or more.
        manifest: the corpus.
        store: the waveforms of the corpus.
        partner: how partners are drawn, see `draw_partners`; None for an augmentation without partners.
    """

    def __init__(
        self,
        augmentation: Augmentation,
        described: Any,
        number: int,
        manifest: Manifest,
        store: WaveformStore,
        partner: Literal["uniform", "class_first"] | None = None,
    ):
        self._augmentation, self._number, self._store, self._partner = augmentation, number, store, partner
        self._names = [f"{manifest.name}/{name}" for name in manifest.column("utterance")]
        _, self._labels = np.unique(manifest.column("emotion").astype(str), return_inverse=True)
        self._pool: NDArray[np.int64] = np.zeros(0, np.int64)
        self.settings: Mapping[str, object] = {"augmentation": described, "copy": number}
        if partner is not None:
            labels = hashlib.blake2b(self._labels.tobytes(), digest_size=8).hexdigest()
            self.settings = {**self.settings, "partner": partner, "labels": labels}

    def for_fold(self, fold: Fold) -> "AugmentedCopy":
        """Return the copy with partners from the training part of a fold."""
        copy: AugmentedCopy = object.__new__(type(self))
        copy.__dict__ = {**self.__dict__, "_pool": np.sort(fold.train)}
        return copy

    def find_source_clips(self, fold: Fold) -> NDArray[np.int64] | None:
        """Return the rows from which partners come; None without partners."""
        return None if self._partner is None else np.sort(fold.train)

    def __call__(self, batch: Batch) -> Batch:
        """Augment clip by clip on the CPU: the draws of a clip do not depend on the other clips."""
        changed = [self._augment(batch, row) for row in range(len(batch))]
        lengths = torch.tensor([len(clip) for clip in changed])
        waveform = torch.nn.utils.rnn.pad_sequence(changed, batch_first=True)
        return replace(batch, waveform=waveform.to(batch.waveform), lengths=lengths.to(batch.lengths))

    def _augment(self, batch: Batch, row: int) -> torch.Tensor:
        """Return the valid samples of one changed clip. Shape (samples,)."""
        clip = int(batch.indices[row])
        name = int.from_bytes(hashlib.blake2b(self._names[clip].encode(), digest_size=8).digest(), "little")
        generator = torch.Generator().manual_seed(derive_seed(name, AUGMENTATION, self._number))
        length = batch.lengths[row : row + 1].cpu()
        parts = (batch.labels, batch.speakers, batch.genders, batch.indices)
        single = Batch(
            batch.waveform[row : row + 1, : int(length)].float().cpu(),
            length,
            *(values[row : row + 1].cpu() for values in parts),
        )
        if self._partner is not None:
            other = np.array([self._draw_partner(clip, np.random.default_rng([name, self._number]))])
            partner, partner_lengths = self._store.padded(other), self._store.lengths[other]
            single = replace(
                single, partner=torch.from_numpy(partner), partner_lengths=torch.from_numpy(partner_lengths)
            )
        out = self._augmentation(single, generator)
        return out.waveform[0, : int(out.lengths[0])]

    def _draw_partner(self, clip: int, rng: np.random.Generator) -> int:
        """Draw the row of another training clip of the fold."""
        assert self._partner is not None
        pool = np.union1d(self._pool, [clip])  # the clip may belong to the development part
        position = np.flatnonzero(pool == clip)
        return int(pool[draw_partners(position, self._labels[pool], self._partner, rng)[0]])
