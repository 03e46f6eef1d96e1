"""Optimisers: built from their YAML node and tried on one parameter."""

from collections.abc import Callable, Iterable

import torch
from omegaconf import DictConfig

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.training.trainer import TrainerConfig


def build_optimizer(
    node: DictConfig, plan: TrainerConfig
) -> Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer]:
    """Return the function that makes the optimiser, tried on one parameter so that a wrong setting is found early.

    Raises:
        SeenetError: a setting that the optimiser refuses, or gradient clipping that it cannot do.
    """
    if node.get("fused") and plan.precision != "32-true" and plan.gradient_clip_val is not None:
        raise SeenetError(
            f"trainer.gradient_clip_val={plan.gradient_clip_val}: Lightning clips no gradients of a fused optimiser in "
            f"trainer.precision={plan.precision}; take optim.fused=false"
        )
    make = instantiate_checked(node, "optim")
    try:
        make([torch.nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        settings = ", ".join(f"optim.{k}={v}" for k, v in node.items() if k not in ("_target_", "_partial_", "name"))
        raise SeenetError(f"{settings}: {error}") from error
    return make
