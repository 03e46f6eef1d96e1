"""Tuning modes: which parameters change, what a checkpoint holds, and the merged model."""

import copy

import pytest
import torch
import transformers
from omegaconf import OmegaConf
from torch import nn

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.data.targets import TargetSpec
from seenet.models.backbones.checkpoint_loading import FAMILIES, encoder_classes
from seenet.models.backbones.pretrained_weights import resolve_weights
from seenet.models.classifier import EmotionClassifier
from seenet.models.factory import COMPONENTS, ModelSpec, build_classifier, build_tuning
from support.backbones import make_clips
from support.batches import pad

SMALL = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
    "conv_dim": [8, 8], "conv_kernel": [10, 8], "conv_stride": [5, 4], "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2, "mask_time_prob": 0.0,
}  # fmt: skip
QUIET = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "feat_proj_dropout": 0.0, "layerdrop": 0.0}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("encoders")
    for name in FAMILIES:
        config, model = encoder_classes(name)
        torch.manual_seed(0)
        model(config(**SMALL)).save_pretrained(folder / name)
    whisper = transformers.WhisperConfig(
        d_model=16, encoder_layers=3, encoder_attention_heads=2, encoder_ffn_dim=24, num_mel_bins=8,
        max_source_positions=100,
    )  # fmt: skip
    transformers.models.whisper.modeling_whisper.WhisperEncoder(whisper).save_pretrained(folder / "whisper")
    return folder


def make_model(checkpoints, family: str, config, *overrides: str) -> tuple[EmotionClassifier, ModelSpec]:
    backbone = "whisper_tiny" if family == "whisper" else "wavlm_base"
    composed = config(f"backbone={backbone}", f"backbone.family={family}", "aux_task=none", *overrides)
    groups = {name: OmegaConf.to_container(composed[name], resolve=True) for name in COMPONENTS}
    settings = {} if family == "whisper" else QUIET
    groups["backbone"] |= {"layers": "all", **settings}
    targets = TargetSpec(torch.ones(4, dtype=torch.int64), torch.zeros(0).long(), torch.zeros(0).long())
    spec = ModelSpec(tuple("abcd"), target_spec=targets, **groups)
    torch.manual_seed(1)
    return build_classifier(spec, resolve_weights(family, path=str(checkpoints / family))), spec


def step(model: EmotionClassifier) -> dict[str, torch.Tensor]:
    """Take a step of plain gradient descent and return the tensors that changed."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:  # begins at 0, where A has no gradient
                before[name] = p.normal_().clone()
    logits = model.logits(model.pool(*pad(make_clips())))
    nn.functional.cross_entropy(logits, torch.arange(len(logits)) % 4).backward()
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None and p.grad.any():
                p -= p.grad / p.grad.abs().max()
    model.eval()
    return {name: value for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("family", [*FAMILIES, "whisper"])
def test_lora_trains_its_updates_alone_and_merges_exactly(checkpoints, config, family: str):
    model, spec = make_model(checkpoints, family, config, "tune=lora")
    changed = step(model)
    updates = {name for name, _ in model.named_parameters() if "lora_" in name}
    assert len(updates) == 3 * 2 * 2, "two layers of attention, A and B, in each of three transformer layers"
    assert updates <= set(changed), "every update has a gradient"
    assert not [name for name in changed if name.startswith("backbone.model") and name not in updates]
    parameters = {name for name, _ in model.backbone.model.named_parameters(prefix="backbone.model")}
    share = sum(value.numel() for name, value in model.trained_state().items() if name in parameters)
    assert share == sum(model.state_dict()[name].numel() for name in updates)

    expected = model(*pad(make_clips()))
    merged = copy.deepcopy(model)
    build_tuning(spec).merge(merged.backbone)
    assert not [name for name in merged.state_dict() if "lora" in name or "base_layer" in name]
    torch.testing.assert_close(merged(*pad(make_clips())), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("family", ["wavlm", "whisper"])
def test_last_trains_the_upper_layers(checkpoints, config, family: str):
    tune = {"_target_": "seenet.models.tuning.last.TuneLast", "layers": 2}
    model, _ = make_model(checkpoints, family, config)
    instantiate_checked(tune, "tune").prepare(model.backbone)
    changed = {name for name in step(model) if name.startswith("backbone.model")}
    assert changed
    assert all("layers.1." in name or "layers.2." in name or "layer_norm" in name for name in changed)
    assert {name.split("layers.")[1][0] for name in changed if "layers." in name} == {"1", "2"}


@pytest.mark.parametrize("family", ["hubert", "whisper"])
def test_a_frozen_encoder_keeps_its_weights_and_its_mode(checkpoints, config, family: str):
    model, _ = make_model(checkpoints, family, config, "tune=none", "head=linear", "backbone.combine=sum")
    changed = step(model)
    assert set(changed) == {"backbone.selection.weight", "head.weight", "head.bias"}
    assert not model.train().backbone.model.training


def test_checkpoint_of_a_partly_trained_model_loads_into_another(checkpoints, config):
    model, _ = make_model(checkpoints, "wavlm", config, "tune=lora")
    step(model)
    other, _ = make_model(checkpoints, "wavlm", config, "tune=lora")
    other.load_trained_state(model.trained_state())
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    assert sum(v.numel() for v in model.trained_state().values()) < 0.2 * sum(v.numel() for v in model.parameters())


def test_wrong_modes_are_named(checkpoints, config):
    with pytest.raises(SeenetError, match=r"tune=last:9: the encoder has 3 layers; take at most last:3"):
        make_model(checkpoints, "wavlm", config, "tune=last", "tune.layers=9")
    with pytest.raises(SeenetError, match=r"tune\.layers=0"):
        make_model(checkpoints, "wavlm", config, "tune=last", "tune.layers=0")
    with pytest.raises(SeenetError, match=r"tune\.targets=\['no_such_layer'\]"):
        make_model(checkpoints, "wavlm", config, "tune=lora", "tune.targets=[no_such_layer]")
