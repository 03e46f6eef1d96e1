"""Attention in faster forms; transformers' own weights and state-dict names stay as they are.

WavLM's, in transformers, builds the position bias of every head for every clip in full precision, asks for the
attention weights and averages them, in every layer. Here the bias is looked up once for a batch, gated where it is
added, and no weights are given out. Chen et al. (WavLM, IEEE JSTSP 2022), section III.B:

    attention = softmax(q · k / √d + gate[b, h, q] · bias[h, k − q]) · v,  bias from buckets of relative distances

The other families' attention is the same without the bias.
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
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.models.wavlm.modeling_wavlm import WavLMAttention

from seenet.models.backbones.fast_dropout import apply_dropout

Form = Literal["auto", "eager", "sdpa", "flex"]

MAX_CHUNK_WEIGHTS = 2**22
"""Attention weights that are computed at a time in the eager form, so that they stay in a CPU's cache."""

SDPA_BACKENDS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
"""Of torch's fused attention. Without cuDNN's, whose way back gives NaN for some masks and lengths (pytorch issue
196678), and which plans anew for every length."""


class Positions(NamedTuple):
    """The position bias, which all layers of a model share.

    Attributes:
        table: of each relative distance k − q, from 1 − frames to frames − 1. Shape (heads, 2·frames − 1).
        pairs: the same for each pair of query and key. Shape (heads, frames, frames).
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
    """Attention over the valid frames.

    Args:
        form: see `use_attention`.
        query: shape (batch, heads, frames, head dim).
        key: likewise.
        value: likewise.
        valid: True on what is no padding, or None where there is none. Shape (batch, frames).
        dropout: share of the attention weights.
        gated: what each query takes of the position bias, shape (batch, heads, frames, 1), and the bias.

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
        return _chunked_attention(query, key, value, gate, pairs, padding, query.shape[3] ** -0.5, dropout)
    if form == "flex" and dropout == 0 and not (query.requires_grad and query.device.type == "cpu"):
        return _flex_attention(query, key, value, valid.sum(1), (gate, table) if gated else None)
    bias = torch.addcmul(padding, gate, pairs) if gated else padding
    with sdpa_kernel(SDPA_BACKENDS):
        return F.scaled_dot_product_attention(query, key, value, bias, dropout)


class ChunkedAttention(torch.autograd.Function):
    """softmax(q · k · scale + gate · bias + padding) with dropout, times v, for a few clips at a time.

    Nothing of (batch, heads, frames, frames) is ever stored: the way back computes the weights again, and on a CPU they
    stay in its cache.
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
        """Attend.

        Args:
            ctx: torch's.
            query: shape (batch, heads, frames, head dim).
            key: likewise.
            value: likewise.
            gate: shape (batch, heads, frames, 1).
            bias: shape (heads, frames, frames).
            padding: shape (batch, 1, 1, frames).
            scale: of the products.
            dropout: share of the weights.

        Returns:
            Shape (batch, heads, frames, head dim).
        """
        seed = int(torch.randint(2**62, ())) if dropout else 0
        ctx.save_for_backward(query, key, value, gate, bias, padding)
        ctx.settings = scale, dropout, seed
        with torch.autocast(query.device.type, enabled=False):  # as on the way back
            return torch.cat(
                [
                    apply_dropout(_attention_weights(q, k, g, bias, p, scale), dropout, seed + i) @ v
                    for i, (q, k, v, g, p) in enumerate(_split_into_chunks(query, key, value, gate, padding))
                ]
            )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients, in the order of the arguments of `forward`."""
        query, key, value, gate, bias, padding = ctx.saved_tensors
        scale, dropout, seed = ctx.settings
        gated, to_bias, grads = ctx.needs_input_grad[4], torch.zeros_like(bias), []
        for i, (q, k, v, g, p, out) in enumerate(_split_into_chunks(query, key, value, gate, padding, grad)):
            weights = _attention_weights(q, k, g, bias, p, scale)
            to_value = apply_dropout(weights, dropout, seed + i).mT @ out
            slope = apply_dropout(out @ v.mT, dropout, seed + i).mul_(weights)  # of the weights, and then of the scores
            slope.sub_(weights.mul_(slope.sum(-1, keepdim=True)))
            to_query, to_key = (slope @ k).mul_(scale), (slope.mT @ q).mul_(scale)
            grads.append((to_query, to_key, to_value, (slope * bias).sum(-1, keepdim=True) if gated else g))
            if gated:
                to_bias += (slope * g).sum(0)
        return *(torch.cat(parts) for parts in zip(*grads, strict=True)), to_bias, None, None, None


