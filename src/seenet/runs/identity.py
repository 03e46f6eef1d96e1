"""Identity of a training: one explicit list of the settings and contents that change what a model learns.

A run's folder, the reuse of results and the arms of a report follow from this list. A module may move and a new setting
may appear without effect on finished runs: components enter by class name, and a setting enters only where it differs
from the value in `RECORDED_DEFAULTS`.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

IDENTITY_SCHEMA = 1
"""Raised only where equal settings learn something else than before: then no older training is reused."""

RECORDED_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "SpeechBackbone": {
        "layers": "last",
        "combine": "sum",
        "freeze_feature_encoder": True,
        "freeze": False,
        "normalize": False,
        "final_dropout": None,
        "hidden_dropout": None,
        "attention_dropout": None,
        "feat_proj_dropout": None,
        "layerdrop": None,
        "mask_time_prob": None,
        "mask_feature_prob": None,
        "architecture": {},
    },
    "WhisperBackbone": {
        "layers": "last",
        "combine": "sum",
        "freeze": False,
        "full_context": False,
        "dropout": None,
        "attention_dropout": None,
        "layerdrop": None,
        "mask_time_prob": None,
        "mask_feature_prob": None,
        "architecture": {},
    },
    "Wav2Vec2BertBackbone": {
        "layers": "last",
        "combine": "sum",
        "freeze": False,
        **dict.fromkeys(("hidden_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop")),
        **dict.fromkeys(("mask_time_prob", "mask_feature_prob")),
        "architecture": {},
    },
    "AstBackbone": {
        "layers": "last",
        "combine": "sum",
        "freeze": False,
        "full_context": False,
        "mean": -4.2677393,
        "std": 4.5689974,
        **dict.fromkeys(("hidden_dropout", "attention_dropout")),
        "architecture": {},
    },
    "FunctionalsBackbone": {"features": ["loudness", "pitch", "mfcc", "spectral"]},
    "LogisticHead": {"refit": True, "by_layer": False, "normalize": "corpus", "max_iterations": 500},
    "SvmHead": {"refit": True, "by_layer": False, "normalize": "corpus", "max_iterations": 500},
    "StatisticsPooling": {"statistics": ["mean", "std"], "range_db": None},
    "EnergyBasedMixup": {"ratio_db": [-5, 5]},
    "Mixup": {"max_ratio": 0.3, "probability": 0.5},
    "GaussianSNR": {"snr_db": [0, 20], "probability": 0.5},
    "TimeStretch": {"rate": [0.9, 1.1], "probability": 0.5},
    "PitchShift": {"semitones": [-4, 4], "probability": 0.5},
    "SoftEmotionExperts": {"weight": 0.01, "width": 256},
    "Gender": {"weight": 0.01},
    "Speaker": {"weight": 0.01},
    "Strict": {"dev_share": 0.2, "split_seed": 0},
    "SpeakerFolds": {"seed": 0},
    "ClipFolds": {"seed": 0},
    "EmotionData": {"batch_size": 64, "max_seconds": 6, "balanced": True, "partner": "uniform", "bucketed": True},
    "CrossEntropy": {"class_weights": None, "label_smoothing": 0},
    "FocalLoss": {"gamma": 2, "class_weights": None},
    "Warmup": {"warmup": 0.1},
    "Plateau": {"factor": 0.5, "patience": 2},
    "optim": {"backbone_lr": None, "layer_decay": 1},
    "trainer": {
        "devices": 1,
        "accumulate_grad_batches": 1,
        "gradient_clip_val": None,
        "early_stopping_patience": None,
    },
}
"""By class (or section) the value of each setting with which trainings were made that do not name it.

