"""The Audio Spectrogram Transformer as backbone."""

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from seenet.core.errors import SeenetError
from seenet.data.batch import length_mask
from seenet.models.backbones.checkpoint_loading import load_encoder
from seenet.models.backbones.encoder_backbone import EncoderBackbone, additive_mask
from seenet.models.backbones.layer_selection import Combination, LayerSelection
from seenet.models.backbones.length_handling import pad_to
from seenet.models.backbones.log_mel import KaldiLogMel
from seenet.models.backbones.pretrained_weights import Weights
from seenet.models.backbones.settings import select_shares

CLASS_TOKENS = 2
"""Tokens before those of the patches: that of the class and that of distillation."""


class AstBackbone(EncoderBackbone):
    """The Audio Spectrogram Transformer (Gong et al., Interspeech 2021), which maps waveforms to frames.

    It reads patches of a log-mel spectrogram. A frame is the mean over frequency of the patches at one time: one frame
    per 100 ms with the stride of the published models. AST was trained on clips of 10.24 s, padded with zeros. Here a
    batch has the length of its longest clip, and attention excludes padding; `full_context` restores the 10.24 s. The
    frames of a clip do not depend on the other clips of its batch. Options that are None keep the value of the
    checkpoint's configuration.

    Args:
        family: `audio-spectrogram-transformer`.
        weights: source of the weights, from `resolve_weights`; without a source they are random.
        layers: layers that give the output; see `LayerSelection`.
        combine: how several layers are combined; see `LayerSelection`.
        freeze: whether to freeze the encoder and keep it in evaluation mode.
        full_context: whether to pad every clip to the length of the encoder's positions, as in its own training.
        mean: mean of the spectrogram, as in the checkpoint's feature extractor.
        std: standard deviation of the spectrogram, as in the checkpoint's feature extractor.
        hidden_dropout: dropout in the transformer layers.
        attention_dropout: dropout of attention weights.
        checkpointing: whether to use gradient checkpointing, which needs less memory and longer steps.
        architecture: settings of the transformers configuration for random weights.

    Raises:
        SeenetError: a share is outside [0, 1], the configuration refuses a setting, a layer does not exist, or the
            checkpoint does not fit the architecture.
    """

    CHECKPOINT_SETTINGS = ("hidden_dropout", "attention_dropout")

    def __init__(
        self,
        family: Literal["audio-spectrogram-transformer"],
        weights: Weights,
        layers: Literal["last", "all", "transformer"] | list[int] = "last",
        combine: Combination = "sum",
        freeze: bool = False,
        full_context: bool = False,
        mean: float = -4.2677393,
        std: float = 4.5689974,
        hidden_dropout: float | None = None,
        attention_dropout: float | None = None,
        checkpointing: bool = False,
        architecture: dict[str, Any] | None = None,
    ):
        super().__init__()
        if not std > 0:
            raise SeenetError(f"backbone.std={std}: expected a number above 0")
        shares = select_shares(hidden_dropout=hidden_dropout, attention_dropout=attention_dropout)
        names = {"hidden_dropout": "hidden_dropout_prob", "attention_dropout": "attention_probs_dropout_prob"}
        overrides = {names[name]: share for name, share in shares.items()}
        self.model, self.loaded_tensors = load_encoder(family, weights, overrides, architecture or {})
        config = self.model.config
        self.full_context, self.mean, self.std = full_context, mean, std
        self.hop = config.time_stride * KaldiLogMel.HOP
        self.log_mel = KaldiLogMel(config.num_mel_bins, "hann")
        self.selection = LayerSelection(layers, config.num_hidden_layers, combine)
        self.dim = config.hidden_size * self.selection.copies
        if checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.set_trained(freeze)

    def hidden_states(self, waveform: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """See `EncoderBackbone.hidden_states`; each is the mean over frequency."""
        config = self.model.config
        bands, positions = self.model.embeddings.get_shape(config)
        shortest = KaldiLogMel.WINDOW + (config.patch_size - 1) * KaldiLogMel.HOP
        waveform = torch.where(length_mask(lengths, waveform.shape[1]), waveform, 0)
        columns = KaldiLogMel.count_frames(lengths.clamp(min=shortest))
        levels = self._spectrogram(pad_to(waveform, shortest), columns)
        size = (levels.shape[1] - config.patch_size) // config.time_stride + 1
        if size > positions:
            seconds = config.max_length * KaldiLogMel.HOP / KaldiLogMel.RATE
            raise SeenetError(f"data.max_seconds: this encoder has positions for {seconds:g} s; take at most that")
        mask = length_mask((columns - config.patch_size).div(config.time_stride, rounding_mode="floor") + 1, size)
        frames = positions if self.full_context else size
        valid = torch.ones_like(mask[:, :1]).expand(-1, frames) if self.full_context else mask
        if self.full_context:
            levels = F.pad(levels, (0, 0, 0, config.max_length - levels.shape[1]))
        hidden = self._embed((levels - self.mean) / (2 * self.std), bands, frames)
        tokens = F.pad(valid.repeat(1, bands), (CLASS_TOKENS, 0), value=True)
        states = self.run_layers(self.model.layers, hidden, attention_mask=additive_mask(tokens, hidden.dtype))
        states[-1] = self.model.layernorm(states[-1])
        return [
            torch.unflatten(state[:, CLASS_TOKENS:], 1, (bands, frames)).mean(1)[:, :size] for state in states
        ], mask

    @torch.no_grad()
    def _spectrogram(self, waveform: Tensor, columns: Tensor) -> Tensor:
        """Return the spectrogram, which is 0 behind each clip. Shape (batch, columns, bins)."""
        levels = self.log_mel(waveform)
        return torch.where(length_mask(columns, levels.shape[1])[..., None], levels, 0)

    def _embed(self, levels: Tensor, bands: int, frames: int) -> Tensor:
        """Return the input of the first transformer layer. Shape (batch, class tokens + bands · frames, dim)."""
        embeddings = self.model.embeddings
        patches = embeddings.patch_embeddings(levels)
        places = embeddings.position_embeddings
        first = torch.cat([embeddings.cls_token, embeddings.distillation_token], 1) + places[:, :CLASS_TOKENS]
        places = torch.unflatten(places[:, CLASS_TOKENS:], 1, (bands, -1))[:, :, :frames].flatten(1, 2)
        hidden: Tensor = embeddings.dropout(torch.cat([first.expand(len(levels), -1, -1), patches + places], 1))
        return hidden
