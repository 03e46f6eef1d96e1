"""The emotion classifier: a plain nn.Module from waveforms to class probabilities."""

from typing import Protocol

from torch import Tensor, nn

from seenet.models.auxiliary.base import AuxiliaryTask

HEAD_STD = 0.02
"""Standard deviation of the main head's initial weights, as in the original; its biases start at 0."""


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
        num_classes: number of emotions.
    """

    def __init__(self, backbone: Backbone, pooling: nn.Module, auxiliary: AuxiliaryTask, num_classes: int):
        super().__init__()
        self.backbone, self.pooling, self.auxiliary = backbone, pooling, auxiliary
        self.head = nn.Linear(backbone.dim, num_classes)
        nn.init.normal_(self.head.weight, std=HEAD_STD)
        nn.init.zeros_(self.head.bias)

    def pool(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Return one vector per clip.

        Args:
            waveform: 16 kHz, full scale at 1, zero behind each clip. Shape (batch, samples).
            lengths: samples of each clip. Shape (batch,).

        Returns:
            Shape (batch, dim).
        """
        pooled: Tensor = self.pooling(*self.backbone(waveform, lengths))
        return pooled

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
