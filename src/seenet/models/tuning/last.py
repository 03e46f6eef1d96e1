"""Tuning of the upper transformer layers."""

from torch import nn

from seenet.core.errors import SeenetError
from seenet.models.tuning.base import Tuning, find_layers, require_encoder


class TuneLast(Tuning):
    """Trains the last transformer layers of the encoder and the normalisation that follows them.

    Args:
        layers: number of trained layers.

    Raises:
        SeenetError: `layers` is below 1.
    """

    is_partial = True

    def __init__(self, layers: int):
        if layers < 1:
            raise SeenetError(f"tune.layers={layers}: expected 1 or more; tune=none trains no layer")
        self.layers = layers

    def prepare(self, backbone: nn.Module) -> None:
        """Freeze everything below the trained layers."""
        mode = f"last:{self.layers}"
        encoder = require_encoder(backbone, mode)
        layers = find_layers(encoder, mode)
        if self.layers > len(layers):
            raise SeenetError(f"tune={mode}: the encoder has {len(layers)} layers; take at most last:{len(layers)}")
        encoder.requires_grad_(False)
        for layer in layers[-self.layers :]:
            layer.requires_grad_(True)
        normalization = _final_normalization(encoder)
        if normalization is not None:
            normalization.requires_grad_(True)


def _final_normalization(encoder: nn.Module) -> nn.Module | None:
    """Return the normalisation after the last layer; an encoder with normalisation after each sublayer has none."""
    if getattr(encoder.config, "do_stable_layer_norm", False):
        return encoder.get_submodule("encoder.layer_norm")
    return next((module for name, module in encoder.named_children() if name in ("layer_norm", "layernorm")), None)
