"""wav2vec 2.0, HuBERT, WavLM and data2vec-audio, through transformers."""

import errno
import math
import pickle
import struct
import warnings
from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, Literal

import torch
import transformers
from safetensors import SafetensorError
from torch import Tensor, nn

from seenet.core.errors import SeenetError, one_line
from seenet.data.batch import length_mask
from seenet.models.backbones.fast_attention import use_attention
from seenet.models.backbones.fast_convolutions import use_convolutions
from seenet.models.backbones.fast_dropout import use_dropout
from seenet.models.backbones.length_handling import pad_to, patch_length_handling, receptive_field, set_lengths
from seenet.models.backbones.pretrained_weights import Weights

FAMILIES = {
    "wav2vec2": (transformers.Wav2Vec2Config, transformers.Wav2Vec2Model),
    "hubert": (transformers.HubertConfig, transformers.HubertModel),
    "wavlm": (transformers.WavLMConfig, transformers.WavLMModel),
    "data2vec-audio": (transformers.Data2VecAudioConfig, transformers.Data2VecAudioModel),
}

FRAME_MULTIPLES = {"cuda": 8}
"""Batches have a multiple of so many frames there: torch's fused attention would copy a bias of 299 in each layer."""

OPTIONAL_TENSORS = frozenset({"masked_spec_embed"})
"""Encoder tensors that a checkpoint may lack or have in excess: models without time masking have no mask vector."""

OPTIONAL_PARTS = frozenset({"adapter"})
"""Modules of an encoder that only some configurations have."""

HEAD_TENSORS = frozenset({"feature_extractor.weight", "feature_extractor.bias"})
"""Tensors of a task head (XVector's) that have the name of an encoder's module; its own has only deeper names."""

RECOMPILE_LIMIT = 1024
"""Forms of one layer that a process compiles at most: training and test, each of every arm of a sweep."""


