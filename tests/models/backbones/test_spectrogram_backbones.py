"""w2v-BERT 2.0 and AST as backbones: parity with transformers, padding, layers, checkpoints and modes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from seenet.core.errors import SeenetError
from seenet.models.backbones.ast_backbone import AstBackbone
from seenet.models.backbones.encoder_backbone import EncoderBackbone
from seenet.models.backbones.pretrained_weights import Weights, resolve_weights
from seenet.models.backbones.wav2vec2_bert_backbone import Wav2Vec2BertBackbone
from support.backbones import make_clips
from support.batches import pad

BERT, AST = "wav2vec2-bert", "audio-spectrogram-transformer"
SMALL: dict[str, dict[str, Any]] = {
    BERT: {
        "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
        "feature_projection_input_dim": 160, "conv_depthwise_kernel_size": 5, "output_hidden_size": 16,
        "mask_time_length": 2, "mask_feature_length": 2, "mask_time_prob": 0.0, "layerdrop": 0.0,
        "conformer_conv_dropout": 0.0,
    },
    AST: {
        "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24,
        "num_mel_bins": 128, "max_length": 200, "patch_size": 16, "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    },
}  # fmt: skip
KINDS: dict[str, type[EncoderBackbone]] = {BERT: Wav2Vec2BertBackbone, AST: AstBackbone}


def clips() -> list[Tensor]:
    """Return clips with an odd and an even number of columns, and one shorter than a patch of AST."""
    generator = torch.Generator().manual_seed(2)
    return [*make_clips(), 0.1 * torch.randn(9160, generator=generator) + 0.01]


def make(family: str, layers: Any = "last", architecture: dict[str, Any] | None = None, **settings: Any) -> Any:
    """Return a backbone of random weights, all of them different from 0."""
    torch.manual_seed(0)
    architecture = {**SMALL[family], **(architecture or {})}
    backbone: Any = KINDS[family](family, Weights(None), layers=layers, architecture=architecture, **settings)
    with torch.no_grad():
        for parameter in backbone.model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return backbone


def states_of_transformers(backbone: Any, inputs: Mapping[str, Tensor]) -> list[Tensor]:
    """Return the hidden states of the model of transformers; the last is normalised."""
    output = backbone.model(**inputs, output_hidden_states=True)
    return [*output.hidden_states[:-1], output.last_hidden_state]


@torch.inference_mode()
@pytest.mark.parametrize("positions", ["relative_key", "relative", "rotary", None])
def test_hidden_states_of_w2v_bert_equal_those_of_transformers(positions: str | None):
    """Equal input gives states within 1e-5. The feature extractor has sums in single precision; layers amplify that."""
    backbone = make(BERT, architecture={"position_embeddings_type": positions}).eval()
    extract = transformers.SeamlessM4TFeatureExtractor(feature_size=80, num_mel_bins=80, stride=2)
    states, mask = backbone.hidden_states(*pad(clips()))
    for i, clip in enumerate(clips()):
        if len(clip) < 560:  # the feature extractor finds no frame
            continue
        count = int(mask[i].sum())
        own = backbone._spectrogram(*pad([clip]))[0]
        theirs = extract(clip.numpy(), sampling_rate=16000, return_tensors="pt")
        assert int(theirs.attention_mask.sum()) == count == own.shape[1]
        torch.testing.assert_close(own, theirs.input_features[:, :count], atol=2e-5, rtol=1e-5)
        of_own = states_of_transformers(backbone, {"input_features": own})
        of_theirs = states_of_transformers(backbone, theirs)
        for ours, expected, complete in zip(states, of_own, of_theirs, strict=True):
            torch.testing.assert_close(ours[i][mask[i]], expected[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(ours[i][mask[i]], complete[0, :count], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_hidden_states_of_ast_with_full_context_equal_those_of_transformers():
    backbone = make(AST, full_context=True).eval()
    extract = transformers.ASTFeatureExtractor(max_length=SMALL[AST]["max_length"])
    states, mask = backbone.hidden_states(*pad(clips()))
    bands, frames = backbone.model.embeddings.get_shape(backbone.model.config)
    for i, clip in enumerate(clips()):
        if len(clip) < 2800:  # ours reads one patch
            continue
        count = int(mask[i].sum())
        assert count == ((len(clip) - 400) // 160 + 1 - 16) // 10 + 1
        inputs = extract(clip.numpy(), sampling_rate=16000, return_tensors="pt")
        for ours, theirs in zip(states, states_of_transformers(backbone, inputs), strict=True):
            patches = theirs[0, 2:].reshape(bands, frames, -1)
            torch.testing.assert_close(ours[i, :count], patches.mean(0)[:count], atol=1e-5, rtol=1e-5)


@torch.inference_mode()
def test_ast_reads_a_clip_of_its_own_length_as_transformers_does():
    """A clip that fills all positions has no padding in either form."""
    clip = torch.randn(400 + 199 * 160, generator=torch.Generator().manual_seed(3))
    full, own = (make(AST, full_context=value).eval() for value in (True, False))
    for a, b in zip(full.hidden_states(*pad([clip]))[0], own.hidden_states(*pad([clip]))[0], strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)
    short = make_clips()[2]
    assert not torch.allclose(full(*pad([short]))[0], own(*pad([short]))[0], atol=1e-3)


@pytest.mark.parametrize("family", KINDS)
def test_clip_has_equal_frames_and_gradients_alone_and_in_a_padded_batch(family: str):
    backbone = make(family, "all").eval()
    waveform, lengths = pad(clips())
    waveform = torch.where(torch.arange(waveform.shape[1]) < lengths[:, None], waveform, 9.0)  # padding is ignored
    together, mask = backbone(waveform, lengths)
    weights = [p for p in backbone.parameters() if p.requires_grad]
    for i, clip in enumerate(clips()):
        alone, own = backbone(clip[None], lengths[i : i + 1])
        assert own.all()
        torch.testing.assert_close(alone[0], together[i, mask[i]], atol=1e-4, rtol=0)
        settings = {"retain_graph": True, "allow_unused": True, "materialize_grads": True}
        single = torch.autograd.grad(alone[0].square().sum(), weights, **settings)
        batched = torch.autograd.grad(together[i, mask[i]].square().sum(), weights, **settings)
        for a, b in zip(single, batched, strict=True):
            torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("family", KINDS)
def test_selected_layers_equal_hidden_states_and_shapes_agree(family: str):
    backbone, batch = make(family, "all").eval(), pad(clips())
    states, mask = backbone.hidden_states(*batch)
    assert len(states) == 4
    torch.testing.assert_close(backbone(*batch)[0], sum(states) / 4)
    for number, expected in enumerate(states):
        assert torch.equal(make(family, [number]).eval()(*batch)[0], expected)
    assert expected.shape == (*mask.shape, backbone.dim)
    assert make(family, "transformer", combine="concat").dim == 3 * backbone.dim


@pytest.mark.parametrize("head", [None, "AudioClassification"])
@pytest.mark.parametrize("family", KINDS)
def test_folder_loads_with_and_without_a_task_head(family: str, head: str | None, tmp_path: Path):
    name = {BERT: "Wav2Vec2Bert", AST: "AST"}[family]
    kind = "ForSequenceClassification" if head and family == BERT else f"For{head}" if head else "Model"
    model = getattr(transformers, name + kind)(getattr(transformers, f"{name}Config")(**SMALL[family]))
    model.save_pretrained(tmp_path)
    backbone: Any = KINDS[family](family, resolve_weights(family, path=str(tmp_path)))
    assert backbone.loaded_tensors == len(list(backbone.model.parameters()))
    for key, value in model.base_model.state_dict().items():
        assert torch.equal(backbone.model.state_dict()[key], value), key
    rebuilt = KINDS[family](family, Weights(None), **backbone.portable_settings())
    rebuilt.load_state_dict(backbone.state_dict())
    batch = pad(clips())
    assert torch.equal(rebuilt.eval()(*batch)[0], backbone.eval()(*batch)[0])


@pytest.mark.parametrize(
    ("family", "setting"),
    [
        *((BERT, name) for name in Wav2Vec2BertBackbone.CHECKPOINT_SETTINGS),
        *((AST, name) for name in AstBackbone.CHECKPOINT_SETTINGS),
    ],
)
def test_regularisation_acts_in_training_and_not_on_a_frozen_encoder(family: str, setting: str):
    batch = pad(clips())
    backbone = make(family, **{setting: 0.5})
    assert not torch.equal(backbone(*batch)[0], backbone(*batch)[0])
    assert torch.equal(backbone.eval()(*batch)[0], backbone(*batch)[0])
    frozen = make(family, "all", freeze=True, **{setting: 0.5}).train()
    assert torch.equal(frozen(*batch)[0], frozen(*batch)[0])
    assert [name for name, p in frozen.named_parameters() if p.requires_grad] == ["selection.weight"]


@pytest.mark.parametrize("family", KINDS)
def test_gradient_checkpointing_gives_equal_gradients(family: str):
    gradients = []
    for checkpointing in (False, True):
        backbone = make(family, checkpointing=checkpointing)
        torch.manual_seed(1)
        backbone(*pad(clips()))[0].square().sum().backward()
        gradients.append([p.grad for p in backbone.parameters() if p.grad is not None])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("positions", ["rotary", "relative"])
def test_training_follows_a_forward_pass_in_inference_mode(positions: str):
    """transformers caches rotary positions, which are inference tensors then."""
    backbone, batch = make(BERT, architecture={"position_embeddings_type": positions}), pad(clips())
    with torch.inference_mode():
        backbone(*batch)
    backbone(*batch)[0].sum().backward()
    assert all(p.grad is not None for p in backbone.model.encoder.parameters())


def test_wrong_settings_are_refused_in_one_line():
    with pytest.raises(SeenetError, match="positions for 2 s; take at most that"):
        make(AST)(*pad([torch.zeros(3 * 16000)]))
    with pytest.raises(SeenetError, match=r"backbone.std=0: expected a number above 0"):
        make(AST, std=0)
    with pytest.raises(SeenetError, match="add_adapter=True: models with an adapter are not supported"):
        make(BERT, architecture={"add_adapter": True})
