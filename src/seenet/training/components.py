"""Components of a model and its data, from their nodes in the configuration."""

from typing import Any

from omegaconf import DictConfig

from seenet.core.instantiate import check_settings, instantiate_checked
from seenet.data.augmentation.base import Augmentation
from seenet.training.optimizers import build_optimizer
from seenet.training.trainer import TrainerConfig

NOT_OF_THE_NETWORK = ("family", "checkpoint", "revision", "path", "recipe")
"""Keys of a backbone's YAML that are not its class' own; `family` and `weights` are passed at run time."""

ANY_DIM = 8
"""Width of pooled vectors where a component is built for its checks alone."""


def build_data(cfg: DictConfig, augmentation: Augmentation, **parts: Any) -> Any:
    """Build the data module.

    Args:
        cfg: the composed configuration (conf/train.yaml).
        augmentation: of the training clips.
        parts: train, dev and test, a `Part` each.
    """
    return instantiate_checked(
        cfg.data, "data", skip=("max_seconds",), augmentation=augmentation, seed=cfg.seed, **parts
    )


def check_components(cfg: DictConfig, plan: TrainerConfig, augmentation: Augmentation) -> None:
    """Check the settings of every component that a fold builds, also where all results are reused.

    What needs weights or training clips is checked without building it.

    Args:
        cfg: the composed configuration (conf/train.yaml).
        plan: how to train.
        augmentation: of the training clips.

    Raises:
        SeenetError: a wrong setting.
    """
    check_settings(cfg.backbone, "backbone", NOT_OF_THE_NETWORK, runtime=("family", "weights"))
    instantiate_checked(cfg.pooling, "pooling", dim=ANY_DIM)
    check_settings(cfg.aux_task, "aux_task", runtime=("dim", "num_classes", "target_spec"))
    build_optimizer(cfg.optim, plan)
    check_settings(cfg.logger, "logger", runtime=("save_dir",))
    build_data(cfg, augmentation, train=None, dev=None, test=None)