class SpeechBackbone(nn.Module):
    """(waveform, lengths) to (frames, frame mask). A clip's frames never depend on what it is batched with.

    Options that are None keep what the checkpoint's configuration says.

    Args:
        family: the model type.
        weights: where the weights are, from `find_weights`; without a source they are random.
        freeze_feature_encoder: do not train the convolutions (the paper's setting).
        freeze: train nothing of the backbone, and keep it in evaluation mode.
        normalize: zero mean and unit variance of each clip over its valid samples. The paper's setting is
            off, also where the checkpoint's own feature extractor would.
        final_dropout: on the last hidden state.
        hidden_dropout: in the transformer layers.
        attention_dropout: on attention weights.
        feat_proj_dropout: before the transformer.
        layerdrop: probability of skipping a transformer layer.
        mask_time_prob: share of frames masked in training (SpecAugment).
        mask_feature_prob: share of channels masked in training.
        attention: how it is computed: a form of `use_attention`, or `stock` for transformers' own.
        fast_layers: compute convolutions and dropout in faster forms than transformers'.
        checkpointing: keep no activations of the transformer layers for the way back but compute them again: longer
            steps, and a fraction of the memory.
        architecture: settings of the transformers configuration, for random weights.

    Attributes:
        dim: width of a frame.
        loaded_tensors: how many parameters come from the checkpoint; 0 with random weights.

    Raises:
        SeenetError: a share outside [0, 1], a setting that the configuration refuses, or a checkpoint that does not
            fit the architecture.
    """

    def __init__(
        self,
        family: Literal["wav2vec2", "hubert", "wavlm", "data2vec-audio"],
        weights: Weights,
        freeze_feature_encoder: bool = True,
        freeze: bool = False,
        normalize: bool = False,
        final_dropout: float | None = None,
        hidden_dropout: float | None = None,
        attention_dropout: float | None = None,
        feat_proj_dropout: float | None = None,
        layerdrop: float | None = None,
        mask_time_prob: float | None = None,
        mask_feature_prob: float | None = None,
        attention: Literal["auto", "eager", "sdpa", "flex", "stock"] = "auto",
        fast_layers: bool = True,
        checkpointing: bool = False,
        architecture: dict[str, Any] | None = None,
    ):
        super().__init__()
        shares = {
            "final_dropout": final_dropout,
            "hidden_dropout": hidden_dropout,
            "attention_dropout": attention_dropout,
            "feat_proj_dropout": feat_proj_dropout,
            "layerdrop": layerdrop,
            "mask_time_prob": mask_time_prob,
            "mask_feature_prob": mask_feature_prob,
        }
        shares = {name: value for name, value in shares.items() if value is not None}
        for name, value in shares.items():
            if not 0 <= value <= 1:
                raise SeenetError(f"backbone.{name}={value}: expected 0 to 1")
        self.model, self.loaded_tensors = _load(family, weights, shares, architecture or {})
        config = self.model.config
        _require_supported(config)
        self.dim: int = config.hidden_size
        self.freeze, self.normalize = freeze, normalize
        self.dropout = nn.Dropout(config.final_dropout)
        patch_length_handling(self.model)
        self._shortest = receptive_field(config.conv_kernel, config.conv_stride)
        self._hop = math.prod(config.conv_stride)
        if attention != "stock":
            use_attention(self.model, attention)
        if fast_layers:
            use_convolutions(self.model)
            use_dropout(self)
        if checkpointing:
            with warnings.catch_warnings():  # of a new name, which transformers 5.0 does not know
                warnings.simplefilter("ignore", FutureWarning)
                self.model.gradient_checkpointing_enable({"use_reentrant": False})
        if freeze_feature_encoder or freeze:
            self.model.feature_extractor._freeze_parameters()  # HubertModel has no public name for it
        if freeze:
            self.model.requires_grad_(False)
        # from_pretrained returns a model in evaluation mode, and Lightning keeps the mode that it finds.
        self.train()

    def compile_layers(self) -> None:
        """Let torch.compile fuse the feature encoder and each transformer layer, once for clips of all lengths."""
        # All arms of a sweep share one limit, behind which torch goes on uncompiled without an error; it is 8.
        torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = RECOMPILE_LIMIT
        for part in (self.model.feature_extractor, *self.model.encoder.layers):
            part.compile(dynamic=True)

    def train(self, mode: bool = True) -> "SpeechBackbone":
        """Training mode for what is trained; a frozen model stays in evaluation mode."""
        super().train(mode)
        if self.freeze:
            self.model.eval()
        return self

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Frames of each clip.

        Args:
            waveform: 16 kHz; what stands in the padding is not heard. Shape (batch, samples).
            lengths: valid samples; a clip shorter than one frame's receptive field counts as that long.
                Shape (batch,).

        Returns:
            Frames, shape (batch, frames, dim), and their mask, shape (batch, frames), True where valid.
        """
        waveform = torch.where(length_mask(lengths, waveform.shape[1]), waveform, 0)
        heard = self._frames(waveform.shape[1])
        waveform = pad_to(waveform, self._padded_sample_count(waveform))
        lengths = lengths.clamp(min=self._shortest)
        samples = length_mask(lengths, waveform.shape[1])
        if self.normalize:
            waveform = _normalize(waveform, lengths, samples)
        frames = set_lengths(self.model, lengths)
        output = self.model(waveform, attention_mask=samples).last_hidden_state[:, :heard]
        return self.dropout(output), length_mask(frames, heard)

    def _frames(self, samples: int) -> int:
        """How many frames so many samples have; one, where they are fewer than its receptive field."""
        return max(0, samples - self._shortest) // self._hop + 1

    def _padded_sample_count(self, waveform: Tensor) -> int:
        """Samples of as many frames as `FRAME_MULTIPLES` asks for, with none left over.

        Where some are, or not, torch.compile would take the feature encoder for different programs.
        """
        multiple = FRAME_MULTIPLES.get(waveform.device.type, 1)
        frames = self._frames(waveform.shape[1] + self._hop - 1)
        return self._shortest + (-(-frames // multiple) * multiple - 1) * self._hop


def _normalize(waveform: Tensor, lengths: Tensor, valid: Tensor) -> Tensor:
    count = lengths[:, None]
    mean = waveform.sum(1, keepdim=True) / count
    centred = torch.where(valid, waveform - mean, 0)
    variance = centred.square().sum(1, keepdim=True) / count
    return centred * torch.rsqrt(variance + 1e-7)


def _require_supported(config: transformers.PreTrainedConfig) -> None:
    """Raise a SeenetError for what a checkpoint or `backbone.architecture` may ask for and is not done here."""
    if getattr(config, "add_adapter", False):
        raise SeenetError(
            "add_adapter=True: a model with an adapter behind its transformer cannot be used; take another"
        )
    if config.mask_time_prob > 0 and config.mask_time_length < 1:
        raise SeenetError(f"mask_time_length={config.mask_time_length}: expected 1 or more frames")
    if config.mask_feature_prob > 0 and not 1 <= config.mask_feature_length <= config.hidden_size:
        raise SeenetError(
            f"mask_feature_length={config.mask_feature_length}: expected 1 to {config.hidden_size} channels"
        )


def _load(
    family: str, weights: Weights, shares: dict[str, float], architecture: dict[str, Any]
) -> tuple[transformers.PreTrainedModel, int]:
    """Return the encoder and the number of its parameters that come from the checkpoint."""
    config_class, model_class = FAMILIES[family]
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    unknown = [name for name in architecture if not hasattr(config_class(), name)]
    if unknown:
        raise SeenetError(f"backbone.architecture.{unknown[0]}: {config_class.__name__} has no such setting")
    if weights.source is None:
        try:
            return model_class(config_class(**architecture, **shares)), 0
        except Exception as error:  # transformers raises many kinds; every one of them is about these settings
            raise SeenetError(f"backbone.architecture={architecture}: {one_line(error)}") from error
    place = {"revision": weights.revision, "local_files_only": weights.cached}
    try:
        config = config_class.from_pretrained(weights.source, **place)
        for name, value in shares.items():
            setattr(config, name, value)
        model, report = model_class.from_pretrained(
            weights.source,
            config=config,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # a tensor of another shape is refused below, by name
            **place,
        )
    except Exception as error:  # transformers and torch raise many kinds; every one of them is about these files
        raise SeenetError(f"the weights of '{weights.source}' {_failure(error)}") from error
    _require_complete(model, report, weights.source)
    missing = set(report["missing_keys"])
    return model, sum(name not in missing for name, _ in model.named_parameters())


def _failure(error: Exception) -> str:
    """Why weights cannot be loaded, in one line that a user can act on."""
    if isinstance(error, pickle.UnpicklingError):
        return (
            "cannot be loaded: pytorch_model.bin is damaged, or holds more than tensors, which can run any program and "
            "is refused; download it again, or convert it to model.safetensors"
        )
    # What torch.load raises for a file that was cut: EINVAL of a seek, or a RuntimeError of its reader.
    cut = getattr(error, "errno", None) == errno.EINVAL or any(
        words in str(error) for words in ("zip ", "magic number", "unexpected EOF")
    )
    if cut or isinstance(error, SafetensorError | EOFError | struct.error):
        return f"cannot be loaded: the file is damaged or incomplete ({one_line(error)}); download it again"
    return f"cannot be loaded: {one_line(error)}"


def _require_complete(model: transformers.PreTrainedModel, report: Mapping[str, Any], source: str) -> None:
    """Raise a SeenetError unless every tensor of the encoder, and no other of its modules, is in the checkpoint.

    Tensors outside the encoder's modules belong to a task head and are ignored. The report gives the encoder tensors
    of a checkpoint with a task head under the prefix of the encoder in it, such as `wavlm.`.

    Args:
        model: the encoder.
        report: `loading_info` of transformers.
        source: of the checkpoint, for messages.
    """
    missing = sorted(set(report["missing_keys"]) - OPTIONAL_TENSORS)
    total = len(model.state_dict())
    if missing:
        raise SeenetError(
            f"the checkpoint '{source}' lacks {len(missing)} of {total} tensors of the encoder: {_first(missing)}"
            + _foreign_prefix(missing, report["unexpected_keys"])
        )
    mismatched = sorted((name, tuple(there), tuple(here)) for name, there, here in report["mismatched_keys"])
    if mismatched:
        shapes = [f"{name} has shape {there}, the architecture expects {here}" for name, there, here in mismatched]
        raise SeenetError(
            f"the checkpoint '{source}' has {len(shapes)} tensors of another shape: {_first(shapes, '; ')}; "
            "its config.json describes another model"
        )
    parts = {name for name, _ in model.named_children()} | OPTIONAL_PARTS | {model.base_model_prefix}
    encoders = sorted(name for name in report["unexpected_keys"] if name.partition(".")[0] in parts)
    ignored = OPTIONAL_TENSORS | HEAD_TENSORS
    unexpected = [name for name in encoders if name.removeprefix(f"{model.base_model_prefix}.") not in ignored]
    if unexpected:
        raise SeenetError(
            f"the checkpoint '{source}' holds {len(unexpected)} encoder tensors that the architecture of its "
            f"config.json does not have: {_first(unexpected)}"
        )


def _first(names: Collection[str], separator: str = ", ") -> str:
    """The first three of some names."""
    shown = separator.join(list(names)[:3])
    return shown + (f"{separator}and {len(names) - 3} more" if len(names) > 3 else "")


def _foreign_prefix(missing: Collection[str], unexpected: Collection[str]) -> str:
    """A remark that names the prefix under which a checkpoint holds most of the missing tensors, where there is one."""
    prefixes = Counter(
        there[: -len(name)] for name in missing for there in unexpected if there != name and there.endswith(f".{name}")
    )
    if not prefixes:
        return ""
    prefix, count = max(prefixes.items(), key=lambda item: (item[1], -len(item[0])))
    if 2 * count <= len(missing):
        return ""
    held = "them" if count == len(missing) else f"{count} of them"
    return f"; it holds {held} with the prefix '{prefix}': remove the prefix from the names and save again"
