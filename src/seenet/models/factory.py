"""The only place that assembles a classifier: for training, for prediction and for export."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from seenet.core.instantiate import check_settings, instantiate_checked
from seenet.data.targets import TargetSpec
from seenet.models.auxiliary.base import AuxiliaryTask
from seenet.models.backbones.pretrained_weights import Weights
from seenet.models.classifier import EmotionClassifier
from seenet.models.tuning.base import Tuning

NOT_OF_THE_NETWORK = ("family", "checkpoint", "revision", "path", "recipe")
"""Keys of a backbone's YAML that are not its class' own; `family` and `weights` are passed at run time."""

COMPONENTS = ("backbone", "pooling", "aux_task", "head", "tune")
"""Groups of the configuration that describe a classifier."""

EARLIER_COMPONENTS: Mapping[str, Mapping[str, Any]] = {
    "head": {"_target_": "seenet.models.heads.linear.LinearHead", "name": "linear"},
    "tune": {"_target_": "seenet.models.tuning.base.Tuning", "name": "all"},
}
"""Components of models on disk that do not name them."""

ANY_DIM = 8
"""Width of pooled vectors where a component is built for its checks alone."""


@dataclass(frozen=True)
class ModelSpec:
    """The description from which a classifier is built. Components are nodes as in YAML, with `_target_`.

    Attributes:
        classes: the emotions in their order.
        backbone: the group `backbone` of the configuration.
        pooling: the group `pooling`.
        aux_task: the group `aux_task`.
        head: the group `head`.
        tune: the group `tune`.
        target_spec: targets of the training part, from which an auxiliary task knows the size of its head.
    """

    classes: tuple[str, ...]
    backbone: Mapping[str, Any]
    pooling: Mapping[str, Any]
    aux_task: Mapping[str, Any]
    head: Mapping[str, Any]
    tune: Mapping[str, Any]
    target_spec: TargetSpec

    @classmethod
    def of(cls, config: Mapping[str, Any], classes: Sequence[str], target_spec: TargetSpec) -> "ModelSpec":
        """Take the components of a resolved configuration (conf/train.yaml)."""
        return cls(tuple(classes), target_spec=target_spec, **{name: config[name] for name in COMPONENTS})

    def portable(self, classifier: EmotionClassifier) -> "ModelSpec":
        """Return the description that rebuilds a classifier without the checkpoint of its backbone.

        A backbone may have a method `portable_settings`, which returns the settings that replace the checkpoint.
        """
        settings: dict[str, Any] = getattr(classifier.backbone, "portable_settings", dict)()
        without = {name: None for name in ("checkpoint", "revision", "path") if name in self.backbone}
        kept = {name: value for name, value in self.backbone.items() if name != "recipe"}
        return replace(self, backbone={**kept, **without, **settings}, tune=EARLIER_COMPONENTS["tune"])

    def to_json(self) -> dict[str, Any]:
        """Return the description as a JSON value."""
        targets = {name: values.tolist() for name, values in vars(self.target_spec).items()}
        components = {name: dict(getattr(self, name)) for name in COMPONENTS}
        return {"classes": list(self.classes), **components, "targets": targets}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ModelSpec":
        """Return the description that `to_json` gave.

        Raises:
            KeyError, TypeError: a part is missing or of another kind.
        """
        targets = {name: torch.tensor(numbers, dtype=torch.int64) for name, numbers in value["targets"].items()}
        components = {**EARLIER_COMPONENTS, **value}
        chosen = {name: components[name] for name in COMPONENTS}
        return cls(tuple(value["classes"]), target_spec=TargetSpec(**targets), **chosen)


def build_classifier(spec: ModelSpec, weights: Weights) -> EmotionClassifier:
    """Build a classifier.

    Args:
        spec: its description.
        weights: of the backbone, from `resolve_weights`; `Weights(None)` makes random ones.

    Raises:
        SeenetError: a wrong setting, weights that do not fit, or a corpus without the targets of the auxiliary task.
    """
    family = spec.backbone.get("family")
    backbone = instantiate_checked(
        dict(spec.backbone), "backbone", skip=NOT_OF_THE_NETWORK, family=family, weights=weights
    )
    tuning = build_tuning(spec)
    tuning.prepare(backbone)
    pooling = instantiate_checked(dict(spec.pooling), "pooling", dim=backbone.dim)
    dim = getattr(pooling, "dim", backbone.dim)  # a pooling may change the width
    return EmotionClassifier(
        backbone=backbone,
        pooling=pooling,
        auxiliary=build_auxiliary(spec, dim),
        head=instantiate_checked(dict(spec.head), "head", dim=dim, num_classes=len(spec.classes)),
        omits_frozen=tuning.is_partial and weights.source is not None,
    )


def build_tuning(spec: ModelSpec) -> Tuning:
    """Build the tuning mode of a classifier."""
    tuning: Tuning = instantiate_checked(dict(spec.tune), "tune", skip=("recipe",))
    return tuning


def build_auxiliary(spec: ModelSpec, dim: int) -> AuxiliaryTask:
    """Build the auxiliary task for pooled vectors of a width.

    Raises:
        SeenetError: a wrong setting, or a corpus without the targets of the task.
    """
    task: AuxiliaryTask = instantiate_checked(
        dict(spec.aux_task), "aux_task", dim=dim, num_classes=len(spec.classes), target_spec=spec.target_spec
    )
    return task


def check_model_settings(config: Mapping[str, Any]) -> None:
    """Check the settings of a model's components without weights and corpus.

    Args:
        config: the resolved configuration.

    Raises:
        SeenetError: a wrong setting.
    """
    check_settings(config["backbone"], "backbone", NOT_OF_THE_NETWORK, runtime=("family", "weights"))
    instantiate_checked(config["pooling"], "pooling", dim=ANY_DIM)
    check_settings(config["aux_task"], "aux_task", runtime=("dim", "num_classes", "target_spec"))
    check_settings(config["head"], "head", runtime=("dim", "num_classes"))
    instantiate_checked(config["tune"], "tune", skip=("recipe",))
