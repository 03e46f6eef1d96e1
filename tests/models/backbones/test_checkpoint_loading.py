"""Loading of checkpoints: equal hidden states, completeness, and one-line errors."""

import json
import pickle
from pathlib import Path

import pytest
import torch
import transformers

from seenet.core.errors import SeenetError
from seenet.models.backbones.checkpoint_loading import FAMILIES, encoder_classes
from seenet.models.backbones.pretrained_weights import resolve_weights
from seenet.models.backbones.transformers_backbone import SpeechBackbone
from support.backbones import LFS_POINTER, SMALL_ARCHITECTURE, load_backbone, make_clips, save_checkpoint
from support.batches import pad


@pytest.mark.parametrize("family", FAMILIES)
def test_load_encoder_restores_a_saved_folder(family: str, tmp_path: Path):
    config_class, model_class = encoder_classes(family)
    saved = model_class(config_class(**SMALL_ARCHITECTURE))
    saved.save_pretrained(tmp_path)
    weights = resolve_weights(family, "microsoft/wavlm-large", path=str(tmp_path))
    backbone = SpeechBackbone(family, weights)
    assert type(backbone.model) is model_class
    for name, value in saved.state_dict().items():
        torch.testing.assert_close(backbone.model.state_dict()[name], value)
    before = weights.fingerprint
    with torch.no_grad():
        next(saved.parameters()).add_(1)
    saved.save_pretrained(tmp_path)
    assert resolve_weights(family, path=str(tmp_path)).fingerprint != before, "other weights need another fingerprint"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_load_encoder_converts_half_precision_to_float32(make_backbone, dtype: torch.dtype, tmp_path: Path):
    transformers.WavLMModel(transformers.WavLMConfig(**SMALL_ARCHITECTURE)).to(dtype).save_pretrained(tmp_path)
    backbone = make_backbone("wavlm_base", weights=resolve_weights("wavlm", path=str(tmp_path)))
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}
    assert torch.isfinite(backbone(torch.ones(1, 9000), torch.tensor([9000]))[0]).all()


def test_load_encoder_accepts_pytorch_model_bin(make_backbone, tmp_path: Path):
    """microsoft/wavlm-large and facebook/data2vec-audio-large have no other weight file."""
    saved = transformers.WavLMModel(transformers.WavLMConfig(**SMALL_ARCHITECTURE))
    saved.config.save_pretrained(tmp_path)
    torch.save(saved.state_dict(), tmp_path / "pytorch_model.bin")
    backbone = make_backbone("wavlm_base", weights=resolve_weights("wavlm", path=str(tmp_path)))
    for name, value in saved.state_dict().items():
        torch.testing.assert_close(backbone.model.state_dict()[name], value)


def test_checkpoint_without_a_tensor_is_refused(tmp_path: Path):
    tensors = dict(save_checkpoint(tmp_path).state_dict())
    name = "encoder.layers.1.feed_forward.output_dense.weight"
    kept = {key: value.contiguous() for key, value in tensors.items() if key != name}
    save_checkpoint(tmp_path, tensors=kept)
    with pytest.raises(SeenetError, match=rf"lacks 1 of {len(tensors)} tensors of the encoder: {name}$"):
        load_backbone("wavlm", tmp_path)
    save_checkpoint(tmp_path, tensors={k: v for k, v in kept.items() if "layers.1." not in k})
    lacking = sum("layers.1." in key for key in tensors)
    with pytest.raises(SeenetError, match=rf"lacks {lacking} of .* and {lacking - 3} more$"):
        load_backbone("wavlm", tmp_path)


def test_checkpoint_with_a_tensor_of_another_shape_is_refused(tmp_path: Path):
    tensors = dict(save_checkpoint(tmp_path).state_dict())
    name = "encoder.layers.0.feed_forward.output_dense.weight"
    save_checkpoint(tmp_path, tensors={**tensors, name: torch.zeros(3, 4)})
    message = rf"1 tensors of another shape: {name} has shape \(3, 4\), the architecture expects \(32, 32\)"
    with pytest.raises(SeenetError, match=message):
        load_backbone("wavlm", tmp_path)


def test_checkpoint_of_a_deeper_encoder_is_refused(tmp_path: Path):
    tensors = dict(save_checkpoint(tmp_path, num_hidden_layers=3).state_dict())
    save_checkpoint(tmp_path, tensors=tensors)
    with pytest.raises(SeenetError, match=r"encoder tensors that .* does not have: encoder\.layers\.2"):
        load_backbone("wavlm", tmp_path)


