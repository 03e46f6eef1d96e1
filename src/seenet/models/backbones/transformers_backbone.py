"""Backbones with the convolutions of wav2vec 2.0, through transformers: see `FAMILIES`."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

import torch
import transformers
from torch import Tensor, nn

from seenet.core.errors import SeenetError
from seenet.data.batch import length_mask
from seenet.models.backbones.checkpoint_loading import load_encoder
from seenet.models.backbones.encoder_backbone import EncoderBackbone
from seenet.models.backbones.fast_attention import Form, use_attention
from seenet.models.backbones.fast_convolutions import use_convolutions
from seenet.models.backbones.fast_dropout import use_dropout
from seenet.models.backbones.layer_selection import Combination, Layers, LayerSelection
from seenet.models.backbones.length_handling import (
    pad_to,
    patch_length_handling,
    receptive_field,
    require_no_adapter,
    set_lengths,
)
from seenet.models.backbones.pretrained_weights import Weights
from seenet.models.backbones.settings import select_shares
from seenet.models.backbones.speech_encoder import SpeechEncoder

Attention = Literal[Form, "stock"]

FRAME_MULTIPLES = {"cuda": 8}
"""Multiple of frames to which batches are padded, by device. On CUDA, the fused attention of torch would otherwise copy
the bias in each layer."""

RECOMPILE_LIMIT = 1024
"""Maximum number of compiled variants of one layer per process, for training and test of every arm of a sweep."""


class SpeechBackbone(EncoderBackbone):
    """A speech encoder that maps (waveform, lengths) to (frames, frame mask).

    The frames of a clip do not depend on the other clips of its batch. Options that are None keep the value of the
    checkpoint's configuration.

    Args:
        family: the model type.
        weights: source of the weights, from `resolve_weights`; without a source they are random.
        layers: layers that give the output; see `LayerSelection`. Several exclude `layerdrop`.
        combine: how several layers are combined; see `LayerSelection`.
        freeze_feature_encoder: whether to freeze the convolutions, as in the paper.
        freeze: whether to freeze the entire backbone and keep it in evaluation mode.
        normalize: whether to normalise each clip to zero mean and unit variance over its valid samples. The paper does
            not, not even where the checkpoint's own feature extractor would.
        final_dropout: dropout of the last hidden state.
        hidden_dropout: dropout in the transformer layers.
        attention_dropout: dropout of attention weights.
        feat_proj_dropout: dropout before the transformer.
        layerdrop: probability of skipping a transformer layer.
        mask_time_prob: share of frames masked in training (SpecAugment).
        mask_feature_prob: share of channels masked in training.
        attention: implementation of attention: a form of `use_attention`, or `stock` for that of transformers.
        fast_layers: whether to replace convolutions and dropout of transformers by faster implementations.
        checkpointing: whether to use gradient checkpointing: the backward pass recomputes the activations of the
            transformer layers, which needs a fraction of the memory but longer steps.
        architecture: settings of the transformers configuration for random weights.

    Raises:
        SeenetError: a share is outside [0, 1], the configuration refuses a setting, or the checkpoint does not fit the
            architecture.
    """

    CHECKPOINT_SETTINGS = (
        *("final_dropout", "hidden_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop"),
        *("mask_time_prob", "mask_feature_prob"),
    )

    model: SpeechEncoder

    def __init__(
        self,
        family: Literal[
            "wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat", "wav2vec2-conformer", "sew"
        ],
        weights: Weights,
        layers: Literal["last", "all", "transformer"] | list[int] = "last",
        combine: Combination = "sum",
        freeze_feature_encoder: bool = True,
        freeze: bool = False,
        normalize: bool = False,
        final_dropout: float | None = None,
        hidden_dropout: float | None = None,
        attention_dropout: float | None = None,
        feat_proj_dropout: float | None = None,
        layerdrop: float | None = None,
        mask_time_prob: float | None = None,
        mask_feature_prob: float | None = None,
        attention: Attention = "auto",
        fast_layers: bool = True,
        checkpointing: bool = False,
        architecture: dict[str, Any] | None = None,
    ):
        super().__init__()
        shares = select_shares(
            final_dropout=final_dropout,
            hidden_dropout=hidden_dropout,
            attention_dropout=attention_dropout,
            feat_proj_dropout=feat_proj_dropout,
            layerdrop=_resolve_layerdrop(layerdrop, layers),
            mask_time_prob=mask_time_prob,
            mask_feature_prob=mask_feature_prob,
        )
        model, self.loaded_tensors = load_encoder(family, weights, shares, architecture or {})
        self.model = cast(SpeechEncoder, model)
        config = self.model.config
        _require_supported(config)
        self.normalize = normalize
        self.selection = LayerSelection(layers, config.num_hidden_layers, combine)
        self.dim: int = config.hidden_size * self.selection.copies
        self.dropout = nn.Dropout(config.final_dropout)
        self._group = getattr(config, "squeeze_factor", 1)
        strides = [*config.conv_stride, self._group]
        self._shortest = receptive_field([*config.conv_kernel, self._group], strides)
        self.hop: int = math.prod(strides)
        self._patch_layers(attention, fast_layers, checkpointing)
        if freeze_feature_encoder or freeze:
            self.model.feature_extractor._freeze_parameters()  # HubertModel has no public method for this
        self.set_trained(freeze)

    def _patch_layers(self, attention: Attention, fast_layers: bool, checkpointing: bool) -> None:
        """Add length handling, fast layers and gradient checkpointing to the encoder."""
        patch_length_handling(self.model)
        if attention != "stock":
            use_attention(self.model, attention)
        if fast_layers:
            use_convolutions(self.model)
            use_dropout(self)
        if checkpointing:
            with warnings.catch_warnings():  # transformers 5.0 lacks the name that the warning recommends
                warnings.simplefilter("ignore", FutureWarning)
                self.model.gradient_checkpointing_enable({"use_reentrant": False})

    def compile_layers(self) -> None:
        """Compile the feature encoder and each transformer layer once for all lengths."""
        # All arms of a sweep share this limit (default 8). Beyond it, torch silently runs without compilation.
        torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = RECOMPILE_LIMIT
        self.model.feature_extractor.compile(dynamic=True)
        for layer in self.model.encoder.layers:
            layer.compile(dynamic=True)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the frames of each clip.

        Args:
            waveform: at 16 kHz; padding is ignored. Shape (batch, samples).
            lengths: valid samples; a shorter clip counts as one receptive field. Shape (batch,).

        Returns:
            Frames, shape (batch, frames, dim), and their mask, shape (batch, frames), True if valid.
        """
        if not self.selection.is_last:
            return super().forward(waveform, lengths)
        states, mask = self._encode(waveform, lengths, output_hidden_states=False)
        return self.dropout(states[-1]), mask

    def combine(self, hidden_states: Sequence[Tensor] | Mapping[int, Tensor]) -> Tensor:
        """Return the frames of `forward` from hidden states by number, see `EncoderBackbone.combine`."""
        frames: Tensor = self.dropout(super().combine(hidden_states))
        return frames

    def hidden_states(self, waveform: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """See `EncoderBackbone.hidden_states`."""
        return self._encode(waveform, lengths, output_hidden_states=True)

    def _encode(self, waveform: Tensor, lengths: Tensor, output_hidden_states: bool) -> tuple[list[Tensor], Tensor]:
        """Return all hidden states, or the last one alone, and the mask."""
        waveform = torch.where(length_mask(lengths, waveform.shape[1]), waveform, 0)
        size = self._count_frames(waveform.shape[1])
        waveform = pad_to(waveform, self._padded_sample_count(waveform))
        lengths = lengths.clamp(min=self._shortest)
        valid_samples = length_mask(lengths, waveform.shape[1])
        if self.normalize:
            waveform = _normalize(waveform, lengths, valid_samples)
        frame_counts = set_lengths(self.model, lengths).div(self._group, rounding_mode="floor")
        # transformers draws for layerdrop in evaluation mode, too; the draws of dropout and heads must not depend on it
        with torch.random.fork_rng(devices=[], enabled=self.freeze and self.training):
            output = self.model(waveform, attention_mask=valid_samples, output_hidden_states=output_hidden_states)
        # the last entry of transformers' hidden states lacks the normalisation behind the layers
        states = [*(output.hidden_states[:-1] if output_hidden_states else ()), output.last_hidden_state]
        return [state[:, :size] for state in states], length_mask(frame_counts, size)

    def _count_frames(self, samples: int) -> int:
        """Return the number of frames of a number of samples; at least one."""
        return max(0, samples - self._shortest) // self.hop + 1

    def _padded_sample_count(self, waveform: Tensor) -> int:
        """Return the number of samples that gives a multiple of `FRAME_MULTIPLES` frames exactly.

        A remainder in some batches would make torch.compile compile the feature encoder again.
        """
        multiple = FRAME_MULTIPLES.get(waveform.device.type, 1)
        frames = self._count_frames(waveform.shape[1] + self.hop - 1)
        return self._shortest + (-(-frames // multiple) * multiple - 1) * self.hop


def _resolve_layerdrop(layerdrop: float | None, layers: Layers) -> float | None:
    """Return 0 where several layers are summed, which a skipped layer lacks."""
    if layers == "last":
        return layerdrop
    if layerdrop:
        raise SeenetError(f"backbone.layerdrop={layerdrop}: expected 0 or null with backbone.layers={layers}")
    return 0.0


def _normalize(waveform: Tensor, lengths: Tensor, valid: Tensor) -> Tensor:
    """Normalise each clip to zero mean and unit variance over its valid samples."""
    count = lengths[:, None]
    mean = waveform.sum(1, keepdim=True) / count
    centred = torch.where(valid, waveform - mean, 0)
    variance = centred.square().sum(1, keepdim=True) / count
    return centred * torch.rsqrt(variance + 1e-7)


def _require_supported(config: transformers.PreTrainedConfig) -> None:
    """Raise a SeenetError for unsupported settings of a checkpoint or `backbone.architecture`."""
    require_no_adapter(config)
    if config.mask_time_prob > 0 and config.mask_time_length < 1:
        raise SeenetError(f"mask_time_length={config.mask_time_length}: expected 1 or more frames")
    if config.mask_feature_prob > 0 and not 1 <= config.mask_feature_length <= config.hidden_size:
        raise SeenetError(
            f"mask_feature_length={config.mask_feature_length}: expected 1 to {config.hidden_size} channels"
        )
