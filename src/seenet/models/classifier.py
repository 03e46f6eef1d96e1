"""The emotion classifier: a plain nn.Module from waveforms to class probabilities."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor, nn

from seenet.models.auxiliary.base import AuxiliaryTask
from seenet.models.frame_level import level_weights


class Backbone(Protocol):
    """Waveforms (batch, samples) and lengths (batch,) to frames (batch, frames, dim) and their mask (batch, frames)."""

    dim: int

    def __call__(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a padded batch."""


class EmotionClassifier(nn.Module):
    """Backbone, pooling, main head and auxiliary task. It needs no Lightning, no corpus and no Hydra.

    Args:
        backbone: an `nn.Module` with the interface of `Backbone`.
        pooling: frames and mask to pooled vectors (batch, dim).
        auxiliary: the auxiliary task, which may change the prediction.
        head: the main head, from pooled vectors to logits (batch, classes).
        omits_frozen: whether `trained_state` omits the frozen parameters, which the weights of the backbone hold.
    """

    def __init__(
        self,
        backbone: Backbone,
        pooling: nn.Module,
        auxiliary: AuxiliaryTask,
        head: nn.Module,
        omits_frozen: bool = False,
    ):
        super().__init__()
        self.backbone, self.pooling, self.auxiliary, self.head = backbone, pooling, auxiliary, head
        self.omits_frozen = omits_frozen

    def trained_state(self) -> dict[str, Tensor]:
        """Return the tensors that a checkpoint of training holds, by name."""
        tensors: dict[str, Tensor] = self.state_dict()
        frozen = self.frozen_names()
        return {name: tensor for name, tensor in tensors.items() if name not in frozen}

    def frozen_names(self) -> set[str]:
        """Return the names of the parameters that `trained_state` omits."""
        return {name for name, p in self.named_parameters() if self.omits_frozen and not p.requires_grad}

    def load_trained_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Load the tensors of `trained_state`.

        Raises:
            RuntimeError: tensors of another model.
        """
        self.load_state_dict({**self.state_dict(), **tensors} if self.omits_frozen else dict(tensors))

    def pool(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Return one vector per clip.

        Args:
            waveform: 16 kHz, full scale at 1, zero behind each clip. Shape (batch, samples).
            lengths: samples of each clip. Shape (batch,).

        Returns:
            Shape (batch, dim).
        """
        frames, mask = self.backbone(waveform, lengths)
        return self.pool_frames(frames, mask, waveform)

    def pool_frames(self, frames: Tensor, mask: Tensor, waveform: Tensor) -> Tensor:
        """Pool frames to one vector per clip.

        Args:
            frames: shape (batch, frames, dim).
            mask: True where valid. Shape (batch, frames).
            waveform: zero behind each clip. Shape (batch, samples).

        Returns:
            Shape (batch, dim of a pooled vector).
        """
        range_db, hop = getattr(self.pooling, "range_db", None), getattr(self.backbone, "hop", None)
        if range_db is None or hop is None:
            pooled: Tensor = self.pooling(frames, mask)
            return pooled
        weighted: Tensor = self.pooling(frames, mask, level_weights(waveform, mask, hop, range_db))
        return weighted

    def logits(self, pooled: Tensor) -> Tensor:
        """Return the main head's logits of pooled vectors, float32. Shape (batch, classes)."""
        logits: Tensor = self.head(pooled)
        return logits.float()

    def classify(self, pooled: Tensor) -> Tensor:
        """Return class probabilities of pooled vectors, with the auxiliary task's share. Shape (batch, classes)."""
        return self.auxiliary.predict(self.logits(pooled).softmax(dim=1), pooled)

    def forward(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Return class probabilities. Shape (batch, classes); arguments as of `pool`."""
        return self.classify(self.pool(waveform, lengths))
