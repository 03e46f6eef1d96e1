"""Patches that make the result of a clip independent of its padding.

transformers ignores lengths in:

- the group norm in the first convolution of the base checkpoints of wav2vec 2.0 and HuBERT,
- the stacked positional convolutions of data2vec-audio,
- the masks of HuBERT in training,
- the convolutions within the layers of Conformer,
- the pooling of SEW, which counts an incomplete group of frames.
"""

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedConfig
from transformers.masking_utils import create_bidirectional_mask
from transformers.modeling_outputs import BaseModelOutput
from transformers.models.data2vec.modeling_data2vec_audio import Data2VecAudioPositionalConvLayer
from transformers.models.sew.modeling_sew import SEWEncoder
from transformers.models.wav2vec2_conformer.modeling_wav2vec2_conformer import (
    Wav2Vec2ConformerConvolutionModule,
    Wav2Vec2ConformerEncoder,
)

from seenet.core.errors import SeenetError
from seenet.data.batch import length_mask
from seenet.models.backbones.spec_augment import mask_spans
from seenet.models.backbones.speech_encoder import SpeechEncoder


class LengthAwareGroupNorm(nn.GroupNorm):
    """Group norm with one channel per group and statistics over valid frames only.

    `set_lengths` must set `lengths` before each call. State-dict keys and shapes are those of GroupNorm.
    """

    lengths: Tensor  # valid frames, shape (batch,)

    def forward(self, hidden: Tensor) -> Tensor:
        """Normalise. Shape of input and output (batch, channels, frames)."""
        return self.normalize_time_major(hidden.transpose(1, 2), self.lengths).transpose(1, 2)

    def normalize_time_major(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """Normalise with time before channels.

        Args:
            hidden: overwritten if it needs no gradient. Shape (batch, frames, channels).
            lengths: valid frames. Shape (batch,).

        Returns:
            Shape (batch, frames, channels).
        """
        dtype, count = hidden.dtype, lengths[:, None]
        hidden = hidden.to(torch.promote_types(dtype, torch.float32))  # statistics in float32
        out = None if hidden.requires_grad or torch.compiler.is_compiling() else hidden
        mask = length_mask(lengths, hidden.shape[1])[..., None].to(hidden.dtype)  # (batch, frames, 1)
        mean = torch.mul(hidden, mask, out=out).sum(1) / count
        centred = torch.mul(torch.sub(hidden, mean[:, None], out=out), mask, out=out)
        variance = torch.linalg.vector_norm(centred, dim=1).square() / count
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return torch.addcmul(self.bias.to(hidden.dtype), centred, scale[:, None].to(hidden.dtype), out=out).to(dtype)


class LengthAwareConvolution(Data2VecAudioPositionalConvLayer):
    """A stacked positional convolution of data2vec-audio on valid frames only.

    `set_lengths` must set `frames` before each call.
    """

    frames: Tensor  # valid frames, shape (batch,)

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Set the padding to zero and convolve. Shape of input and output (batch, dim, frames)."""
        valid = length_mask(self.frames, hidden_states.shape[-1])[:, None]
        convolved: Tensor = super().forward(hidden_states * valid)  # type: ignore[no-untyped-call]  # in transformers
        return convolved


class LengthAwareConformerConvolution(Wav2Vec2ConformerConvolutionModule):
    """The convolution of a Conformer layer on valid frames only; its batch norm keeps the statistics of pretraining.

    Statistics of a batch would mix clips and padding. `set_lengths` must set `frames` before each call.
    """

    frames: Tensor  # valid frames, shape (batch,)

    def train(self, mode: bool = True) -> "LengthAwareConformerConvolution":
        """Set the training mode; the batch norm stays in evaluation mode."""
        super().train(mode)
        self.batch_norm.eval()
        return self

    def forward(self, hidden_states: Tensor) -> Tensor:
        """Convolve. Shape of input and output (batch, frames, dim)."""
        valid = length_mask(self.frames, hidden_states.shape[1])[..., None]
        hidden = torch.where(valid, self.layer_norm(hidden_states), 0).transpose(1, 2)
        hidden = self.batch_norm(self.depthwise_conv(self.glu(self.pointwise_conv1(hidden))))
        convolved: Tensor = self.dropout(self.pointwise_conv2(self.activation(hidden)))
        return convolved.transpose(1, 2)


class LengthAwareSqueeze(SEWEncoder):
    """The transformer of SEW on complete groups of frames, without the upsampling that follows it.

    The hidden states of SEW have a fraction of the rate of its convolutions.
    """

    def forward(  # type: ignore[override]  # the mask is required
        self, hidden_states: Tensor, attention_mask: Tensor, **kwargs: Any
    ) -> BaseModelOutput:
        """Encode.

        Args:
            hidden_states: shape (batch, frames, dim).
            attention_mask: True for valid frames. Shape (batch, frames).
            kwargs: further arguments of each layer.
        """
        factor = self.config.squeeze_factor
        hidden = torch.where(attention_mask[..., None], hidden_states, 0).transpose(1, 2)
        groups = hidden.shape[2] // factor
        hidden = (self.pool(hidden) + self.pos_conv_embed(hidden)[..., :groups]).transpose(1, 2)
        hidden = self.dropout(self.layer_norm(hidden))
        complete = attention_mask[:, factor - 1 :: factor][:, :groups]
        valid = create_bidirectional_mask(self.config, inputs_embeds=hidden, attention_mask=complete)
        for layer in self.layers:
            if not (self.training and self.config.layerdrop > 0 and torch.rand(()) < self.config.layerdrop):
                hidden = layer(hidden, attention_mask=valid, **kwargs)
        return BaseModelOutput(last_hidden_state=hidden)


def patch_length_handling(model: SpeechEncoder) -> None:
    """Patch a transformers speech model to respect lengths, without device synchronisation.

    Args:
        model: of a type in `FAMILIES`, without an adapter; changed in place, with the same weights. It needs a call of
            `set_lengths` before each forward pass.
    """
    first = model.feature_extractor.conv_layers[0]
    if isinstance(old := getattr(first, "layer_norm", None), nn.GroupNorm):
        first.layer_norm = LengthAwareGroupNorm(old.num_groups, old.num_channels, old.eps)
        first.layer_norm.load_state_dict(old.state_dict())
    for module in model.modules():
        if isinstance(module, Data2VecAudioPositionalConvLayer):
            module.__class__ = LengthAwareConvolution
        elif isinstance(module, Wav2Vec2ConformerConvolutionModule):
            module.__class__ = LengthAwareConformerConvolution
        elif isinstance(module, Wav2Vec2ConformerEncoder):
            module.pos_conv_embed.requires_grad_(False)  # in the checkpoint, but not in use
        elif isinstance(module, SEWEncoder):
            module.__class__ = LengthAwareSqueeze
            module.upsample.requires_grad_(False)  # not in use
    # Bound methods, because deepcopy then binds those of a copy to the copy.
    model._mask_hidden_states = MethodType(_mask_hidden_states, model)
    model._get_feature_vector_attention_mask = MethodType(_frame_attention_mask, model)


def set_lengths(model: SpeechEncoder, samples: Tensor) -> Tensor:
    """Set the lengths of the next batch.

    Args:
        model: a model after `patch_length_handling`.
        samples: valid samples, at least one receptive field. Shape (batch,).

    Returns:
        Valid frames. Shape (batch,).
    """
    first = model.feature_extractor.conv_layers[0]
    if isinstance(norm := getattr(first, "layer_norm", None), LengthAwareGroupNorm):
        norm.lengths = (samples - first.conv.kernel_size[0]) // first.conv.stride[0] + 1
    model.frames = model._get_feat_extract_output_lengths(samples)
    for module in model.modules():
        if isinstance(module, LengthAwareConvolution | LengthAwareConformerConvolution):
            module.frames = model.frames
    forget_positions(model.encoder)
    return model.frames


def forget_positions(encoder: Any) -> None:
    """Drop rotary positions that an earlier call in inference mode cached, which training cannot use."""
    positions: Any = getattr(encoder, "embed_positions", None)
    if hasattr(positions, "cached_sequence_length"):
        positions.cached_sequence_length = None


def require_no_adapter(config: PreTrainedConfig) -> None:
    """Raise a SeenetError for a configuration with modules behind the transformer layers."""
    for name in ("add_adapter", "use_intermediate_ffn_before_adapter"):
        if getattr(config, name, False):
            raise SeenetError(f"{name}=True: models with an adapter are not supported; choose another model")


def _mask_hidden_states(model: SpeechEncoder, hidden_states: Tensor, **_: Any) -> Tensor:
    if not model.training or not getattr(model.config, "apply_spec_augment", True):
        return hidden_states
    return mask_spans(hidden_states, model.frames, model.config, getattr(model, "masked_spec_embed", None))


def _frame_attention_mask(model: SpeechEncoder, size: int, *_: Any, **__: Any) -> Tensor:
    return length_mask(model.frames, size)


def receptive_field(kernels: list[int], strides: list[int]) -> int:
    """Return the receptive field of a frame in samples: the shortest clip with a frame."""
    field = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        field = (field - 1) * stride + kernel
    return field


def pad_to(waveform: Tensor, samples: int) -> Tensor:
    """Pad every clip with zeros to at least `samples`. Shape (batch, samples or more)."""
    return F.pad(waveform, (0, max(0, samples - waveform.shape[1])))
