"""Small backbones and their checkpoints."""

from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file

from seenet.models.backbones.checkpoint_loading import encoder_classes
from seenet.models.backbones.pretrained_weights import resolve_weights
from seenet.models.backbones.transformers_backbone import SpeechBackbone

LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"7" * 64 + b"\nsize 377617425\n"
"""A Git LFS pointer in place of a weight file."""

SMALL_ARCHITECTURE = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "conv_dim": [16, 16], "conv_kernel": [10, 4], "conv_stride": [5, 4], "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 2, "num_conv_pos_embedding_groups": 2, "mask_time_prob": 0.0,
}  # fmt: skip
"""Settings of a small architecture, valid for every family."""

CLIPS = [9000, 16000, 3000, 420]
"""Lengths of `make_clips`, in samples."""


def make_clips() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(n, generator=generator) for n in CLIPS]


def save_checkpoint(
    folder: Path, family: str = "wavlm", tensors: dict | None = None, **settings
) -> transformers.PreTrainedModel:
    """Save a small model with random weights, or with `tensors` in their place; return the model."""
    torch.manual_seed(0)
    config_class, model_class = encoder_classes(family)
    model = model_class(
        config_class(**{**SMALL_ARCHITECTURE, "num_hidden_layers": 2, "mask_time_prob": 0.1, **settings})
    )
    model.save_pretrained(folder)
    if tensors is not None:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return model


def load_backbone(family: str, folder: Path, **settings) -> SpeechBackbone:
    return SpeechBackbone(family, resolve_weights(family, path=str(folder)), **settings)