@pytest.mark.parametrize("name", ["encoder.extra", "encoder.layers.0.attention.extra", "adapter.layers.0.weight"])
@pytest.mark.parametrize("prefix", ["", "wavlm."])
def test_checkpoint_with_an_unknown_encoder_tensor_is_refused(name: str, prefix: str, tmp_path: Path):
    tensors = {prefix + key: value.contiguous() for key, value in save_checkpoint(tmp_path).state_dict().items()}
    save_checkpoint(tmp_path, tensors={**tensors, prefix + name: torch.zeros(2), "lm_head.weight": torch.zeros(2)})
    with pytest.raises(SeenetError, match=rf"contains 1 encoder tensors .*: {prefix}{name}$"):
        load_backbone("wavlm", tmp_path)


def test_checkpoint_names_the_foreign_prefix_when_a_tensor_is_missing_too(tmp_path: Path):
    tensors = save_checkpoint(tmp_path).state_dict()
    del tensors["encoder.layer_norm.bias"]
    save_checkpoint(tmp_path, tensors={f"net.wavlm.{name}": value for name, value in tensors.items()})
    found = len(tensors) - 1  # the mask vector is optional and not counted
    with pytest.raises(
        SeenetError, match=rf"lacks {found + 1} of .*contains {found} of them with the prefix 'net\.wavlm\.'"
    ):
        load_backbone("wavlm", tmp_path)


@pytest.mark.parametrize("prefix", ["net.wavlm.", "module."])
def test_checkpoint_under_a_foreign_prefix_is_refused(prefix: str, tmp_path: Path):
    tensors = save_checkpoint(tmp_path).state_dict()
    save_checkpoint(tmp_path, tensors={prefix + name: value for name, value in tensors.items()})
    with pytest.raises(SeenetError, match=f"contains them with the prefix '{prefix}'"):
        load_backbone("wavlm", tmp_path)


HEADS = {
    "wav2vec2": ("Wav2Vec2", ["CTC", "SequenceClassification", "PreTraining", "XVector", "AudioFrameClassification"]),
    "hubert": ("Hubert", ["CTC", "SequenceClassification"]),
    "wavlm": ("WavLM", ["CTC", "SequenceClassification", "XVector", "AudioFrameClassification"]),
    "data2vec-audio": ("Data2VecAudio", ["CTC", "SequenceClassification", "XVector", "AudioFrameClassification"]),
    "unispeech": ("UniSpeech", ["CTC", "SequenceClassification", "PreTraining"]),
    "unispeech-sat": ("UniSpeechSat", ["CTC", "SequenceClassification", "PreTraining", "XVector"]),
    "wav2vec2-conformer": ("Wav2Vec2Conformer", ["CTC", "SequenceClassification", "PreTraining", "XVector"]),
    "sew": ("SEW", ["CTC", "SequenceClassification"]),
}


def headed_model(family: str, head: str, config: transformers.PreTrainedConfig) -> transformers.PreTrainedModel:
    config.vocab_size = 32  # the configuration of Conformer has no default
    return getattr(transformers, f"{HEADS[family][0]}For{head}")(config)


@pytest.mark.parametrize(("family", "head"), [(f, head) for f, (_, heads) in HEADS.items() for head in heads])
def test_checkpoint_with_a_task_head_equals_the_bare_encoder(family: str, head: str, tmp_path):
    bare = save_checkpoint(tmp_path / "bare", family)
    headed = headed_model(family, head, bare.config)
    encoder = getattr(headed, headed.base_model_prefix)
    encoder.load_state_dict(bare.state_dict())
    headed.save_pretrained(tmp_path / "headed")
    waveform, lengths = pad(make_clips())
    expected, mask = load_backbone(family, tmp_path / "bare").eval()(waveform, lengths)
    backbone = load_backbone(family, tmp_path / "headed").eval()
    assert torch.equal(backbone(waveform, lengths)[0][mask], expected[mask])
    assert backbone.loaded_tensors == sum(1 for _ in backbone.model.parameters())