def _split_into_chunks(query: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Tensors cut alike, into clips whose attention weights fit `MAX_CHUNK_WEIGHTS`."""
    _, heads, frames, _ = query.shape
    clips = max(1, MAX_CHUNK_WEIGHTS // (heads * frames * frames))
    return zip(*(tensor.split(clips) for tensor in (query, *others)), strict=True)


def _attention_weights(query: Tensor, key: Tensor, gate: Tensor, bias: Tensor, padding: Tensor, scale: float) -> Tensor:
    scores = torch.addcmul(padding, gate, bias)  # (clips, heads, frames, frames)
    scores.flatten(0, 1).baddbmm_(query.flatten(0, 1), key.flatten(0, 1).mT, alpha=scale)
    return scores.softmax(-1)


_chunked_attention = torch.compiler.disable(ChunkedAttention.apply)


@cache
def _compile_flex_attention() -> Any:
    from torch.nn.attention.flex_attention import flex_attention

    return torch.compile(flex_attention, dynamic=True) if torch.cuda.is_available() else flex_attention


def _flex_attention(
    query: Tensor, key: Tensor, value: Tensor, frames: Tensor, gated: tuple[Tensor, Tensor] | None
) -> Tensor:
    """FlexAttention, in which no bias of (batch, heads, frames, frames) ever exists; `gated` is gate and table."""
    last = query.shape[2] - 1
    gate, table = gated or (None, None)

    def score(value: Tensor, clip: Tensor, head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        if gate is not None:
            value = value + gate[clip, head, q, 0] * table[head, k - q + last]
        return torch.where(k < frames[clip], value, -math.inf)

    return _compile_flex_attention()(query, key, value, score_mod=score)


class GatedAttention(WavLMAttention):
    """WavLM's attention by way of `masked_attention`."""

    form: Form

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Positions | None = None,
        **_: Any,
    ) -> tuple[Tensor, None, Positions]:
        """Attend.

        Args:
            hidden_states: shape (batch, frames, dim).
            attention_mask: True on valid frames. Shape (batch, frames).
            position_bias: of the first layer, in all others.

        Returns:
            The output, shape (batch, frames, dim); None where transformers gives attention weights; the position bias.
        """
        batch, frames, _ = hidden_states.shape
        heads = (batch, frames, self.num_heads, self.head_dim)
        positions = position_bias or self._positions(frames)
        gate = self._gate(hidden_states.view(heads).transpose(1, 2))
        query, key, value = (
            projection(hidden_states).view(heads).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        valid = None if attention_mask is None else attention_mask.bool()
        dropout = self.dropout if self.training else 0.0
        mixed = masked_attention(self.form, query, key, value, valid, dropout, (gate, positions))
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), None, positions

    def _positions(self, frames: int) -> Positions:
        """Looked up by the first layer, which owns the embedding."""
        time = torch.arange(frames, device=self.rel_attn_embed.weight.device)
        distance = torch.cat([-time[1:].flip(0), time])  # of keys from queries
        table = self.rel_attn_embed(self._relative_positions_bucket(distance)).T
        return Positions(table, table[:, time - time[:, None] + frames - 1])

    def _gate(self, hidden: Tensor) -> Tensor:
        """What each query takes of the bias. Shapes (batch, heads, frames, head dim) and (batch, heads, frames, 1)."""
        linear = self.gru_rel_pos_linear  # its eight outputs are summed by fours; so are the weights here
        weight, bias = linear.weight.unflatten(0, (2, 4)).sum(1), linear.bias.unflatten(0, (2, 4)).sum(1)
        first, second = F.linear(hidden, weight, bias).sigmoid().chunk(2, -1)
        return first * (second * self.gru_rel_pos_const - 1.0) + 2.0


def _register_attention(form: Form) -> str:
    """The name under which transformers finds a form for the families whose attention it can exchange."""

    def forward(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        dropout: float = 0.0,
        **_: Any,
    ) -> tuple[Tensor, None]:
        return masked_attention(form, query, key, value, mask, dropout).transpose(1, 2), None

    def valid(attention_mask: Tensor | None = None, **_: Any) -> Tensor | None:
        return attention_mask

    name = f"seenet_{form}"
    AttentionInterface.register(name, forward)
    AttentionMaskInterface.register(name, valid)
    return name


def use_attention(model: PreTrainedModel, form: Form) -> None:
    """Make a transformers speech model compute its attention in another form; weights and their names stay.

    Args:
        model: wav2vec 2.0, HuBERT, WavLM or data2vec-audio; changed in place.
        form: `eager` writes the formula out for a few clips at a time, which a CPU does fastest; `sdpa` hands padding
            and bias to torch's fused attention; `flex` adds them inside of FlexAttention, which knows no dropout, and
            on a CPU no way back: there it is `sdpa`. `auto` is `eager` on a CPU, else `sdpa`.
    """
    gated = [module for module in model.modules() if isinstance(module, WavLMAttention)]
    for module in gated:
        module.__class__ = GatedAttention
        module.form = form
    if not gated:
        model.set_attn_implementation(_register_attention(form))
