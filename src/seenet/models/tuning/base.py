"""The interface of a tuning mode."""

from typing import Any

from torch import nn

from seenet.core.errors import SeenetError

LAYER_LISTS = ("layers", "encoder.layers", "encoder.layer", "layer")
"""Names under which encoders of transformers keep their transformer layers."""


class Tuning:
    """Selects the trained parameters of a backbone. This class trains all that the backbone itself does not freeze.

    Attributes:
        is_partial: whether the frozen parameters stay as the weights of the backbone give them. Checkpoints then omit
            them.
    """

    is_partial = False

    def prepare(self, backbone: nn.Module) -> None:
        """Change the backbone before training.

        Raises:
            SeenetError: the backbone does not support the mode.
        """

    def merge(self, backbone: nn.Module) -> None:
        """Change the trained backbone to the architecture of its configuration."""


def require_encoder(backbone: nn.Module, mode: str) -> Any:
    """Return the encoder of a backbone.

    Args:
        backbone: a module with the encoder as `model`.
        mode: the setting `tune`, for messages.

    Raises:
        SeenetError: the backbone has no encoder.
    """
    encoder = getattr(backbone, "model", None)
    if not isinstance(encoder, nn.Module):
        raise SeenetError(f"tune={mode}: this backbone has no encoder of transformers; take tune=all")
    return encoder


def find_layers(encoder: nn.Module, mode: str) -> nn.ModuleList:
    """Return the transformer layers of an encoder.

    Raises:
        SeenetError: the encoder has none.
    """
    modules = dict(encoder.named_modules())
    found = next((modules[name] for name in LAYER_LISTS if name in modules), None)
    if not isinstance(found, nn.ModuleList):
        raise SeenetError(f"tune={mode}: this backbone has no transformer layers; take tune=all")
    return found
