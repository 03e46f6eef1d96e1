"""Fast implementations of attention with the weights and state-dict keys of transformers.

For WavLM, transformers builds the position bias for every clip, head and layer in full precision, and also averages the
attention weights. Here a batch looks up the bias once, the gate scales it where it is added, and weights are not
returned. Chen et al. (WavLM, IEEE JSTSP 2022), section III.B:

    attention = softmax(q · k / √d + gate[b, h, q] · bias[h, k − q]) · v,  bias from buckets of relative distances

The other families use the same formula without the bias.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from seenet.models.backbones.fast_dropout import apply_dropout
from seenet.models.backbones.speech_encoder import SpeechEncoder

Form = Literal["auto", "eager", "sdpa", "flex"]

MAX_CHUNK_WEIGHTS = 2**22
"""Attention weights per chunk in the eager form; a chunk fits the cache of a CPU."""

SDPA_BACKENDS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""Backends of fused attention, without cuDNN: its backward pass returns NaN for some masks (pytorch issue 196678)."""


class Positions(NamedTuple):
    """The position bias, which all layers of a model share.

    Attributes:
        table: bias of each relative distance k − q, from 1 − frames to frames − 1. Shape (heads, 2·frames − 1).
        pairs: bias of each pair of query and key. Shape (heads, frames, frames).
    """

    table: Tensor
    pairs: Tensor


def masked_attention(
    form: Form,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    valid: Tensor | None,
    dropout: float,
    gated: tuple[Tensor, Positions] | None = None,
) -> Tensor:
    """Compute attention over the valid frames.

    Args:
        form: see `use_attention`.
        query: shape (batch, heads, frames, head dim).
        key: shape of `query`.
        value: shape of `query`.
        valid: True for valid frames, or None if there is no padding. Shape (batch, frames).
        dropout: dropped share of the weights.
        gated: gate of the position bias for each query, shape (batch, heads, frames, 1), and the bias.

    Returns:
        Shape (batch, heads, frames, head dim).
    """
    batch, heads, frames, _ = query.shape
    if form == "auto":
        form = "eager" if query.device.type == "cpu" else "sdpa"
    if valid is None:
        valid = query.new_ones(batch, frames, dtype=torch.bool)
    padding = query.new_zeros(batch, 1, 1, frames).masked_fill(~valid[:, None, None], -math.inf)
    if gated is None:
        gate, table, pairs = (
            query.new_zeros(shape) for shape in ((batch, heads, frames, 1), (heads, 1), (heads, 1, 1))
        )
    else:
        gate, table, pairs = (tensor.to(query.dtype) for tensor in (gated[0], *gated[1]))
    if form == "eager":
        scale = query.shape[3] ** -0.5
        mixed: Tensor = _chunked_attention(query, key, value, gate, pairs, padding, scale, dropout)
        return mixed
    if form == "flex" and dropout == 0 and not (query.requires_grad and query.device.type == "cpu"):
        return _flex_attention(query, key, value, valid.sum(1), (gate, table) if gated else None)
    bias = torch.addcmul(padding, gate, pairs) if gated else padding
    return _fused_attention(query, key, value, bias, dropout)


def _fused_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor, dropout: float) -> Tensor:
    with sdpa_kernel(SDPA_BACKENDS):
        return F.scaled_dot_product_attention(query, key, value, bias, dropout)


