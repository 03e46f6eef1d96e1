"""The backbone: independence of padding, options, and modes."""

import copy
from pathlib import Path

import pytest
import torch
import transformers

from seenet.core.errors import SeenetError
from seenet.models.backbones.checkpoint_loading import FAMILIES
from seenet.models.backbones.pretrained_weights import Weights
from seenet.models.backbones.transformers_backbone import SpeechBackbone
from seenet.models.pooling import AttentionPooling, MeanPooling
from support.backbones import CLIPS, SMALL_ARCHITECTURE, load_backbone, make_clips, save_checkpoint
from support.batches import pad

TINY = ["wav2vec2_tiny", "hubert_tiny", "wavlm_tiny", "data2vec_tiny"]


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("choice", TINY)
@pytest.mark.parametrize("pooling", [MeanPooling, AttentionPooling])
@pytest.mark.parametrize("normalize", [False, True])
def test_backbone_gives_equal_output_and_gradient_alone_and_in_a_padded_batch(
    make_backbone, choice, norm, pooling, normalize
):
    backbone = make_backbone(choice, norm=norm, normalize=normalize).eval()
    pool, head = pooling(backbone.dim), torch.nn.Linear(backbone.dim, 4)
    modules = torch.nn.ModuleList([backbone, pool, head])

    def logits(waveform: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return head(pool(*backbone(waveform, lengths)))

    def gradients(values: torch.Tensor) -> list[torch.Tensor]:
        parameters = [p for p in modules.parameters() if p.requires_grad]
        weights = torch.tensor([1.0, -2.0, 3.0, 0.5])
        loss = (values * weights).sum()
        return torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)

    waveform, lengths = pad(make_clips())
    together = logits(waveform, lengths)
    for i, clip in enumerate(make_clips()):
        alone = logits(clip[None], torch.tensor([len(clip)]))
        torch.testing.assert_close(alone[0], together[i], atol=1e-4, rtol=0)
        pairs = zip(gradients(alone[0]), gradients(together[i]), strict=True)
        for single, batched in pairs:
            torch.testing.assert_close(single, batched, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("choice", TINY)
def test_backbone_ignores_values_in_the_padding(make_backbone, choice):
    backbone = make_backbone(choice, norm="group").eval()
    waveform, lengths = pad(make_clips())
    frames, mask = backbone(waveform, lengths)
    expected = [1 + (max(n, 640) - 640) // 320 for n in CLIPS]  # receptive field of 640 samples, hop of 320
    assert mask.sum(1).tolist() == expected
    loud = torch.where(torch.arange(waveform.shape[1]) < lengths[:, None], waveform, 9.0)
    with_noise, _ = backbone(loud, lengths)
    torch.testing.assert_close(with_noise[mask], frames[mask], atol=1e-5, rtol=0)


@pytest.mark.parametrize("choice", TINY)
def test_backbone_is_finite_when_clips_are_shorter_than_a_frame(make_backbone, choice):
    backbone = make_backbone(choice, norm="group", mask_time_prob=0.5).train()
    waveform, lengths = pad([torch.ones(1), torch.ones(100)])
    frames, mask = backbone(waveform, lengths)
    assert torch.isfinite(frames).all()
    assert mask.tolist() == [[True], [True]]


def test_group_norm_equals_transformers_for_a_single_clip(make_backbone):
    backbone = make_backbone("hubert_tiny", norm="group").eval()
    plain = transformers.HubertModel(backbone.model.config).eval()
    plain.load_state_dict(backbone.model.state_dict())
    clip = make_clips()[0][None]
    ours, _ = backbone(clip, torch.tensor([clip.shape[1]]))
    torch.testing.assert_close(ours, plain(clip).last_hidden_state, atol=1e-5, rtol=1e-5)


def trained_parameters(backbone: SpeechBackbone) -> set[str]:
    return {name for name, p in backbone.model.named_parameters() if p.requires_grad}


def test_freezing_disables_gradients_and_training_mode(make_backbone):
    assert any(name.startswith("feature_extractor") for name in trained_parameters(make_backbone()))
    without = trained_parameters(make_backbone(freeze_feature_encoder=True))
    assert without
    assert not any(name.startswith("feature_extractor") for name in without)
    frozen = make_backbone(freeze=True).train()
    assert not trained_parameters(frozen)
    assert not frozen.model.training
    assert frozen.dropout.training


def test_normalize_removes_loudness(make_backbone):
    backbone = make_backbone(normalize=True).eval()
    waveform, lengths = pad(make_clips())
    quiet, mask = backbone(waveform, lengths)
    loud, _ = backbone(5 * waveform + 0.0, lengths)
    torch.testing.assert_close(quiet[mask], loud[mask], atol=1e-3, rtol=1e-3)


def test_dropout_and_masking_apply_in_training_only(make_backbone):
    backbone = make_backbone(final_dropout=0.5, mask_time_prob=0.3, hidden_dropout=0.0)
    waveform, lengths = pad(make_clips())
    backbone.train()
    assert not torch.equal(backbone(waveform, lengths)[0], backbone(waveform, lengths)[0])
    backbone.eval()
    assert torch.equal(backbone(waveform, lengths)[0], backbone(waveform, lengths)[0])
    assert backbone.dropout.p == 0.5


def test_backbone_raises_when_options_are_invalid(make_backbone):
    with pytest.raises(SeenetError, match="backbone.layerdrop=2"):
        make_backbone(layerdrop=2.0)
    with pytest.raises(SeenetError, match="backbone.architecture"):
        make_backbone(architecture={"hidden_size": 63, "num_attention_heads": 4, "num_conv_pos_embedding_groups": 3})


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_deepcopy_keeps_its_own_mode_and_lengths(make_backbone, norm: str):
    torch.manual_seed(0)
    original = make_backbone(norm=norm, mask_time_prob=0.5, mask_feature_prob=0.0).train()
    twin = copy.deepcopy(original).eval()
    waveform = torch.randn(2, 8000)
    expected, _ = original.eval()(waveform, torch.tensor([8000, 5000]))
    original.train()(waveform, torch.tensor([8000, 8000]))
    found, _ = twin(waveform, torch.tensor([8000, 5000]))
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"add_adapter": True}, "models with an adapter are not supported"),
        ({"mask_time_prob": 0.1, "mask_time_length": 0}, "mask_time_length=0: expected 1 or more frames"),
        ({"mask_feature_prob": 0.1, "mask_feature_length": 33}, "mask_feature_length=33: expected 1 to 32 channels"),
    ],
)
def test_backbone_raises_when_the_configuration_is_unsupported(architecture: dict, message: str):
    with pytest.raises(SeenetError, match=message):
        SpeechBackbone("wavlm", Weights(None), architecture={**SMALL_ARCHITECTURE, **architecture})
    SpeechBackbone(
        "wavlm", Weights(None), architecture={**SMALL_ARCHITECTURE, "mask_feature_length": 33}
    )  # valid, because no channels are masked