@pytest.mark.parametrize(("family", "head"), [(f, head) for f, (_, heads) in HEADS.items() for head in heads])
def test_checkpoint_with_a_task_head_is_refused_when_its_encoder_is_deeper(family: str, head: str, tmp_path: Path):
    bare = save_checkpoint(tmp_path / "bare", family)
    headed_model(family, head, bare.config).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    with pytest.raises(SeenetError, match=r"encoder tensors that .* does not have: .*encoder\.layers\.1\."):
        load_backbone(family, tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_checkpoint_with_old_weight_norm_names_gives_equal_hidden_states(family: str, tmp_path: Path):
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    tensors = dict(save_checkpoint(tmp_path, family).state_dict())
    waveform, lengths = pad(make_clips())
    expected = load_backbone(family, tmp_path).eval()(waveform, lengths)[0]
    for new, old in names.items():
        tensors = {name.replace(new, old): value.contiguous() for name, value in tensors.items()}
    save_checkpoint(tmp_path, family, tensors=tensors)
    assert torch.equal(load_backbone(family, tmp_path).eval()(waveform, lengths)[0], expected)


def test_checkpoint_without_a_mask_vector_loads(tmp_path: Path):
    tensors = dict(save_checkpoint(tmp_path).state_dict())
    del tensors["masked_spec_embed"]
    save_checkpoint(tmp_path, tensors=tensors)
    backbone = load_backbone("wavlm", tmp_path)
    assert backbone.loaded_tensors == sum(1 for _ in backbone.model.parameters()) - 1
    assert load_backbone("wavlm", tmp_path, mask_time_prob=0.0).loaded_tensors == backbone.loaded_tensors


class Malicious:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", LFS_POINTER, "model.safetensors is a Git LFS pointer"),
        ("pytorch_model.bin", LFS_POINTER, "pytorch_model.bin is a Git LFS pointer"),
        ("config.json", LFS_POINTER, "config.json is a Git LFS pointer"),
        ("model.safetensors", b"", r"model.safetensors is empty \(0 bytes\)"),
        ("model.safetensors", None, "damaged or incomplete"),
        ("pytorch_model.bin", None, "damaged or incomplete"),
        ("pytorch_model.bin", b"no checkpoint", "pytorch_model.bin is damaged or contains objects other than tensors"),
    ],
)
def test_load_encoder_reports_damaged_weights_in_one_line(
    name: str, content: bytes | None, message: str, tmp_path: Path
):
    """None stands for the first half of the file."""
    saved = save_checkpoint(tmp_path)
    if name == "pytorch_model.bin":
        (tmp_path / "model.safetensors").unlink()
        torch.save(saved.state_dict(), tmp_path / name)
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if content is None else content)
    with pytest.raises(SeenetError, match=message) as caught:
        load_backbone("wavlm", tmp_path)
    assert "\n" not in str(caught.value)


def test_load_encoder_refuses_malicious_pickle_without_executing_it(tmp_path: Path):
    save_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Malicious(tmp_path / "created")}))
    with pytest.raises(SeenetError, match="contains objects other than tensors"):
        load_backbone("wavlm", tmp_path)
    assert not (tmp_path / "created").exists()


@pytest.mark.parametrize("kept", [0.0005, 0.02, 0.5, 0.999])
def test_load_encoder_reports_a_truncated_legacy_file_in_one_line(kept: float, tmp_path: Path):
    """torch before 1.6 wrote this format; it is truncated at several places."""
    saved = save_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    file = tmp_path / "pytorch_model.bin"
    torch.save(saved.state_dict(), file, _use_new_zipfile_serialization=False)
    load_backbone("wavlm", tmp_path)
    file.write_bytes(file.read_bytes()[: int(kept * file.stat().st_size)])
    with pytest.raises(SeenetError, match="is damaged|damaged or incomplete") as caught:
        load_backbone("wavlm", tmp_path)
    assert "\n" not in str(caught.value)


def test_load_encoder_raises_when_the_file_has_no_named_tensors(tmp_path: Path):
    save_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save([1, 2], tmp_path / "pytorch_model.bin")
    with pytest.raises(SeenetError, match="cannot be loaded"):
        load_backbone("wavlm", tmp_path)


@pytest.mark.parametrize("change", [{"hidden_size": "x"}, {"conv_dim": [16, 16, 16]}, {"num_attention_heads": 5}])
def test_load_encoder_reports_an_invalid_configuration_in_one_line(change: dict, tmp_path: Path):
    save_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(SeenetError, match="cannot be loaded") as caught:
        load_backbone("wavlm", tmp_path)
    assert "\n" not in str(caught.value)
