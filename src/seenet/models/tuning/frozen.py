"""A frozen encoder."""

from torch import nn

from seenet.models.tuning.base import Tuning, require_encoder


class Frozen(Tuning):
    """Trains no parameter of the encoder and keeps it in evaluation mode. Weights of layers are trained.

    Args:
        cache: whether training reads hidden states that are computed once per clip, where it can.
    """

    is_partial = True

    def __init__(self, cache: bool = True):
        self.cache = cache

    def prepare(self, backbone: nn.Module) -> None:
        """Freeze the encoder, if there is one: functionals have no parameters."""
        if any(True for _ in backbone.parameters()):
            require_encoder(backbone, "none").requires_grad_(False)
            backbone.freeze = True  # type: ignore[assignment]  # every backbone with an encoder has it
            backbone.train()
