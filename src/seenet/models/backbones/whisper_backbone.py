"""The encoder of Whisper as backbone."""

from typing import Any, Literal, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from seenet.core.errors import SeenetError
from seenet.data.batch import length_mask
from seenet.models.backbones.checkpoint_loading import load_encoder
from seenet.models.backbones.encoder_backbone import EncoderBackbone
from seenet.models.backbones.layer_selection import Combination, LayerSelection
from seenet.models.backbones.length_handling import pad_to
from seenet.models.backbones.log_mel import WhisperLogMel
from seenet.models.backbones.pretrained_weights import Weights
from seenet.models.backbones.settings import select_shares
from seenet.models.backbones.spec_augment import mask_spans

HOP = 2 * WhisperLogMel.HOP
"""Samples per frame: the second convolution has a stride of 2."""


class WhisperBackbone(EncoderBackbone):
    """The encoder of Whisper (Radford et al., ICML 2023), which maps (waveform, lengths) to (frames, frame mask).

    Whisper was trained on excerpts of 30 s, padded with silence. Here a batch has the length of its longest clip, and
    attention excludes padding; `full_context` restores the 30 s. The frames of a clip do not depend on the other clips
    of its batch. Options that are None keep the value of the checkpoint's configuration.

    Args:
        family: `whisper`.
        weights: source of the weights, from `resolve_weights`; without a source they are random. A decoder in the
            checkpoint is ignored.
        layers: layers that give the output; see `LayerSelection`.
        combine: how several layers are combined; see `LayerSelection`.
        freeze: whether to freeze the encoder and keep it in evaluation mode.
        full_context: whether to pad every clip to 30 s, as in Whisper's own training.
        dropout: dropout in the transformer layers.
        attention_dropout: dropout of attention weights.
        layerdrop: probability of skipping a transformer layer.
        mask_time_prob: share of spectrogram frames masked in training (SpecAugment).
        mask_feature_prob: share of mel bins masked in training.
        checkpointing: whether to use gradient checkpointing, which needs less memory and longer steps.
        architecture: settings of the transformers configuration for random weights.

    Raises:
        SeenetError: a share is outside [0, 1], the configuration refuses a setting, a layer does not exist, or the
            checkpoint does not fit the architecture.
    """

    CHECKPOINT_SETTINGS = ("dropout", "attention_dropout", "layerdrop", "mask_time_prob", "mask_feature_prob")

    def __init__(
        self,
        family: Literal["whisper"],
        weights: Weights,
        layers: Literal["last", "all", "transformer"] | list[int] = "last",
        combine: Combination = "sum",
        freeze: bool = False,
        full_context: bool = False,
        dropout: float | None = None,
        attention_dropout: float | None = None,
        layerdrop: float | None = None,
        mask_time_prob: float | None = None,
        mask_feature_prob: float | None = None,
        checkpointing: bool = False,
        architecture: dict[str, Any] | None = None,
    ):
        super().__init__()
        shares = select_shares(
            dropout=dropout,
            attention_dropout=attention_dropout,
            layerdrop=layerdrop,
            mask_time_prob=mask_time_prob,
            mask_feature_prob=mask_feature_prob,
        )
        if "layerdrop" in shares:
            shares["encoder_layerdrop"] = shares.pop("layerdrop")
        model, self.loaded_tensors = load_encoder(family, weights, shares, architecture or {})
        self.model = cast(WhisperEncoder, model)
        config = self.model.config
        if not config.apply_spec_augment:  # then the shares of the checkpoint are not in use
            config.mask_time_prob, config.mask_feature_prob = mask_time_prob or 0.0, mask_feature_prob or 0.0
        self.full_context, self.hop = full_context, HOP
        self.log_mel = WhisperLogMel(config.num_mel_bins)
        self.selection = LayerSelection(layers, config.encoder_layers, combine)
        self.dim: int = config.d_model * self.selection.copies
        if checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.set_trained(freeze)

    def hidden_states(self, waveform: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """Compute the input of the first transformer layer, then the output of each, the last one normalised.

        Args and errors are those of `forward`.

        Returns:
            Hidden states, shape of each (batch, frames, dim), and the mask of the frames, shape (batch, frames).
        """
        encoder, size = self.model, max(1, -(-waveform.shape[1] // HOP))
        positions = encoder.embed_positions.num_embeddings
        if size > positions:
            seconds = positions * HOP / WhisperLogMel.RATE
            raise SeenetError(
                f"data.max_seconds: this Whisper encoder has positions for {seconds:g} s; take at most that"
            )
        frames = positions if self.full_context else size
        mask = length_mask((lengths + HOP - 1).div(HOP, rounding_mode="floor").clamp(min=1), size)
        hidden = self._embed(self._spectrogram(waveform, lengths, frames), frames)
        valid = None if self.full_context else mask[:, None, None]
        states = self.run_layers(encoder.layers, hidden, encoder.layerdrop, attention_mask=valid)
        states[-1] = encoder.layer_norm(states[-1])
        return [state[:, :size] for state in states], mask

    def _spectrogram(self, waveform: Tensor, lengths: Tensor, frames: int) -> Tensor:
        """Return the log-mel spectrogram for a number of frames, shape (batch, bins, 2 · frames + 1).

        Zeros follow each clip, which makes its last frames independent of the padding of the batch. Without
        `full_context` one extra column is kept, because the convolutions would pad it with zeros.
        """
        waveform = torch.where(length_mask(lengths, waveform.shape[1]), waveform, 0)
        with torch.no_grad():
            spectrogram: Tensor = self.log_mel(pad_to(waveform, frames * HOP + 2 * WhisperLogMel.WINDOW))
        spectrogram = spectrogram[..., : 2 * frames + (0 if self.full_context else 1)]
        if self.model.training:
            columns = lengths.div(WhisperLogMel.HOP, rounding_mode="floor").clamp(min=1)
            zero = spectrogram.new_zeros(spectrogram.shape[1])
            spectrogram = mask_spans(spectrogram.transpose(1, 2), columns, self.model.config, zero).transpose(1, 2)
        return spectrogram

    def _embed(self, spectrogram: Tensor, frames: int) -> Tensor:
        """Return the input of the first transformer layer. Shape (batch, frames, dim)."""
        encoder = self.model
        hidden = F.gelu(encoder.conv2(F.gelu(encoder.conv1(spectrogram))))[..., :frames].transpose(1, 2)
        hidden = hidden + encoder.embed_positions.weight[:frames]
        return F.dropout(hidden, encoder.dropout, encoder.training)
