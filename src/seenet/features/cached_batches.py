"""Parts of a fold whose batches hold cached features in place of the waveforms."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seenet.data.batch import Batch, length_mask
from seenet.data.batch_sampler import Item
from seenet.data.dataset import FoldPart
from seenet.features.hidden_states import HiddenStates, selected_layers


class _FeaturesPart(FoldPart):
    """A part of a fold whose batches hold features.

    Args:
        part: the clips.
        reads_waveforms: whether batches also hold waveforms; otherwise these have no samples.
    """

    def __init__(self, part: FoldPart, reads_waveforms: bool):
        self.__dict__.update(part.__dict__)
        self._reads_waveforms = reads_waveforms

    def _read_waveforms(self, positions: list[int]) -> tuple[Tensor, Tensor]:
        if self._reads_waveforms:
            return super()._read_waveforms(positions)
        return torch.zeros(len(positions), 0), torch.from_numpy(self.lengths[positions])


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
        states: computed for them.
        reads_waveforms: whether pooling weighs frames by the level of the waveform.
    """

    def __init__(self, part: FoldPart, states: HiddenStates, reads_waveforms: bool):
        super().__init__(part, reads_waveforms)
        self._states = states

    def __getitems__(self, items: list[Item]) -> StatesBatch:
        """Return a padded batch."""
        batch = super().__getitems__(items)
        states, counts = self._states.read(batch.indices.numpy())
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
        vectors: of the clips in the order of the part. Shape (clips, dim).
    """

    def __init__(self, part: FoldPart, vectors: NDArray[np.float32]):
        super().__init__(part, reads_waveforms=False)
        self._vectors = torch.from_numpy(vectors)

    def __getitems__(self, items: list[Item]) -> VectorsBatch:
        """Return a padded batch."""
        return VectorsBatch(**vars(super().__getitems__(items)), vectors=self._vectors[[clip for clip, _ in items]])