class ChunkedAttention(torch.autograd.Function):
    """Attention in chunks of clips: softmax(q · k · scale + gate · bias + padding) · v.

    Dropout applies to the weights. Tensors of shape (batch, heads, frames, frames) are never stored: the backward pass
    recomputes the attention weights. On a CPU, a chunk of them fits its cache.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        gate: Tensor,
        bias: Tensor,
        padding: Tensor,
        scale: float,
        dropout: float,
    ) -> Tensor:
        """Compute attention chunk by chunk.

        Args:
            ctx: context of the autograd function.
            query: shape (batch, heads, frames, head dim).
            key: shape of `query`.
            value: shape of `query`.
            gate: shape (batch, heads, frames, 1).
            bias: shape (heads, frames, frames).
            padding: 0 for valid frames, else -inf. Shape (batch, 1, 1, frames).
            scale: factor of q · k.
            dropout: dropped share of the attention weights.

        Returns:
            Shape (batch, heads, frames, head dim).
        """
        seed = int(torch.randint(2**62, ())) if dropout else 0
        ctx.save_for_backward(query, key, value, gate, bias, padding)
        ctx.settings = scale, dropout, seed
        with torch.autocast(query.device.type, enabled=False):  # as in the backward pass
            return torch.cat(
                [
                    apply_dropout(_attention_weights(q, k, g, bias, p, scale), dropout, seed + i) @ v
                    for i, (q, k, v, g, p) in enumerate(_split_into_chunks(query, key, value, gate, padding))
                ]
            )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients in the order of the arguments of `forward`."""
        query, key, value, gate, bias, padding = ctx.saved_tensors
        scale, dropout, seed = ctx.settings
        has_bias, grad_bias, grads = ctx.needs_input_grad[4], torch.zeros_like(bias), []
        for i, (q, k, v, g, p, out) in enumerate(_split_into_chunks(query, key, value, gate, padding, grad)):
            weights = _attention_weights(q, k, g, bias, p, scale)
            grad_value = apply_dropout(weights, dropout, seed + i).mT @ out
            # The gradient of the weights becomes that of the scores in place.
            grad_scores = apply_dropout(out @ v.mT, dropout, seed + i).mul_(weights)
            grad_scores.sub_(weights.mul_(grad_scores.sum(-1, keepdim=True)))
            grad_query, grad_key = (grad_scores @ k).mul_(scale), (grad_scores.mT @ q).mul_(scale)
            grad_gate = (grad_scores * bias).sum(-1, keepdim=True) if has_bias else g
            grads.append((grad_query, grad_key, grad_value, grad_gate))
            if has_bias:
                grad_bias += (grad_scores * g).sum(0)
        return *(torch.cat(parts) for parts in zip(*grads, strict=True)), grad_bias, None, None, None