Give a new setting its neutral value here. Never change or remove an entry: finished runs would be trained again, or
worse, be reused for other settings.
"""

NEUTRAL_SECTIONS: Mapping[str, Mapping[str, Any]] = {
    "head": {"class": "LinearHead"},
    "tune": {"class": "Tuning"},
    "loss": {"class": "CrossEntropy"},
    "schedule": {"class": "Constant"},
}
"""Sections that trainings before them do not name, with the component that learns as those did."""

IGNORED_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "SpeechBackbone": (
        *("checkpoint", "revision", "path", "recipe"),  # the content of the weights and other settings say it
        *("attention", "fast_layers", "checkpointing"),  # equal but for rounding
    ),
    **{
        name: ("checkpoint", "revision", "path", "recipe", "checkpointing")
        for name in ("WhisperBackbone", "Wav2Vec2BertBackbone", "AstBackbone")
    },
    "FunctionalsBackbone": ("checkpoint", "revision", "path", "recipe"),
    "Frozen": ("recipe", "cache"),  # the settings of the backbone say it; rounding
    "EmotionData": ("num_workers",),
    "Strict": ("allow_leaks",),
    "Paper": ("allow_leaks",),
    "Final": ("allow_leaks", "dev_share", "split_seed"),  # they choose the number of epochs, which counts
    **{f"torch.optim.{name}": ("fused",) for name in ("AdamW", "Adam", "SGD")},
}
"""By class the settings that do not change what is learned, or say it in another way."""

EQUIVALENT_OPTIONS = ("attention", "fast_layers", "checkpointing")
"""Settings of a backbone that give the same figures but for rounding."""

TRAINER_SETTINGS = (
    *("max_epochs", "devices", "precision", "accumulate_grad_batches", "gradient_clip_val"),
    "early_stopping_patience",
)

_NOT_SETTINGS = ("name", "_target_", "_partial_", "_convert_", "_recursive_")


def component_name(target: str) -> str:
    """Return the class name of a component of seenet, and the full import path of any other."""
    return target.rpartition(".")[2] if target.startswith("seenet.") else target


def describe_component(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the class of a YAML node and all its settings that count, complete with recorded defaults."""
    name = component_name(node.get("_target_", ""))
    ignored = (*_NOT_SETTINGS, *IGNORED_SETTINGS.get(name, ()))
    settings = {key: value for key, value in node.items() if key not in ignored}
    return {"class": name, **RECORDED_DEFAULTS.get(name, {}), **settings}


def augmentation_steps(aug: Mapping[str, Any]) -> dict[str, Any]:
    """Return the steps of the group `aug` of a resolved configuration by name, without its other settings."""
    return {name: step for name, step in aug.items() if name != "copies"}


def describe_training(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return every setting that changes what is learned, by section, complete with recorded defaults.

    Args:
        config: the resolved configuration (conf/train.yaml) of a run, or of a result of any version.
    """
    dataset = config["dataset"]
    protocol = describe_component(config["protocol"])
    all_train = config.get("test_dataset") is not None or protocol["class"] == "Final"
    scheme = {} if all_train else dataset["schemes"].get(dataset.get("folds"), {})
    trainer = {key: value for key, value in config["trainer"].items() if key in TRAINER_SETTINGS}
    return {
        "seed": config["seed"],
        "scheme": {"class": "all clips train"} if all_train else describe_component(scheme),
        "protocol": protocol,
        "data": describe_component(config["data"]),
        "aug": {name: describe_component(step) for name, step in augmentation_steps(config["aug"]).items()},
        **({"copies": config["aug"]["copies"]} if config["aug"].get("copies") else {}),
        "backbone": describe_component(config["backbone"]),
        "pooling": describe_component(config["pooling"]),
        "aux_task": describe_component(config["aux_task"]),
        "optim": {**RECORDED_DEFAULTS["optim"], **describe_component(config["optim"])},
        "head": describe_component(config.get("head", {"_target_": "seenet.LinearHead"})),
        "tune": describe_component(config.get("tune", {"_target_": "seenet.Tuning"})),
        "loss": describe_component(config.get("loss", {"_target_": "seenet.CrossEntropy"})),
        "schedule": describe_component(config.get("schedule", {"_target_": "seenet.Constant"})),
        "trainer": {**RECORDED_DEFAULTS["trainer"], **trainer},
    }


def training_identity(config: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what identifies a training, fold apart; equal trainings have equal identities.

    Args:
        config: the resolved configuration.
        content: what the configuration does not tell: `classes`, `corpus` (a hash of labels, speakers and samples of
            what is trained on), `weights` (a hash) and the resolved settings of the trainer (`TRAINER_SETTINGS`).
    """
    described = describe_training(config)
    trainer = {key: content["trainer"][key] for key in TRAINER_SETTINGS}
    components = ("scheme", "protocol", "data", "backbone", "pooling", "aux_task", "optim", *NEUTRAL_SECTIONS)
    sections = {name: _without_defaults(described[name], described[name]["class"]) for name in components}
    sections["optim"] = _without_defaults(sections["optim"], "optim")
    return {
        "schema": IDENTITY_SCHEMA,
        "seed": described["seed"],
        **{name: section for name, section in sections.items() if section != NEUTRAL_SECTIONS.get(name)},
        "aug": [_without_defaults(step, step["class"]) for step in described["aug"].values()],  # their order matters
        **{name: described[name] for name in ("copies",) if name in described},
        "trainer": _without_defaults(trainer, "trainer"),
        **{key: content[key] for key in ("classes", "corpus", "weights")},
    }


def _without_defaults(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    defaults = RECORDED_DEFAULTS.get(name, {})
    return {key: v for key, v in settings.items() if key not in defaults or _plain(v) != _plain(defaults[key])}


def _plain(value: Any) -> Any:
    """Return a JSON value in which 6.0 is 6."""
    if isinstance(value, Mapping):
        return {key: _plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def digest(value: object) -> str:
    """Return twelve hexadecimal digits that stand for a JSON value; equal numbers are equal, however written."""
    text = json.dumps(_plain(value), sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
