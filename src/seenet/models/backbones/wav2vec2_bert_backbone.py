"""w2v-BERT 2.0 as backbone."""

from typing import Any, Literal

import torch
from torch import Tensor

from seenet.data.batch import length_mask
from seenet.models.backbones.checkpoint_loading import load_encoder
from seenet.models.backbones.encoder_backbone import EncoderBackbone, additive_mask
from seenet.models.backbones.layer_selection import Combination, LayerSelection
from seenet.models.backbones.length_handling import forget_positions, pad_to, require_no_adapter
from seenet.models.backbones.log_mel import KaldiLogMel
from seenet.models.backbones.pretrained_weights import Weights
from seenet.models.backbones.settings import select_shares
from seenet.models.backbones.spec_augment import mask_spans

STACKED = 2
"""Columns of the spectrogram that one frame joins."""

SHORTEST = KaldiLogMel.WINDOW + (STACKED - 1) * KaldiLogMel.HOP
"""Samples of the shortest clip with a frame."""


class Wav2Vec2BertBackbone(EncoderBackbone):
    """w2v-BERT 2.0 (Barrault et al., *Seamless*, 2023), which maps (waveform, lengths) to (frames, frame mask).

    The input is a log-mel spectrogram, normalised for each clip and bin as its feature extractor does. The frames of a
    clip, of 20 ms, do not depend on the other clips of its batch. Options that are None keep the value of the
    checkpoint's configuration.

    Args:
        family: `wav2vec2-bert`.
        weights: source of the weights, from `resolve_weights`; without a source they are random.
        layers: layers that give the output; see `LayerSelection`.
        combine: how several layers are combined; see `LayerSelection`.
        freeze: whether to freeze the encoder and keep it in evaluation mode.
        hidden_dropout: dropout in the transformer layers.
        attention_dropout: dropout of attention weights.
        feat_proj_dropout: dropout before the transformer.
        layerdrop: probability of skipping a transformer layer.
        mask_time_prob: share of frames masked in training (SpecAugment).
        mask_feature_prob: share of channels masked in training.
        checkpointing: whether to use gradient checkpointing, which needs less memory and longer steps.
        architecture: settings of the transformers configuration for random weights.

    Raises:
        SeenetError: a share is outside [0, 1], the configuration refuses a setting, a layer does not exist, or the
            checkpoint does not fit the architecture.
    """

    CHECKPOINT_SETTINGS = (
        *("hidden_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop"),
        *("mask_time_prob", "mask_feature_prob"),
    )

    def __init__(
        self,
        family: Literal["wav2vec2-bert"],
        weights: Weights,
        layers: Literal["last", "all", "transformer"] | list[int] = "last",
        combine: Combination = "sum",
        freeze: bool = False,
        hidden_dropout: float | None = None,
        attention_dropout: float | None = None,
        feat_proj_dropout: float | None = None,
        layerdrop: float | None = None,
        mask_time_prob: float | None = None,
        mask_feature_prob: float | None = None,
        checkpointing: bool = False,
        architecture: dict[str, Any] | None = None,
    ):
        super().__init__()
        shares = select_shares(
            hidden_dropout=hidden_dropout,
            attention_dropout=attention_dropout,
            feat_proj_dropout=feat_proj_dropout,
            layerdrop=layerdrop,
            mask_time_prob=mask_time_prob,
            mask_feature_prob=mask_feature_prob,
        )
        self.model, self.loaded_tensors = load_encoder(family, weights, shares, architecture or {})
        config = self.model.config
        require_no_adapter(config)
        if not config.apply_spec_augment:  # then the shares of the checkpoint are not in use
            config.mask_time_prob, config.mask_feature_prob = mask_time_prob or 0.0, mask_feature_prob or 0.0
        self.model.set_attn_implementation("eager")  # the others drop the position bias or build it in full, too
        self.hop = STACKED * KaldiLogMel.HOP
        self.log_mel = KaldiLogMel(config.feature_projection_input_dim // STACKED, "povey", scale=2.0**15)
        self.selection = LayerSelection(layers, config.num_hidden_layers, combine)
        self.dim = config.hidden_size * self.selection.copies
        if checkpointing:
            self.model.gradient_checkpointing_enable({"use_reentrant": False})
        self.set_trained(freeze)

    def hidden_states(self, waveform: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """See `EncoderBackbone.hidden_states`."""
        encoder, config = self.model.encoder, self.model.config
        spectrogram, counts = self._spectrogram(waveform, lengths)
        mask = length_mask(counts, spectrogram.shape[1])
        hidden, _ = self.model.feature_projection(spectrogram)
        if self.model.training:
            hidden = mask_spans(hidden, counts, config, getattr(self.model, "masked_spec_embed", None))
        hidden = encoder.dropout(torch.where(mask[..., None], hidden, 0))
        forget_positions(encoder)
        positions = None if encoder.embed_positions is None else encoder.embed_positions(hidden)
        states = self.run_layers(
            encoder.layers,
            hidden,
            config.layerdrop,
            attention_mask=additive_mask(mask, hidden.dtype),
            relative_position_embeddings=positions,
            conv_attention_mask=mask,
        )
        return states, mask

    @torch.no_grad()
    def _spectrogram(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the normalised spectrogram, shape (batch, frames, stacked bins), and the valid frames of each clip.

        Padding is 0. The statistics include the last column of a clip with an odd number of them; no frame does.
        """
        waveform = torch.where(length_mask(lengths, waveform.shape[1]), waveform, 0)
        levels = self.log_mel(pad_to(waveform, SHORTEST))
        levels = levels.to(self.log_mel.precision(levels.device))  # a bin without energy has a small deviation
        columns = KaldiLogMel.count_frames(lengths.clamp(min=SHORTEST))
        valid = length_mask(columns, levels.shape[1])[..., None]
        count = columns[:, None, None]
        centred = torch.where(valid, levels - torch.where(valid, levels, 0).sum(1, keepdim=True) / count, 0)
        variance = centred.square().sum(1, keepdim=True) / (count - 1)
        levels = (centred * torch.rsqrt(variance + 1e-7)).float()
        frames = levels.shape[1] // STACKED
        stacked = torch.unflatten(levels[:, : STACKED * frames], 1, (frames, STACKED)).flatten(2)
        return stacked, columns // STACKED