@pytest.mark.parametrize("family", FAMILIES)
def test_pretrained_backbone_is_in_training_mode(family: str, tmp_path: Path):
    save_checkpoint(tmp_path, family)
    modules = load_backbone(family, tmp_path).modules()
    assert all(module.training for module in modules if not isinstance(module, torch.nn.BatchNorm1d))
    frozen = load_backbone(family, tmp_path, freeze=True)
    assert not any(module.training for module in frozen.model.modules())


@pytest.mark.parametrize(
    "setting",
    [
        {"final_dropout": 0.5},
        {"hidden_dropout": 0.5},
        {"attention_dropout": 0.5},
        {"feat_proj_dropout": 0.5},
        {"layerdrop": 0.5},
        {"mask_time_prob": 0.5},
        {"mask_feature_prob": 0.5},
    ],
    ids=lambda setting: next(iter(setting)),
)
@pytest.mark.parametrize("family", FAMILIES)
def test_pretrained_backbone_regularisation_changes_the_training_loss(family: str, setting: dict, tmp_path: Path):
    """A single source of randomness changes the loss in training, but not in evaluation."""
    save_checkpoint(tmp_path, family, mask_feature_length=4, mask_time_length=2)
    dropouts = ("final_dropout", "hidden_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop")
    off = dict.fromkeys((*dropouts, "mask_time_prob", "mask_feature_prob"), 0.0)
    quiet, noisy = load_backbone(family, tmp_path, **off), load_backbone(family, tmp_path, **{**off, **setting})
    for model in (quiet, noisy):
        for module in model.modules():
            if hasattr(module, "activation_dropout") or type(module).__name__.endswith("FeedForward"):
                module.intermediate_dropout.p = 0.0
            if "ConformerConvolution" in type(module).__name__:
                module.dropout.p = 0.0
    waveform, lengths = pad([clip[:2500] for clip in make_clips()])
    torch.manual_seed(0)
    target = torch.randn(len(lengths), quiet.dim)

    def loss(model: SpeechBackbone, seed: int) -> float:
        torch.manual_seed(seed)
        frames, mask = model(waveform, lengths)
        return (MeanPooling(model.dim)(frames, mask) - target).square().mean().item()

    assert loss(quiet, 0) == loss(quiet, 1)
    assert len({loss(noisy, seed) for seed in range(4)}) > 1
    assert loss(quiet.eval(), 0) == loss(noisy.eval(), 0) == loss(noisy, 1)


