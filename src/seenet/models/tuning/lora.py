"""Low-rank adaptation of the encoder."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from seenet.core.errors import SeenetError, one_line
from seenet.models.tuning.base import Tuning, require_encoder


class Lora(Tuning):
    """Trains low-rank updates of linear layers (Hu et al., *LoRA*, ICLR 2022), through peft.

    A layer computes W x + (alpha / rank) B A x, of which A and B are trained, B from 0. The model of a fold holds the
    merged weights.

    Args:
        rank: rows of A.
        alpha: scale of the update.
        dropout: dropout of the input of A.
        targets: last parts of the names of the adapted layers; a name that the encoder lacks has no effect.

    Raises:
        SeenetError: a number out of range.
    """

    is_partial = True

    def __init__(self, rank: int, alpha: int, dropout: float, targets: Sequence[str]):
        if rank < 1:
            raise SeenetError(f"tune.rank={rank}: expected 1 or more")
        if alpha < 1:
            raise SeenetError(f"tune.alpha={alpha}: expected 1 or more")
        if not 0 <= dropout < 1:
            raise SeenetError(f"tune.dropout={dropout}: expected 0 or more and below 1")
        self.rank, self.alpha, self.dropout, self.targets = rank, alpha, dropout, list(targets)

    def prepare(self, backbone: nn.Module) -> None:
        """Freeze the encoder and add the updates, which are trained."""
        from peft import LoraConfig, inject_adapter_in_model  # a late import: other modes do not wait for it

        encoder = require_encoder(backbone, "lora")
        encoder.requires_grad_(False)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,
            lora_dropout=self.dropout,
            target_modules=self.targets,
        )
        try:
            inject_adapter_in_model(config, encoder)
        except ValueError as error:
            raise SeenetError(f"tune.targets={self.targets}: {one_line(error)}") from error

    def merge(self, backbone: nn.Module) -> None:
        """Add the updates to the weights and remove their modules."""
        from peft.tuners.lora import LoraLayer

        encoder: Any = require_encoder(backbone, "lora")
        adapted = [(name, module) for name, module in encoder.named_modules() if isinstance(module, LoraLayer)]
        for name, module in adapted:
            module.merge(safe_merge=True)
            parent, _, child = name.rpartition(".")
            setattr(encoder.get_submodule(parent), child, module.get_base_layer())
