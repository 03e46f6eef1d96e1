"""The convolutions of a speech model in faster forms; weights and their names stay as they are.

The feature encoder keeps time before channels, so that its convolutions are plain matrix products and its norms need
no copies. The positional convolution, whose kernel is 128 frames long, is a product of spectra.
"""

from functools import cache
from typing import Any

import torch
from scipy.fft import next_fast_len
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.activations import GELUActivation

from seenet.models.backbones.length_handling import LengthAwareGroupNorm

CPU_CHUNK_CLIPS, GPU_CHUNK_CLIPS = 4, 16
"""Clips that go through a frozen feature encoder at once, whose first layers make much of little: few for a CPU's
caches, more to keep a GPU busy."""
MIN_FFT_KERNEL = 64  # frames from which a kernel is worth a Fourier transform


def convolve_time_major(hidden: Tensor, conv: nn.Conv1d) -> Tensor:
    """A convolution over time as matrix products, one for each stride's length of the kernel.

    Args:
        hidden: shape (batch, time, channels).
        conv: without padding, dilation or groups.

    Returns:
        Shape (batch, frames, output channels).
    """
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    batch, time, channels = hidden.shape
    frames = (time - kernel) // stride + 1
    if stride > kernel:
        hidden = F.pad(hidden, (0, 0, 0, stride - kernel))
    weight = conv.weight.permute(2, 1, 0)
    if torch.is_autocast_enabled(kind := hidden.device.type):  # once, not for each clip and part
        hidden, weight = (tensor.to(torch.get_autocast_dtype(kind)) for tensor in (hidden, weight))
    sums = None
    for start in range(0, kernel, stride):
        part = weight[start : start + stride].flatten(0, 1)
        # A view: each row holds what this part of the kernel, (stride · channels, output channels), sees of a frame. A
        # shorter last part is the end of rows that begin earlier, for the last of its own could pass the clip's end.
        begin = max(0, min(start, kernel - stride))
        rows = hidden[:, begin : begin + frames * stride].unflatten(1, (frames, stride)).flatten(2)
        first = (start - begin) * channels
        rows, matrix = rows[..., first : first + len(part)], part.expand(batch, -1, -1)
        if sums is None:
            sums = torch.bmm(rows, matrix) if conv.bias is None else torch.baddbmm(conv.bias, rows, matrix)
        else:
            sums = torch.baddbmm(sums, rows, matrix)
    return sums


class TimeMajorEncoderMixin:
    """A feature encoder that keeps time before channels; goes before a class of transformers."""

    conv_layers: nn.ModuleList

    def forward(self, input_values: Tensor) -> Tensor:
        """Features of waveforms. Shapes (batch, samples) and (batch, channels, frames)."""
        learns = torch.is_grad_enabled() and any(t.requires_grad for t in (input_values, *self.parameters()))
        chunk = CPU_CHUNK_CLIPS if input_values.device.type == "cpu" else GPU_CHUNK_CLIPS
        size = len(input_values) if learns else chunk
        norm = getattr(self.conv_layers[0], "layer_norm", None)
        lengths = norm.lengths if isinstance(norm, LengthAwareGroupNorm) else torch.zeros(len(input_values))
        parts = zip(input_values.split(size), lengths.split(size), strict=True)
        with torch.set_grad_enabled(learns):  # a frozen one is compiled once for training and tests
            return torch.cat([self._features(*part) for part in parts]).transpose(1, 2)

    def compile(self, **options: Any) -> None:
        """Compile what a share of the clips goes through; see `torch.compile`."""
        self._features = torch.compile(self._features, **options)

    def _features(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Shapes (batch, samples), of the first layer's valid frames (batch,), and (batch, frames, channels)."""
        hidden = waveform[..., None]
        for layer in self.conv_layers:
            hidden = convolve_time_major(hidden, layer.conv)
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, LengthAwareGroupNorm):
                hidden = norm.time_first(hidden, lengths)
            elif norm is not None:
                hidden = norm(hidden)
            if isinstance(layer.activation, GELUActivation) and not hidden.requires_grad:
                hidden = torch.ops.aten.gelu_(hidden)  # large tensors cost more to allocate than to compute
            else:
                hidden = layer.activation(hidden)
        return hidden


class FFTConvMixin:
    """A convolution of stride 1 by way of Fourier transforms; goes before a class of convolution."""

    groups: int
    padding: tuple[int]

    def _conv_forward(self, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Shapes (batch, channels, frames), (output channels, channels / groups, kernel), (output channels,)."""
        frames = hidden.shape[2]
        kernel, padding = weight.shape[2], self.padding[0]
        start, count = kernel - 1 - padding, frames + 2 * padding - kernel + 1
        # Long enough that what wraps around falls on values that are not used.
        size = next_fast_len(max(frames + kernel - 1 - start, start + count), real=True)
        wide = torch.promote_types(hidden.dtype, torch.float32)  # Fourier transforms know no bfloat16
        with torch.autocast(hidden.device.type, enabled=False):
            spectra = torch.fft.rfft(hidden.to(wide), size).unflatten(1, (self.groups, -1)).permute(3, 1, 2, 0)
            kernels = torch.fft.rfft(weight.to(wide).flip(2), size).unflatten(0, (self.groups, -1)).permute(3, 0, 1, 2)
            products = torch.matmul(kernels, spectra).permute(3, 1, 2, 0)  # (batch, groups, channels, frequencies)
            values = torch.fft.irfft(products, size).flatten(1, 2)[..., start : start + count]
            if bias is not None:
                values = values + bias.to(wide)[:, None]
        return values.to(hidden.dtype)


@cache
def _mixed_class(mixin: type, base: type) -> type:
    """One class for all models, or torch.compile would take the next fold's for another program."""
    return type(mixin.__name__ + base.__name__, (mixin, base), {})


def use_convolutions(model: Any) -> None:
    """Make a transformers speech model compute its convolutions in these forms; changed in place, weights stay."""
    model.feature_extractor.__class__ = _mixed_class(TimeMajorEncoderMixin, type(model.feature_extractor))
    for module in model.encoder.pos_conv_embed.modules():
        if isinstance(module, nn.Conv1d) and module.kernel_size[0] >= MIN_FFT_KERNEL:
            module.__class__ = _mixed_class(FFTConvMixin, type(module))
