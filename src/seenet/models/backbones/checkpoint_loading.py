"""Loading of encoders from checkpoints, with checks of completeness."""

import errno
import logging
import pickle
import struct
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any

import torch
import transformers
from safetensors import SafetensorError
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from seenet.core.errors import SeenetError, one_line
from seenet.models.backbones.pretrained_weights import Weights

FAMILIES: Mapping[str, str] = {
    "wav2vec2": "Wav2Vec2",
    "hubert": "Hubert",
    "wavlm": "WavLM",
    "data2vec-audio": "Data2VecAudio",
    "unispeech": "UniSpeech",
    "unispeech-sat": "UniSpeechSat",
    "wav2vec2-conformer": "Wav2Vec2Conformer",
    "sew": "SEW",
}
"""Names of transformers' classes, without `Config` and `Model`, of each model type that `SpeechBackbone` reads."""

ENCODERS: Mapping[str, str] = {
    **FAMILIES,
    "whisper": "Whisper",
    "wav2vec2-bert": "Wav2Vec2Bert",
    "audio-spectrogram-transformer": "AST",
}
"""The same names of every model type."""

KEY_MAPPINGS = {"whisper": {r"^(model\.)?encoder\.": "", r"^model\.decoder\.": "decoder."}}
"""Names of tensors in checkpoints of a complete model, as patterns, and their names in the encoder."""

OPTIONAL_TENSORS = frozenset({"masked_spec_embed"})
"""Encoder tensors that may be missing or unexpected: models without time masking have no mask vector."""

OPTIONAL_MODULES = frozenset({"adapter"})
"""Modules of an encoder that only some configurations have."""

HEAD_TENSORS = frozenset({"feature_extractor.weight", "feature_extractor.bias"})
"""Tensors of a task head (XVector) under the name of an encoder module, which has only deeper names itself."""


def encoder_classes(family: str) -> tuple[type[transformers.PreTrainedConfig], type[transformers.PreTrainedModel]]:
    """Return the configuration and the encoder class of a model type."""
    name = ENCODERS[family]
    model = WhisperEncoder if family == "whisper" else getattr(transformers, f"{name}Model")
    return getattr(transformers, f"{name}Config"), model


