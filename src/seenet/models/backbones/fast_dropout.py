"""Dropout that costs little on a CPU, where torch's own is up to a third of a training step."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DROPOUT_LEVELS = 2**16
"""Shares of dropout are rounded to this many levels on a CPU."""


def apply_dropout(values: Tensor, share: float, seed: int | None = None) -> Tensor:
    """Set a share of values to zero and scale the others, so that their expectation stays.

    On a CPU, 16 random bits decide over each value, where torch draws a whole double; a share of 0.1 is 0.10001.

    Args:
        values: any shape.
        share: from 0 to 1.
        seed: of the choice; None takes it from torch's stream.
    """
    if share == 0:
        return values
    if seed is None and (values.device.type != "cpu" or torch.compiler.is_compiling()):
        return F.dropout(values, share)
    if share == 1:
        return values * 0
    generator = None if seed is None else torch.Generator(values.device).manual_seed(seed)
    bits = torch.empty(-(-values.numel() // 4), dtype=torch.int64, device=values.device)
    bits = bits.random_(-(2**63), None, generator=generator).view(torch.int16)[: values.numel()].view(values.shape)
    kept = bits >= round(share * DROPOUT_LEVELS) - DROPOUT_LEVELS // 2
    survivors = torch.where(kept, values, values.new_zeros(()))
    return survivors.mul_(
        1 / (1 - round(share * DROPOUT_LEVELS) / DROPOUT_LEVELS)
    )  # in place: to allocate costs more than to compute


class FastDropout(nn.Dropout):
    """`torch.nn.Dropout` by way of `apply_dropout`."""

    def forward(self, values: Tensor) -> Tensor:
        """Drop values in training. Any shape."""
        return apply_dropout(values, self.p) if self.training else values


def use_dropout(model: nn.Module) -> None:
    """Make every dropout layer of a model one of these; changed in place."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = FastDropout
