"""Optimisers: built from their YAML node, with learning rates by layer."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.training.trainer import TrainerConfig

GROUP_SETTINGS = ("backbone_lr", "layer_decay")
"""Settings of an optimiser's node that make its parameter groups."""

_LAYER = re.compile(r"^backbone\..*\blayers\.(\d+)\.")


def build_optimizer(node: Mapping[str, Any], trainer: TrainerConfig) -> Callable[[nn.Module], torch.optim.Optimizer]:
    """Return the function that makes the optimiser of a classifier.

    It is tried on one parameter, which finds a wrong setting before training starts.

    Args:
        node: the group `optim` of the configuration.
        trainer: how to train.

    Raises:
        SeenetError: a setting that the optimiser refuses, or gradient clipping that it cannot do.
    """
    if node.get("fused") and trainer.precision != "32-true" and trainer.gradient_clip_val is not None:
        raise SeenetError(
            f"trainer.gradient_clip_val={trainer.gradient_clip_val}: Lightning clips no gradients of a fused optimiser "
            f"in trainer.precision={trainer.precision}; take optim.fused=false"
        )
    make = instantiate_checked(dict(node), "optim", skip=GROUP_SETTINGS)
    backbone_lr, layer_decay = node.get("backbone_lr"), node.get("layer_decay", 1.0)
    if backbone_lr is not None and not (_is_number(backbone_lr) and 0 <= backbone_lr < float("inf")):
        raise SeenetError(f"optim.backbone_lr={backbone_lr}: expected a number, 0 or more, or null")
    if not (_is_number(layer_decay) and 0 < layer_decay <= 1):
        raise SeenetError(f"optim.layer_decay={layer_decay}: expected a number above 0 and at most 1")
    try:
        make([nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        hidden = ("_target_", "_partial_", "name", *GROUP_SETTINGS)
        settings = ", ".join(f"optim.{k}={v}" for k, v in node.items() if k not in hidden)
        raise SeenetError(f"{settings}: {error}") from error
    if backbone_lr is None and layer_decay == 1:
        return lambda model: make([p for p in model.parameters() if p.requires_grad])
    return lambda model: make(group_parameters(model, node["lr"], backbone_lr, layer_decay))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def group_parameters(
    model: nn.Module, lr: float, backbone_lr: float | None = None, layer_decay: float = 1.0
) -> list[dict[str, Any]]:
    """Group the trained parameters of a classifier by learning rate.

    Heads and pooling get `lr`. Of a backbone with L transformer layers, layer k from 1 gets
    `backbone_lr` · `layer_decay`^(L - k). What precedes the layers counts as layer 0 (Clark et al., *ELECTRA*, 2020).

    Args:
        model: its backbone's parameters have names that start with `backbone.`.
        lr: learning rate of everything but the backbone.
        backbone_lr: of the backbone's last layer; None takes `lr`.
        layer_decay: in (0, 1].

    Raises:
        SeenetError: a decay by layer for a backbone that has no layers to tell apart.
    """
    parameters = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    numbers = {name: int(found[1]) for name, _ in parameters if (found := _LAYER.match(name))}
    if layer_decay != 1 and not numbers:
        raise SeenetError(
            f"optim.layer_decay={layer_decay}: the backbone has no trained parameter named layers.<number>; take 1.0"
        )
    depth = 1 + max(numbers.values(), default=0)
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in parameters:
        rate = lr
        if name.startswith("backbone."):
            rate = (lr if backbone_lr is None else backbone_lr) * layer_decay ** (depth - 1 - numbers.get(name, -1))
        groups.setdefault(rate, []).append(parameter)
    return [{"params": params, "lr": rate} for rate, params in groups.items()]