def load_encoder(
    family: str, weights: Weights, overrides: Mapping[str, Any], architecture: Mapping[str, Any]
) -> tuple[transformers.PreTrainedModel, int]:
    """Load an encoder, or create it with random weights if `weights` has no source.

    Args:
        family: the model type.
        weights: source of the weights.
        overrides: settings of the configuration that replace those of the checkpoint.
        architecture: settings of the configuration for random weights.

    Returns:
        The encoder and the number of its parameters that come from the checkpoint.

    Raises:
        SeenetError: a setting is unknown or invalid, or the checkpoint is damaged or does not fit the architecture.
    """
    config_class, model_class = encoder_classes(family)
    transformers.utils.logging.set_verbosity(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # untyped in transformers
    unknown = [name for name in architecture if not hasattr(config_class(), name)]
    if unknown:
        raise SeenetError(f"backbone.architecture.{unknown[0]}: {config_class.__name__} has no such setting")
    if weights.source is None:
        try:
            return model_class(config_class(**{**architecture, **overrides})), 0
        except Exception as error:  # transformers raises many types, all about these settings
            raise SeenetError(f"backbone.architecture={architecture}: {one_line(error)}") from error
    model, report = _load_checkpoint(
        family, weights.source, overrides, revision=weights.revision, local_files_only=weights.cached
    )
    _require_complete(model, report, weights.source)
    missing = set(report["missing_keys"])
    return model, sum(name not in missing for name, _ in model.named_parameters())


def _load_checkpoint(
    family: str, source: str, overrides: Mapping[str, Any], **location: Any
) -> tuple[transformers.PreTrainedModel, Mapping[str, Any]]:
    """Return the encoder and the `loading_info` of transformers.

    Raises:
        SeenetError: the files cannot be loaded.
    """
    config_class, model_class = encoder_classes(family)
    try:
        config = config_class.from_pretrained(source, **location)
        for name, value in overrides.items():
            setattr(config, name, value)
        return model_class.from_pretrained(  # type: ignore[return-value]  # the loading info makes it a pair
            source,
            config=config,
            dtype=torch.float32,
            key_mapping=KEY_MAPPINGS.get(family),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # `_require_complete` refuses mismatched tensors by name
            **location,
        )
    except Exception as error:  # transformers and torch raise many types, all about these files
        raise SeenetError(f"the weights of '{source}' {_describe_failure(error)}") from error


def _describe_failure(error: Exception) -> str:
    """Explain in one line why weights cannot be loaded and what to do."""
    if isinstance(error, pickle.UnpicklingError):
        return (
            "cannot be loaded: pytorch_model.bin is damaged or contains objects other than tensors, which could "
            "execute code; download it again, or convert it to model.safetensors"
        )
    # torch.load raises EINVAL from a seek, or a RuntimeError from its reader, if a file is truncated.
    is_truncated = getattr(error, "errno", None) == errno.EINVAL or any(
        words in str(error) for words in ("zip ", "magic number", "unexpected EOF")
    )
    if is_truncated or isinstance(error, SafetensorError | EOFError | struct.error):
        return f"cannot be loaded: the file is damaged or incomplete ({one_line(error)}); download it again"
    return f"cannot be loaded: {one_line(error)}"


def _require_complete(model: transformers.PreTrainedModel, report: Mapping[str, Any], source: str) -> None:
    """Raise a SeenetError unless the checkpoint has exactly the tensors of the encoder.

    Tensors outside the modules of the encoder belong to a task head and are ignored. In a checkpoint with a task head,
    the encoder tensors have a prefix, such as `wavlm.`.

    Args:
        model: the encoder.
        report: `loading_info` of transformers.
        source: name of the checkpoint, for messages.
    """
    missing = sorted(set(report["missing_keys"]) - OPTIONAL_TENSORS)
    if missing:
        raise SeenetError(
            f"the checkpoint '{source}' lacks {len(missing)} of {len(model.state_dict())} tensors of the encoder: "
            f"{_first_names(missing)}" + _describe_foreign_prefix(missing, report["unexpected_keys"])
        )
    mismatched = sorted((name, tuple(there), tuple(here)) for name, there, here in report["mismatched_keys"])
    if mismatched:
        shapes = [f"{name} has shape {there}, the architecture expects {here}" for name, there, here in mismatched]
        raise SeenetError(
            f"the checkpoint '{source}' has {len(shapes)} tensors of another shape: {_first_names(shapes, '; ')}; "
            "its config.json describes another model"
        )
    unexpected = _unexpected_encoder_tensors(model, report["unexpected_keys"])
    if unexpected:
        raise SeenetError(
            f"the checkpoint '{source}' contains {len(unexpected)} encoder tensors that the architecture of its "
            f"config.json does not have: {_first_names(unexpected)}"
        )


def _unexpected_encoder_tensors(model: transformers.PreTrainedModel, unexpected: Collection[str]) -> list[str]:
    """Return the unexpected tensors of encoder modules, except optional and task-head tensors."""
    modules = {name for name, _ in model.named_children()} | OPTIONAL_MODULES | {model.base_model_prefix}
    names = sorted(name for name in unexpected if name.partition(".")[0] in modules)
    ignored = OPTIONAL_TENSORS | HEAD_TENSORS
    return [name for name in names if name.removeprefix(f"{model.base_model_prefix}.") not in ignored]


def _first_names(names: Collection[str], separator: str = ", ") -> str:
    """Join the first three names and count the others."""
    shown = separator.join(list(names)[:3])
    return shown + (f"{separator}and {len(names) - 3} more" if len(names) > 3 else "")


def _describe_foreign_prefix(missing: Collection[str], unexpected: Collection[str]) -> str:
    """Name the prefix under which a checkpoint has most of the missing tensors, if any."""
    prefixes = Counter(
        there[: -len(name)] for name in missing for there in unexpected if there != name and there.endswith(f".{name}")
    )
    if not prefixes:
        return ""
    prefix, count = max(prefixes.items(), key=lambda item: (item[1], -len(item[0])))
    if 2 * count <= len(missing):
        return ""
    found = "them" if count == len(missing) else f"{count} of them"
    return f"; it contains {found} with the prefix '{prefix}': remove the prefix from the names and save again"
