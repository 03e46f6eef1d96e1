"""Components of a model and its data, from their nodes in the configuration."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from omegaconf import DictConfig

from seenet.core.errors import SeenetError
from seenet.core.instantiate import build, check
from seenet.data.augmentation.base import Augmentation
from seenet.training.trainer import TrainerPlan

NOT_OF_THE_NETWORK = ("family", "checkpoint", "revision", "path", "recipe")
"""Keys of a backbone's YAML that are not its class' own; `family` and `weights` are passed at run time."""

ANY_DIM = 8
"""Width of pooled vectors where a component is built for its checks alone."""


def build_optimizer(
    node: DictConfig, plan: TrainerPlan
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
    make = build(node, "optim")
    try:
        make([torch.nn.Parameter(torch.zeros(1))])
    except (TypeError, ValueError) as error:
        settings = ", ".join(f"optim.{k}={v}" for k, v in node.items() if k not in ("_target_", "_partial_", "name"))
        raise SeenetError(f"{settings}: {error}") from error
    return make


def build_data(cfg: DictConfig, augmentation: Augmentation, **parts: Any) -> Any:
    """Build the data module.

    Args:
        cfg: the composed configuration (conf/train.yaml).
        augmentation: of the training clips.
        parts: train, dev and test, a `Part` each.
    """
    return build(cfg.data, "data", skip=("max_seconds",), augmentation=augmentation, seed=cfg.seed, **parts)


def check_components(cfg: DictConfig, plan: TrainerPlan, augmentation: Augmentation) -> None:
    """Check the settings of every component that a fold builds, also where all results are reused.

    What needs weights or training clips is checked without building it.

    Args:
        cfg: the composed configuration (conf/train.yaml).
        plan: how to train.
        augmentation: of the training clips.

    Raises:
        SeenetError: a wrong setting.
    """
    check(cfg.backbone, "backbone", NOT_OF_THE_NETWORK, runtime=("family", "weights"))
    build(cfg.pooling, "pooling", dim=ANY_DIM)
    check(cfg.aux_task, "aux_task", runtime=("dim", "num_classes", "train"))
    build_optimizer(cfg.optim, plan)
    check(cfg.logger, "logger", runtime=("save_dir",))
    build_data(cfg, augmentation, train=None, dev=None, test=None)