def _split_into_chunks(query: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Split tensors into chunks of clips with at most `MAX_CHUNK_WEIGHTS` attention weights."""
    _, heads, frames, _ = query.shape
    clips = max(1, MAX_CHUNK_WEIGHTS // (heads * frames * frames))
    return zip(*(torch.split(tensor, clips) for tensor in (query, *others)), strict=True)


def _attention_weights(query: Tensor, key: Tensor, gate: Tensor, bias: Tensor, padding: Tensor, scale: float) -> Tensor:
    """Compute the attention weights of a chunk. Shape (clips, heads, frames, frames)."""
    scores = torch.addcmul(padding, gate, bias)
    scores.flatten(0, 1).baddbmm_(query.flatten(0, 1), key.flatten(0, 1).mT, alpha=scale)
    return scores.softmax(-1)


_chunked_attention = torch.compiler.disable(ChunkedAttention.apply)  # type: ignore[no-untyped-call]  # untyped in torch


@cache
def _compile_flex_attention() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True) if torch.cuda.is_available() else flex_attention


def _flex_attention(
    query: Tensor, key: Tensor, value: Tensor, frames: Tensor, gated: tuple[Tensor, Tensor] | None
) -> Tensor:
    """Compute attention with FlexAttention, without a bias of (batch, heads, frames, frames).

    Args:
        query: shape (batch, heads, frames, head dim).
        key: shape of `query`.
        value: shape of `query`.
        frames: valid frames. Shape (batch,).
        gated: gate, shape (batch, heads, frames, 1), and table of `Positions`, or None.
    """
    last = query.shape[2] - 1
    gate, table = gated or (None, None)

    def score(value: Tensor, clip: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        if gate is not None and table is not None:
            value = value + gate[clip, head, q, 0] * table[head, k - q + last]
        return torch.where(k < frames[clip], value, -math.inf)

    mixed: Tensor = _compile_flex_attention()(query, key, value, score_mod=score)
    return mixed


class GatedAttention(WavLMAttention):
    """The attention of WavLM through `masked_attention`."""

    form: Form

    def forward(  # type: ignore[override]  # a `Positions` replaces the tensor of transformers
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Positions | None = None,
        **_: Any,
    ) -> tuple[Tensor, None, Positions]:
        """Compute attention with the gated position bias.

        Args:
            hidden_states: shape (batch, frames, dim).
            attention_mask: True for valid frames. Shape (batch, frames).
            position_bias: output of the first layer, for all others; None in the first layer.

        Returns:
            Output, shape (batch, frames, dim); None in place of attention weights; position bias.
        """
        batch, frames = hidden_states.shape[:2]
        heads = (batch, frames, self.num_heads, self.head_dim)
        positions = position_bias or self._look_up_positions(frames)
        gate = self._compute_gate(hidden_states.view(heads).transpose(1, 2))
        query, key, value = (
            projection(hidden_states).view(heads).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        valid = None if attention_mask is None else attention_mask.bool()
        dropout = self.dropout if self.training else 0.0
        mixed = masked_attention(self.form, query, key, value, valid, dropout, (gate, positions))
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), None, positions

    def _look_up_positions(self, frames: int) -> Positions:
        """Look up the position bias; only the first layer has the embedding."""
        time = torch.arange(frames, device=self.rel_attn_embed.weight.device)
        distance = torch.cat([-time[1:].flip(0), time])  # key minus query
        table = self.rel_attn_embed(self._relative_positions_bucket(distance)).T
        return Positions(table, table[:, time - time[:, None] + frames - 1])

    def _compute_gate(self, hidden: Tensor) -> Tensor:
        """Map (batch, heads, frames, head dim) to the gate, (batch, heads, frames, 1)."""
        linear = self.gru_rel_pos_linear  # transformers sums its eight outputs by fours; here the weights are summed
        weight, bias = (torch.unflatten(values, 0, (2, 4)).sum(1) for values in (linear.weight, linear.bias))
        first, second = F.linear(hidden, weight, bias).sigmoid().chunk(2, -1)
        return first * (second * self.gru_rel_pos_const - 1.0) + 2.0


def _register_attention(form: Form) -> str:
    """Register a form with transformers, for families other than WavLM, and return its name."""

    def forward(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **options: Any
    ) -> tuple[Tensor, None]:
        dropout, bias = options.get("dropout", 0.0), options.get("position_bias")
        if bias is not None:  # (batch, heads, frames, frames), of Conformer
            bias = bias if mask is None else bias.masked_fill(~mask[:, None, None], -math.inf)
            return _fused_attention(query, key, value, bias, dropout).transpose(1, 2), None
        return masked_attention(form, query, key, value, mask, dropout).transpose(1, 2), None

    def valid(attention_mask: Tensor | None = None, **_: Any) -> Tensor | None:
        return attention_mask

    name = f"seenet_{form}"
    AttentionInterface.register(name, forward)
    AttentionMaskInterface.register(name, valid)
    return name


def use_attention(model: SpeechEncoder, form: Form) -> None:
    """Replace the attention of a transformers speech model; weights and state-dict keys stay.

    Args:
        model: of a type in `FAMILIES`; changed in place.
        form: `eager` computes the formula in chunks of clips, the fastest form on a CPU. `sdpa` passes padding and bias
            to the fused attention of torch. `flex` adds them within FlexAttention; with dropout, or for training on a
            CPU, which FlexAttention does not support, it is `sdpa`. `auto` is `eager` on a CPU, else `sdpa`.
    """
    for module in model.modules():
        if isinstance(module, WavLMAttention):
            module.__class__ = GatedAttention
    for module in (gated := [module for module in model.modules() if isinstance(module, GatedAttention)]):
        module.form = form
    if not gated:
        model.set_attn_implementation(_register_attention(form))
