"""Features that are computed once where a head is trained by gradient on a frozen encoder."""

from collections.abc import Mapping
from typing import Any, cast

import hydra.utils
import numpy as np
import torch
from torch import nn

from seenet.core.console import print_line
from seenet.core.errors import SeenetError
from seenet.corpora.folds import Fold
from seenet.corpora.split_schemes import Indices
from seenet.data.augmentation.identity import Identity
from seenet.data.conditions.augmented_copy import AugmentedCopy
from seenet.data.conditions.clean import Clean
from seenet.data.dataset import FoldPart
from seenet.features.cached_batches import StatesPart, VectorsPart
from seenet.features.clip_keys import NOT_OF_HIDDEN_STATES, hash_source, hash_tensors, key_clips
from seenet.features.extraction import FeatureExtractor
from seenet.features.hidden_states import HiddenStates
from seenet.models.classifier import EmotionClassifier
from seenet.models.pooling import MeanPooling, StatisticsPooling
from seenet.models.tuning.frozen import Frozen
from seenet.runs.identity import augmentation_steps, component_name, describe_component
from seenet.training.experiment import Experiment


def reads_cache(experiment: Experiment) -> bool:
    """Return whether the waveforms, hence the output of a frozen encoder, are the same in every epoch.

    Several processes would have to share the extraction; they compute the encoder in every step.
    """
    is_constant = isinstance(experiment.augmentation, Identity) or bool(experiment.config["aug"].get("copies"))
    return _is_frozen(experiment) and is_constant and experiment.trainer.devices == 1


def _is_frozen(experiment: Experiment) -> bool:
    """Return whether the encoder is frozen and its output may be cached."""
    tune = experiment.config["tune"]
    return component_name(tune["_target_"]) == Frozen.__name__ and bool(tune.get("cache", True))


def make_copies(experiment: Experiment) -> list[AugmentedCopy]:
    """Return the random copies of the training clips that `aug.copies` asks for."""
    described = {
        name: {**describe_component(step), "code": hash_source(hydra.utils.get_class(step["_target_"]))}
        for name, step in augmentation_steps(experiment.config["aug"]).items()
    }
    partner = experiment.config["data"]["partner"] if experiment.augmentation.needs_partner else None
    clips = experiment.manifest, experiment.store
    return [
        AugmentedCopy(experiment.augmentation, described, number + 1, *clips, partner)
        for number in range(experiment.config["aug"].get("copies") or 0)
    ]


def make_cached_parts(
    experiment: Experiment, fold: Fold, classifier: EmotionClassifier, parts: Mapping[str, FoldPart]
) -> dict[str, FoldPart]:
    """Return parts that hold features, which are computed where the cache lacks them.

    Pooled vectors are enough where nothing before the head is trained or random; otherwise batches hold hidden states.

    Args:
        experiment: the experiment.
        fold: the fold.
        classifier: its backbone is frozen.
        parts: of the fold, with waveforms.

    Returns:
        The same parts where features cannot be cached.

    Raises:
        SeenetError: the cache cannot be written, or the disk is too small.
    """
    backbone = cast(Any, classifier.backbone)
    if not (reads_cache(experiment) and hasattr(backbone, "hidden_states") and hasattr(backbone, "combine")):
        if experiment.config["aug"].get("copies"):
            raise SeenetError("aug.copies: this backbone has no hidden_states that can be cached; take aug.copies=null")
        if _is_frozen(experiment) and not isinstance(experiment.augmentation, Identity):
            aug = "+".join(augmentation_steps(experiment.config["aug"]))
            print_line(
                f"the frozen encoder runs in every step, because aug={aug} draws anew in each epoch; aug.copies=5 "
                "computes five random copies of each training clip once"
            )
        return dict(parts)
    was_training = classifier.training
    try:
        return _read_parts(experiment, fold, classifier, parts)
    finally:
        classifier.train(was_training)  # extraction sets the evaluation mode, which Lightning would keep


def _read_parts(
    experiment: Experiment, fold: Fold, classifier: EmotionClassifier, parts: Mapping[str, FoldPart]
) -> dict[str, FoldPart]:
    rows = np.unique(np.concatenate([part.indices for part in parts.values()]))
    clean, copies = Clean(experiment.manifest, experiment.store), [c.for_fold(fold) for c in make_copies(experiment)]
    train = parts["train"]
    if _is_pooling_constant(classifier):
        extractor = make_extractor(experiment, classifier)
        vectors = extractor.pooled(rows, clean, fold)
        of = {name: vectors[np.searchsorted(rows, part.indices)] for name, part in parts.items()}
        of["train"] = np.concatenate([of["train"], *(extractor.pooled(train.indices, copy, fold) for copy in copies)])
        return {name: VectorsPart(part, of[name]) for name, part in parts.items()}
    weighs_frames = getattr(classifier.pooling, "range_db", None) is not None
    states = _compute_states(experiment, classifier, rows, None, fold)
    changed = [_compute_states(experiment, classifier, train.indices, copy, fold) for copy in copies]
    return {
        name: StatesPart(part, [states, *(changed if part is train else ())], weighs_frames)
        for name, part in parts.items()
    }


def _compute_states(
    experiment: Experiment,
    classifier: EmotionClassifier,
    rows: Indices,
    change: AugmentedCopy | None,
    fold: Fold,
) -> HiddenStates:
    """Compute the hidden states of clips where the cache lacks them."""
    backbone, content = cast(Any, classifier.backbone), {}
    if change is not None:
        sources = change.find_source_clips(fold)
        content = {
            "change": change.settings,
            "sources": None if sources is None else key_clips(experiment.store, sources).tolist(),
        }
    states = HiddenStates(
        experiment.manifest,
        experiment.store,
        backbone,
        experiment.config["backbone"]["name"],
        {**_describe_encoder(experiment, backbone), **content},
        _device(experiment),
        change,
    )
    states.compute(rows)
    return states


def _is_pooling_constant(classifier: EmotionClassifier) -> bool:
    """Return whether the pooled vector of a clip is the same in every step."""
    backbone = cast(nn.Module, classifier.backbone)
    is_trained = any(p.requires_grad for p in backbone.parameters())
    has_dropout = any(getattr(module, "p", 0) > 0 for module in backbone.children())
    return isinstance(classifier.pooling, MeanPooling | StatisticsPooling) and not is_trained and not has_dropout


def _device(experiment: Experiment) -> torch.device:
    return torch.device("cuda" if experiment.trainer.accelerator == "gpu" else "cpu")


def _fingerprint(experiment: Experiment, backbone: nn.Module) -> str:
    return experiment.weights.fingerprint if experiment.weights.source is not None else hash_tensors(backbone)


def _describe_encoder(experiment: Experiment, backbone: nn.Module) -> dict[str, Any]:
    """Return what determines the hidden states of a frozen encoder."""
    described = describe_component(experiment.config["backbone"])
    return {
        "backbone": {name: value for name, value in described.items() if name not in NOT_OF_HIDDEN_STATES},
        "code": hash_source(type(backbone)),
        "weights": _fingerprint(experiment, backbone),
    }


def make_extractor(experiment: Experiment, classifier: EmotionClassifier) -> FeatureExtractor:
    """Return the extractor of pooled vectors, whose cache fitted heads read, too."""
    config = experiment.config
    return FeatureExtractor(
        classifier,
        config["backbone"],
        config["pooling"],
        _fingerprint(experiment, cast(nn.Module, classifier.backbone)),
        experiment.store,
        experiment.manifest.name,
        experiment.manifest.column("utterance").tolist(),
        _device(experiment),
    )
