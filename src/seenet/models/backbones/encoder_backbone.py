"""The common base of the backbones that wrap an encoder of transformers."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn

from seenet.models.backbones.layer_selection import LayerSelection
from seenet.models.backbones.settings import portable_architecture


class EncoderBackbone(nn.Module, ABC):
    """Maps (waveform, lengths) to (frames, frame mask) through an encoder of transformers.

    Attributes:
        model: the encoder.
        freeze: whether the encoder stays in evaluation mode.
        selection: the layers that give the output.
        dim: width of a frame.
        hop: samples between frames.
        loaded_tensors: number of parameters that come from the checkpoint; 0 with random weights.
    """

    CHECKPOINT_SETTINGS: ClassVar[Sequence[str]]
    """Settings that a checkpoint's configuration decides where they are null."""

    model: Any
    freeze: bool
    selection: LayerSelection
    dim: int
    hop: int
    loaded_tensors: int

    def set_trained(self, freeze: bool) -> None:
        """Freeze the encoder if requested, and set the training mode.

        `from_pretrained` returns a model in evaluation mode, and Lightning keeps that mode.
        """
        self.freeze = freeze
        if freeze:
            self.model.requires_grad_(False)
        self.train()

    def portable_settings(self) -> dict[str, Any]:
        """Return settings that rebuild this architecture without its checkpoint."""
        return {"architecture": portable_architecture(self.model.config), **dict.fromkeys(self.CHECKPOINT_SETTINGS)}

    def train(self, mode: bool = True) -> Self:
        """Set the training mode; a frozen encoder stays in evaluation mode."""
        super().train(mode)
        if self.freeze:
            self.model.eval()
        return self

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the frames of each clip.

        Args:
            waveform: at 16 kHz; padding is ignored. Shape (batch, samples).
            lengths: valid samples. Shape (batch,).

        Returns:
            Frames, shape (batch, frames, dim), and their mask, shape (batch, frames), True if valid.

        Raises:
            SeenetError: a clip is longer than the encoder's positions.
        """
        hidden_states, mask = self.hidden_states(waveform, lengths)
        return self.combine(hidden_states), mask

    def combine(self, hidden_states: Sequence[Tensor] | Mapping[int, Tensor]) -> Tensor:
        """Return the frames of `forward` from hidden states by number; the selected ones suffice.

        Args:
            hidden_states: from `hidden_states`. Shape of each (batch, frames, dim).

        Returns:
            Shape (batch, frames, dim of the backbone).
        """
        frames: Tensor = self.selection(hidden_states)
        return frames

    @abstractmethod
    def hidden_states(self, waveform: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """Compute the input of the first transformer layer, then the output of each.

        The last one is the output of the encoder, after its last normalisation. Args and errors are those of `forward`.

        Returns:
            Hidden states, shape of each (batch, frames, dim), and the mask of the frames, shape (batch, frames).
        """

    def run_layers(
        self, layers: Iterable[nn.Module], hidden: Tensor, layerdrop: float = 0.0, **inputs: Any
    ) -> list[Tensor]:
        """Return the input of the first layer and the output of each; a layer that is skipped repeats its input.

        Args:
            layers: the transformer layers.
            hidden: shape (batch, positions, dim).
            layerdrop: probability of skipping a layer in training.
            inputs: further arguments of each layer.
        """
        states = [hidden]
        for layer in layers:
            if not (self.model.training and layerdrop > 0 and torch.rand(()) < layerdrop):
                hidden = layer(hidden, **inputs)
            states.append(hidden)
        return states


def additive_mask(valid: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the mask that transformers adds to the scores of attention.

    Args:
        valid: True for valid positions. Shape (batch, positions).
        dtype: of the scores.

    Returns:
        0 for valid positions, else the lowest number. Shape (batch, 1, 1, positions).
    """
    zeros = torch.zeros(valid.shape, dtype=dtype, device=valid.device)
    return zeros.masked_fill(~valid, torch.finfo(dtype).min)[:, None, None]
