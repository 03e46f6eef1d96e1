"""Fast dropout for a CPU; that of torch takes up to a third of a training step."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

DROPOUT_LEVELS = 2**16
"""Resolution of the dropped share on a CPU."""


def apply_dropout(values: Tensor, share: float, seed: int | None = None) -> Tensor:
    """Set a share of values to zero and scale the others to keep the expectation.

    On a CPU, each value needs 16 random bits, where torch draws a double; a share of 0.1 becomes 0.10001.

    Args:
        values: any shape.
        share: dropped share, 0 to 1.
        seed: seed of the draw; None uses the random stream of torch.

    Returns:
        The shape of `values`.
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
    is_kept = bits >= round(share * DROPOUT_LEVELS) - DROPOUT_LEVELS // 2
    survivors = torch.where(is_kept, values, values.new_zeros(()))
    scale = 1 / (1 - round(share * DROPOUT_LEVELS) / DROPOUT_LEVELS)
    return survivors.mul_(scale)  # in place: allocation costs more than the computation


class FastDropout(nn.Dropout):
    """A `torch.nn.Dropout` that calls `apply_dropout`."""

    def forward(self, values: Tensor) -> Tensor:
        """Drop values in training mode. Any shape."""
        return apply_dropout(values, self.p) if self.training else values


def use_dropout(model: nn.Module) -> None:
    """Replace every dropout layer of a model by `FastDropout`, in place."""
    for module in model.modules():
        if type(module) is nn.Dropout:
            module.__class__ = FastDropout
