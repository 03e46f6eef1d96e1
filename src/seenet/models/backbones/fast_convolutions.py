"""Fast convolutions of speech models, with the weights and keys of transformers.

The feature encoder keeps time before channels: its convolutions are matrix products and its norms need no copies. The
positional convolution, with a kernel of 128 frames, is a product of spectra.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import GELUActivation

from seenet.models.backbones.length_handling import LengthAwareGroupNorm
from seenet.models.backbones.speech_encoder import ConvolutionLayer, SpeechEncoder

CPU_CHUNK_CLIPS, GPU_CHUNK_CLIPS = 4, 16
"""Clips per chunk of a frozen feature encoder with large activations: few fit the caches of a CPU, more occupy a
GPU."""
MIN_FFT_KERNEL = 64  # frames; shorter kernels are faster without a Fourier transform


def convolve_time_major(hidden: Tensor, conv: nn.Conv1d) -> Tensor:
    """Compute a convolution over time as one matrix product per section of the kernel.

    A section has the length of one stride.

    Args:
        hidden: shape (batch, time, channels).
        conv: a convolution without padding, dilation or groups.

    Returns:
        Shape (batch, frames, output channels).
    """
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    batch, time, channels = hidden.shape
    frames = (time - kernel) // stride + 1
    if stride > kernel:
        hidden = F.pad(hidden, (0, 0, 0, stride - kernel))
    weight = conv.weight.permute(2, 1, 0)
    if torch.is_autocast_enabled(kind := hidden.device.type):  # cast once, not for each chunk and section
        hidden, weight = (tensor.to(torch.get_autocast_dtype(kind)) for tensor in (hidden, weight))

    def factors(start: int) -> tuple[Tensor, Tensor]:
        """Return the rows and the matrix, (stride · channels, output channels), of a section of the kernel."""
        part = weight[start : start + stride].flatten(0, 1)
        # Rows are a view: each holds the input of this section for one frame. A shorter last section uses the end of
        # earlier rows, because its own last row could exceed the clip.
        begin = max(0, min(start, kernel - stride))
        rows = torch.unflatten(hidden[:, begin : begin + frames * stride], 1, (frames, stride)).flatten(2)
        first = (start - begin) * channels
        return rows[..., first : first + len(part)], part.expand(batch, -1, -1)

    sums = torch.bmm(*factors(0)) if conv.bias is None else torch.baddbmm(conv.bias, *factors(0))
    for start in range(stride, kernel, stride):
        sums = torch.baddbmm(sums, *factors(start))
    return sums


class TimeMajorEncoderMixin(nn.Module):
    """Mixin for a feature encoder of transformers that keeps time before channels."""

    conv_layers: Sequence[ConvolutionLayer]
    _compiled_features: Callable[[Tensor, Tensor], Tensor] | None = None

    def forward(self, input_values: Tensor) -> Tensor:
        """Map waveforms (batch, samples) to features (batch, channels, frames)."""
        is_trained = torch.is_grad_enabled() and any(t.requires_grad for t in (input_values, *self.parameters()))
        chunk = CPU_CHUNK_CLIPS if input_values.device.type == "cpu" else GPU_CHUNK_CLIPS
        size = len(input_values) if is_trained else chunk
        norm = getattr(self.conv_layers[0], "layer_norm", None)
        lengths = norm.lengths if isinstance(norm, LengthAwareGroupNorm) else torch.zeros(len(input_values))
        parts = zip(torch.split(input_values, size), torch.split(lengths, size), strict=True)
        compute_features = self._compiled_features or self._compute_features
        with torch.set_grad_enabled(is_trained):  # compiles a frozen encoder once for training and test
            return torch.cat([compute_features(*part) for part in parts]).transpose(1, 2)

    def compile(self, *args: Any, **options: Any) -> None:
        """Compile the layers for one chunk of clips; see `torch.compile`."""
        self._compiled_features = torch.compile(self._compute_features, *args, **options)

    def _compute_features(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Map a chunk to features.

        Args:
            waveform: shape (batch, samples).
            lengths: valid frames of the first layer. Shape (batch,).

        Returns:
            Shape (batch, frames, channels).
        """
        hidden = waveform[..., None]
        for layer in self.conv_layers:
            hidden = convolve_time_major(hidden, layer.conv)
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, LengthAwareGroupNorm):
                hidden = norm.normalize_time_major(hidden, lengths)
            elif norm is not None:
                hidden = norm(hidden)
            if isinstance(layer.activation, GELUActivation) and not hidden.requires_grad:
                hidden = torch.ops.aten.gelu_(hidden)  # in place: allocation costs more than the computation
            else:
                hidden = layer.activation(hidden)
        return hidden


class FFTConvMixin:
    """Mixin for a convolution of stride 1 that multiplies spectra."""

    groups: int
    padding: tuple[int]

    def _conv_forward(self, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve by Fourier transforms.

        Args:
            hidden: shape (batch, channels, frames).
            weight: shape (output channels, channels / groups, kernel).
            bias: shape (output channels,), or None.

        Returns:
            Shape (batch, output channels, frames).
        """
        frames = hidden.shape[2]
        kernel, padding = weight.shape[2], self.padding[0]
        start, count = kernel - 1 - padding, frames + 2 * padding - kernel + 1
        # The size is large enough that circular wrap-around affects unused values only.
        size = next_fast_len(max(frames + kernel - 1 - start, start + count), real=True)
        dtype = torch.promote_types(hidden.dtype, torch.float32)  # Fourier transforms do not support bfloat16
        with torch.autocast(hidden.device.type, enabled=False):
            spectra = torch.fft.rfft(hidden.to(dtype), size).unflatten(1, (self.groups, -1)).permute(3, 1, 2, 0)
            kernels = torch.fft.rfft(weight.to(dtype).flip(2), size).unflatten(0, (self.groups, -1)).permute(3, 0, 1, 2)
            products = torch.matmul(kernels, spectra).permute(3, 1, 2, 0)  # (batch, groups, channels, frequencies)
            values: Tensor = torch.fft.irfft(products, size).flatten(1, 2)[..., start : start + count]
            if bias is not None:
                values = values + bias.to(dtype)[:, None]
        return values.to(hidden.dtype)


@cache
def _mixed_class(mixin: type, base: type) -> type:
    """Return one class per pair: with a class per model, each fold would be compiled again."""
    return type(mixin.__name__ + base.__name__, (mixin, base), {})


def _mix_in(mixin: type, module: object) -> None:
    base: type = type(module)
    module.__class__ = _mixed_class(mixin, base)


def use_convolutions(model: SpeechEncoder) -> None:
    """Replace the convolutions of a transformers speech model in place; weights and keys stay."""
    _mix_in(TimeMajorEncoderMixin, model.feature_extractor)
    for module in model.encoder.pos_conv_embed.modules():
        if isinstance(module, nn.Conv1d) and module.kernel_size[0] >= MIN_FFT_KERNEL and module.stride == (1,):
            _mix_in(FFTConvMixin, module)
