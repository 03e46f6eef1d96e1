"""Components of a training, from their nodes in the resolved configuration."""

from collections.abc import Mapping
from typing import Any

import hydra.utils
import torch
from torch import nn

from seenet.core.errors import SeenetError
from seenet.core.instantiate import check_settings, instantiate_checked
from seenet.data.augmentation.base import Augmentation
from seenet.data.augmentation.identity import Identity
from seenet.data.targets import TargetSpec
from seenet.models.factory import ANY_DIM, check_model_settings
from seenet.models.heads.fitted import FittedHead
from seenet.runs.identity import augmentation_steps, component_name
from seenet.training.optimizers import build_optimizer
from seenet.training.trainer import TrainerConfig


def build_data(config: Mapping[str, Any], augmentation: Augmentation, **parts: Any) -> Any:
    """Build the data module.

    Args:
        config: the resolved configuration (conf/train.yaml).
        augmentation: of the training clips.
        parts: train, dev and test, a `FoldPart` each.
    """
    if config["aug"].get("copies"):  # cached features of the copies replace it
        augmentation = Identity()
    skip = ("max_seconds",) if augmentation.needs_partner else ("max_seconds", "partner")
    return instantiate_checked(
        config["data"], "data", skip=skip, augmentation=augmentation, seed=config["seed"], **parts
    )


def build_loss(config: Mapping[str, Any], target_spec: TargetSpec) -> nn.Module:
    """Build the loss of the main head."""
    loss: nn.Module = instantiate_checked(config["loss"], "loss", target_spec=target_spec)
    return loss


def is_fitted(config: Mapping[str, Any]) -> bool:
    """Return whether the head is fitted to features, and not trained by gradients."""
    return issubclass(hydra.utils.get_class(config["head"]["_target_"]), FittedHead)


def _check_fitted_head(config: Mapping[str, Any], trainer: TrainerConfig, augmentation: Augmentation) -> None:
    """Raise a SeenetError for a component that a fitted head excludes."""
    head = f"head={config['head']['name']} is fitted to features of a frozen encoder"
    if component_name(config["tune"]["_target_"]) != "Frozen":
        raise SeenetError(f"{head}; take tune=none, or head=linear with tune={config['tune']['name']}")
    if not isinstance(augmentation, Identity) and not config["aug"].get("copies"):
        aug = "+".join(augmentation_steps(config["aug"]))
        raise SeenetError(
            f"{head}, which are computed once, and aug={aug} draws anew in each epoch; take aug.copies=5 for five "
            "random copies of each training clip that are computed once, or aug=none"
        )
    if component_name(config["aux_task"]["_target_"]) != "NoAuxiliary":
        raise SeenetError(
            f"{head}, and aux_task={config['aux_task']['name']} needs gradients; take aux_task=none, or head=linear"
        )
    if list(instantiate_checked(config["pooling"], "pooling", dim=ANY_DIM).parameters()):
        raise SeenetError(f"{head}, and pooling={config['pooling']['name']} is trained; take pooling=statistics")
    if trainer.devices != 1:
        raise SeenetError(f"{head} in one process; take trainer.devices=1")


def _check_copies(config: Mapping[str, Any], trainer: TrainerConfig, augmentation: Augmentation) -> None:
    """Raise a SeenetError unless `aug.copies` is null or can have an effect."""
    copies = config["aug"].get("copies")
    if copies is None:
        return
    if isinstance(copies, bool) or not isinstance(copies, int) or copies < 1:
        raise SeenetError(f"aug.copies={copies}: expected a whole number, 1 or more, or null")
    if isinstance(augmentation, Identity):
        raise SeenetError(f"aug.copies={copies}: aug=none changes no clip; choose an augmentation, e.g. aug=ebm")
    tune = config["tune"]
    if component_name(tune["_target_"]) != "Frozen" or not tune.get("cache", True):
        raise SeenetError(f"aug.copies={copies} needs tune=none with its cache; other modes draw anew in each epoch")
    if trainer.devices != 1:
        raise SeenetError(f"aug.copies={copies} needs one process; take trainer.devices=1")


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
    _check_copies(config, trainer, augmentation)
    if is_fitted(config):
        _check_fitted_head(config, trainer, augmentation)
    nobody = torch.zeros(0, dtype=torch.int64)
    build_loss(config, TargetSpec(torch.ones(len(classes), dtype=torch.int64), nobody, nobody))
    build_optimizer(config["optim"], trainer)
    instantiate_checked(config["schedule"], "schedule")
    check_settings(config["logger"], "logger", runtime=("save_dir",))
    build_data(config, augmentation, train=None, dev=None, test=None)
