"""Components of a training, from their nodes in the resolved configuration."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from seenet.core.instantiate import check_settings, instantiate_checked
from seenet.data.augmentation.base import Augmentation
from seenet.data.targets import TargetSpec
from seenet.models.factory import check_model_settings
from seenet.training.optimizers import build_optimizer
from seenet.training.trainer import TrainerConfig


def build_data(config: Mapping[str, Any], augmentation: Augmentation, **parts: Any) -> Any:
    """Build the data module.

    Args:
        config: the resolved configuration (conf/train.yaml).
        augmentation: of the training clips.
        parts: train, dev and test, a `FoldPart` each.
    """
    skip = ("max_seconds",) if augmentation.needs_partner else ("max_seconds", "partner")
    return instantiate_checked(
        config["data"], "data", skip=skip, augmentation=augmentation, seed=config["seed"], **parts
    )


def build_loss(config: Mapping[str, Any], target_spec: TargetSpec) -> nn.Module:
    """Build the loss of the main head."""
    loss: nn.Module = instantiate_checked(config["loss"], "loss", target_spec=target_spec)
    return loss


def check_components(
    config: Mapping[str, Any], classes: tuple[str, ...], trainer: TrainerConfig, augmentation: Augmentation
) -> None:
    """Check the settings of every component that a fold builds, also where all results are reused.

    Args:
        config: the resolved configuration (conf/train.yaml).
        classes: the emotions.
        trainer: how to train.
        augmentation: of the training clips.

    Raises:
        SeenetError: a wrong setting.
    """
    check_model_settings(config)
    nobody = torch.zeros(0, dtype=torch.int64)
    build_loss(config, TargetSpec(torch.ones(len(classes), dtype=torch.int64), nobody, nobody))
    build_optimizer(config["optim"], trainer)
    instantiate_checked(config["schedule"], "schedule")
    check_settings(config["logger"], "logger", runtime=("save_dir",))
    build_data(config, augmentation, train=None, dev=None, test=None)
