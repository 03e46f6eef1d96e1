"""Parts of a fold whose batches hold cached features in place of the waveforms."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from seenet.data.batch import Batch, length_mask
from seenet.data.batch_sampler import Item
from seenet.data.conditions.base import TestCondition
from seenet.data.dataset import FoldPart
from seenet.features.extraction import read_batch
from seenet.features.hidden_states import HiddenStates, read_states, selected_layers


class _FeaturesPart(FoldPart):
    """A part of a fold whose batches hold features.

    Args:
        part: the clips.
        changes: what is done to the clips of each copy of the part; the copies follow one another.
        reads_waveforms: whether batches also hold waveforms; otherwise these have no samples.
    """

    def __init__(self, part: FoldPart, changes: Sequence[TestCondition | None], reads_waveforms: bool):
        self.__dict__.update(part.__dict__)
        self.indices = np.tile(part.indices, len(changes))
        for name in ("labels", "speakers", "genders"):
            setattr(self, name, getattr(part, name).repeat(len(changes)))
        self._changes, self._clips, self._reads_waveforms = changes, len(part), reads_waveforms

    def _read_waveforms(self, positions: list[int]) -> tuple[Tensor, Tensor]:
        rows = self.indices[positions]
        if not self._reads_waveforms:
            return torch.zeros(len(positions), 0), torch.from_numpy(self.store.lengths[rows])
        if not any(self._changes):
            return super()._read_waveforms(positions)
        clips = [
            read_batch(self.store, rows[n : n + 1], self._changes[position // self._clips])
            for n, position in enumerate(positions)
        ]
        waveform = pad_sequence([clip.waveform[0] for clip in clips], batch_first=True)
        return waveform, torch.cat([clip.lengths for clip in clips])


@dataclass(frozen=True, kw_only=True)
class StatesBatch(Batch):
    """Clips with hidden states of a frozen encoder.

    Attributes:
        states: of the layers that the backbone combines, half precision. Shape (batch, layers, frames, dim).
        frame_counts: valid frames of each clip. Shape (batch,).
    """

    states: Tensor
    frame_counts: Tensor

    def pooled_by(self, classifier: Any) -> Tensor:
        """Return the pooled vectors without the encoder. Shape (batch, dim)."""
        numbers, layers = selected_layers(classifier.backbone), self.states.float().unbind(1)
        frames = classifier.backbone.combine(dict(zip(numbers, layers, strict=True)))
        pooled: Tensor = classifier.pool_frames(frames, length_mask(self.frame_counts, frames.shape[1]), self.waveform)
        return pooled


class StatesPart(_FeaturesPart):
    """A part of a fold with the hidden states of its clips.

    Args:
        part: the clips.
        states: computed for them, for each copy of the part.
        reads_waveforms: whether pooling weighs frames by the level of the waveform.
    """

    def __init__(self, part: FoldPart, states: Sequence[HiddenStates], reads_waveforms: bool):
        super().__init__(part, [each.change for each in states], reads_waveforms)
        self._states = states

    def __getitems__(self, items: list[Item]) -> StatesBatch:
        """Return a padded batch."""
        batch = super().__getitems__(items)
        copies = [self._states[clip // self._clips] for clip, _ in items]
        states, counts = read_states(copies, batch.indices.tolist())
        return StatesBatch(**vars(batch), states=states, frame_counts=counts)


@dataclass(frozen=True, kw_only=True)
class VectorsBatch(Batch):
    """Clips with pooled vectors.

    Attributes:
        vectors: shape (batch, dim).
    """

    vectors: Tensor

    def pooled_by(self, classifier: Any) -> Tensor:
        """Return the pooled vectors. Shape (batch, dim)."""
        return self.vectors


class VectorsPart(_FeaturesPart):
    """A part of a fold with the pooled vectors of its clips.

    Args:
        part: the clips.
        vectors: of the clips in the order of the part, for each copy of the part. Shape (copies · clips, dim).
    """

    def __init__(self, part: FoldPart, vectors: NDArray[np.float32]):
        super().__init__(part, [None] * (len(vectors) // len(part)), reads_waveforms=False)
        self._vectors = torch.from_numpy(vectors)

    def __getitems__(self, items: list[Item]) -> VectorsBatch:
        """Return a padded batch."""
        return VectorsBatch(**vars(super().__getitems__(items)), vectors=self._vectors[[clip for clip, _ in items]])