@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_selected_layers_equal_the_hidden_states_of_transformers(family: str, tmp_path: Path):
    stock = save_checkpoint(tmp_path, family, layerdrop=0.0).eval()
    clip = make_clips()[1][None]
    output = stock(clip, output_hidden_states=True)
    last = output.hidden_states[-1] if family == "sew" else output.last_hidden_state
    states = [*output.hidden_states[:-1], last]
    for number, expected in enumerate(states):
        backbone = load_backbone(family, tmp_path, layers=[number], final_dropout=0.0).eval()
        frames, _ = backbone(clip, torch.tensor([clip.shape[1]]))
        torch.testing.assert_close(frames, expected, atol=1e-5, rtol=0)
    both = load_backbone(family, tmp_path, layers="all").eval()(clip, torch.tensor([clip.shape[1]]))[0]
    torch.testing.assert_close(both, sum(states) / len(states), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("family", FAMILIES)
@torch.inference_mode()
def test_every_layer_of_a_clip_is_equal_alone_and_in_a_padded_batch(family: str, norm: str, tmp_path: Path):
    settings = {} if family == "data2vec-audio" else {"feat_extract_norm": norm}
    save_checkpoint(tmp_path, family, **settings)
    backbone = load_backbone(family, tmp_path).eval()
    clips = [*make_clips(), make_clips()[1][: 16000 - 20]]  # one frame less: an incomplete group of SEW
    waveform, lengths = pad(clips)
    waveform = torch.where(torch.arange(waveform.shape[1]) < lengths[:, None], waveform, 9.0)
    together, mask = backbone.hidden_states(waveform, lengths)
    for i, clip in enumerate(clips):
        alone, own = backbone.hidden_states(clip[None], lengths[i : i + 1])
        assert own.all()
        for a, b in zip(alone, together, strict=True):
            torch.testing.assert_close(a[0], b[i, mask[i]], atol=1e-4, rtol=0)


@pytest.mark.parametrize("family", ["wav2vec2", "wavlm", "unispeech-sat", "wav2vec2-conformer"])
@torch.inference_mode()
def test_last_hidden_state_is_normalised_as_the_output_of_the_encoder(family: str, tmp_path: Path):
    """The large checkpoints normalise behind the layers, where transformers' own list has the state before."""
    stable = {} if family == "wav2vec2-conformer" else {"do_stable_layer_norm": True}
    stock = save_checkpoint(tmp_path, family, **stable).eval()
    clip = make_clips()[1][None]
    backbone = load_backbone(family, tmp_path).eval()
    states, _ = backbone.hidden_states(*pad([clip[0]]))
    torch.testing.assert_close(states[-1], stock(clip).last_hidden_state, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(backbone.combine(states), backbone(*pad([clip[0]]))[0])


def test_training_of_rotary_positions_follows_a_forward_pass_in_inference_mode(tmp_path: Path):
    save_checkpoint(tmp_path, "wav2vec2-conformer", position_embeddings_type="rotary")
    backbone = load_backbone("wav2vec2-conformer", tmp_path)
    with torch.inference_mode():
        backbone(*pad(make_clips()))
    backbone(*pad(make_clips()))[0].sum().backward()


def test_sum_of_layers_excludes_layerdrop(tmp_path: Path):
    save_checkpoint(tmp_path, layerdrop=0.5)
    backbone = load_backbone("wavlm", tmp_path, layers="all")
    assert backbone.model.config.layerdrop == 0
    backbone(*pad(make_clips()))[0].sum().backward()
    assert backbone.selection.weight.grad.abs().sum() > 0
    with pytest.raises(SeenetError, match=r"backbone.layerdrop=0.5: expected 0 or null with backbone.layers=all"):
        load_backbone("wavlm", tmp_path, layers="all", layerdrop=0.5)
