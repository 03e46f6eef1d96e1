"""Fast layers of a backbone equal those of transformers."""

import copy
from unittest import mock

import pytest
import torch
import transformers
from torch.nn import functional as F

from seenet.models.backbones import fast_attention
from seenet.models.backbones.checkpoint_loading import FAMILIES, encoder_classes
from seenet.models.backbones.fast_attention import MAX_CHUNK_WEIGHTS, ChunkedAttention, masked_attention
from seenet.models.backbones.fast_convolutions import MIN_FFT_KERNEL, convolve_time_major, use_convolutions
from seenet.models.backbones.fast_dropout import DROPOUT_LEVELS, apply_dropout
from seenet.models.backbones.length_handling import LengthAwareGroupNorm
from seenet.models.backbones.pretrained_weights import Weights
from seenet.models.backbones.transformers_backbone import RECOMPILE_LIMIT, SpeechBackbone

ARCHITECTURE = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": [24, 24, 24],
    "conv_kernel": [10, 3, 2],
    "conv_stride": [5, 2, 2],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embedding_groups": 4,
    "activation_dropout": 0.0,
}
LENGTHS = torch.tensor([4000, 2900, 1700, 700, 60])
STOCK = {"attention": "stock", "fast_layers": False}
DROPOUTS = ("final_dropout", "hidden_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop", "mask_time_prob")


def backbone(family: str = "wavlm", norm: str = "layer", **settings) -> SpeechBackbone:
    """Build a backbone with fixed random weights and without dropout."""
    torch.manual_seed(0)
    architecture = dict(ARCHITECTURE)
    if family != "data2vec-audio":
        architecture |= {"feat_extract_norm": norm, "num_conv_pos_embeddings": 2 * MIN_FFT_KERNEL}
    if family == "wav2vec2-conformer":
        architecture |= {"conformer_conv_dropout": 0.0, "conv_depthwise_kernel_size": 5}
    elif family not in ("data2vec-audio", "sew"):
        architecture |= {"do_stable_layer_norm": norm == "layer"}
    settings = {"freeze_feature_encoder": False, **dict.fromkeys(DROPOUTS, 0.0), **settings}
    model = SpeechBackbone(family, Weights(None), architecture=architecture, **settings)
    with torch.no_grad():  # gates and norms of a new model are constant
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def waveform() -> torch.Tensor:
    return 0.1 * torch.randn(len(LENGTHS), int(LENGTHS.max()), generator=torch.Generator().manual_seed(1)) + 0.02


def run_backward(model: SpeechBackbone) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return valid frames, shape (frames, dim), and the gradients of a projection of them."""
    frames, mask = model(waveform().to(next(model.parameters()).dtype), LENGTHS)
    values = frames[mask]
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (values * weights.to(values.dtype)).sum().backward()
    return values.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_equal_function(model: SpeechBackbone, stock: SpeechBackbone, atol: float, rtol: float) -> None:
    """Compare outputs within `atol`, and gradients within `rtol` of their largest element."""
    (ours, grads), (theirs, stock_grads) = run_backward(model), run_backward(stock)
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)
    assert grads.keys() == stock_grads.keys()
    least = 1e-3 * max(grad.abs().max() for grad in stock_grads.values())
    for name, grad in stock_grads.items():
        worst = (grads[name] - grad).abs().max() / max(grad.abs().max(), least)
        assert worst <= rtol, f"{name}: {worst}"


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", [{"attention": "eager"}, {"attention": "sdpa"}, {}, {"freeze_feature_encoder": True}])
def test_fast_layers_equal_transformers_in_training(family: str, norm: str, mode: dict):
    """Training mode has another backward pass; all layers, padded batches, float32."""
    forms = mode if "attention" not in mode else {"fast_layers": False, **mode}
    stock = {**STOCK, **{k: v for k, v in mode.items() if k.startswith("freeze")}}
    assert_equal_function(backbone(family, norm, **forms).train(), backbone(family, norm, **stock).train(), 1e-5, 1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_fast_layers_equal_transformers_in_float64(family: str):
    """Differences in float32 are rounding errors, which vanish in float64."""
    for norm in ("layer", "group"):
        assert_equal_function(backbone(family, norm).double(), backbone(family, norm, **STOCK).double(), 1e-11, 1e-10)


def test_chunked_attention_equals_transformers_with_many_chunks(monkeypatch: pytest.MonkeyPatch):
    assert MAX_CHUNK_WEIGHTS > 4 * 200 * 200, "the other tests use one chunk"
    monkeypatch.setattr("seenet.models.backbones.fast_attention.MAX_CHUNK_WEIGHTS", 1)
    assert_equal_function(backbone().double(), backbone(**STOCK).double(), 1e-11, 1e-10)


@torch.no_grad()
def test_group_norm_computes_in_float32_when_input_is_half_precision():
    """Only the output is rounded."""
    norm = LengthAwareGroupNorm(8, 8)
    hidden = 3 + torch.randn(5, 4000, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    exact = norm.normalize_time_major(hidden.double(), LENGTHS)
    torch.testing.assert_close(norm.normalize_time_major(hidden, LENGTHS), exact.bfloat16(), atol=1e-5, rtol=2**-7)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.filterwarnings("ignore:.*flex_attention called without torch.compile.*")
def test_flex_attention_equals_transformers(family: str, monkeypatch: pytest.MonkeyPatch):
    """On a CPU, FlexAttention has no backward pass; training uses another form."""
    monkeypatch.setattr(fast_attention, "_flex_attention", mock.Mock(side_effect=fast_attention._flex_attention))
    with torch.no_grad():
        ours, mask = backbone(family, attention="flex").eval()(waveform(), LENGTHS)
        theirs, _ = backbone(family, **STOCK).eval()(waveform(), LENGTHS)
    torch.testing.assert_close(ours[mask], theirs[mask], atol=1e-5, rtol=0)
    layers = 0 if family == "wav2vec2-conformer" else ARCHITECTURE["num_hidden_layers"]  # its bias needs another form
    assert fast_attention._flex_attention.call_count == layers
    assert_equal_function(backbone(family, attention="flex").train(), backbone(family, **STOCK).train(), 1e-5, 1e-4)
    assert fast_attention._flex_attention.call_count == layers


@pytest.mark.parametrize("family", FAMILIES)
def test_backbone_pads_frames_to_a_multiple(family: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("seenet.models.backbones.transformers_backbone.FRAME_MULTIPLES", {"cpu": 8})
    ours, seen = backbone(family).train(), []
    ours.model.encoder.register_forward_hook(lambda *call: seen.append(call[2].last_hidden_state.shape[1]))
    assert_equal_function(ours, backbone(family, **STOCK).train(), 1e-5, 1e-4)
    padded, frames = (104, 99) if family == "sew" else (200, 199)  # SEW joins two frames
    assert seen == [padded]
    assert ours(waveform(), LENGTHS)[0].shape[1] == frames, "the output has the frames of the longest clip"


@pytest.mark.parametrize("where", ["on a CPU", "on a GPU"])
@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("form", ["eager", "sdpa"])
def test_fast_layers_are_as_precise_as_transformers_in_bfloat16(
    form: str, norm: str, where: str, monkeypatch: pytest.MonkeyPatch
):
    """The distance to float32 is at most 1.5 times that of transformers."""
    exact, exact_grads = run_backward(backbone(norm=norm, **STOCK))
    if where == "on a GPU":  # autocast on a GPU computes norms in float32
        in_full = F.layer_norm
        monkeypatch.setattr(F, "layer_norm", lambda hidden, *settings: in_full(hidden.float(), *settings))
    with torch.autocast("cpu", torch.bfloat16):
        theirs, their_grads = run_backward(backbone(norm=norm, **STOCK))
        ours, grads = run_backward(backbone(norm=norm, attention=form))
    assert (ours.float() - exact).norm() < 1.5 * (theirs.float() - exact).norm()
    assert grads.keys() == exact_grads.keys()
    distance, their_distance = (
        sum((found[name] - grad).square().sum() for name, grad in exact_grads.items()) ** 0.5
        for found in (grads, their_grads)
    )
    assert distance < 1.5 * their_distance
    for name, grad in their_grads.items():
        assert grads[name].dtype == grad.dtype


def test_state_dict_is_exchangeable_with_transformers():
    for family in FAMILIES:
        ours = backbone(family).model
        theirs = encoder_classes(family)[1](copy.deepcopy(ours.config))
        assert list(ours.state_dict()) == list(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict())
        ours.load_state_dict(theirs.state_dict())


def test_gradient_checkpointing_keeps_output_and_gradients():
    for family in FAMILIES:
        settings = {"hidden_dropout": 0.2, "attention_dropout": 0.2}
        torch.manual_seed(3)
        plain = backbone(family, **settings).train()
        again = backbone(family, checkpointing=True, **settings).train()
        torch.manual_seed(4)
        values, grads = run_backward(plain)
        torch.manual_seed(4)
        same, same_grads = run_backward(again)
        torch.testing.assert_close(values, same, atol=0, rtol=0)
        for name, grad in grads.items():
            torch.testing.assert_close(same_grads[name], grad)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_apply_dropout_drops_the_share(share: float):
    values = torch.ones(2_000_001)
    dropped = apply_dropout(values, share)
    gone = (dropped == 0).float().mean().item()
    exact = round(share * DROPOUT_LEVELS) / DROPOUT_LEVELS
    assert abs(gone - exact) < 5 * (share * (1 - share) / values.numel()) ** 0.5
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / (1 - exact)])
    neighbours = ((dropped[1:] == 0) & (dropped[:-1] == 0)).float().mean().item()
    assert abs(neighbours - share**2) < 6 * (share**2 / values.numel()) ** 0.5, "values are dropped independently"


def test_apply_dropout_at_its_bounds_and_by_seed():
    values = torch.ones(1000)
    assert torch.equal(apply_dropout(values, 0.0), values)
    assert not apply_dropout(values, 1.0).any()
    assert torch.equal(apply_dropout(values, 0.3, seed=1), apply_dropout(values, 0.3, seed=1))
    assert not torch.equal(apply_dropout(values, 0.3, seed=1), apply_dropout(values, 0.3, seed=2))
    assert not torch.equal(apply_dropout(values, 0.3), apply_dropout(values, 0.3))


def test_attention_dropout_applies_in_training_only():
    model = backbone(attention_dropout=0.5)
    model.train()
    assert not torch.equal(model(waveform(), LENGTHS)[0], model(waveform(), LENGTHS)[0])
    model.eval()
    assert torch.equal(model(waveform(), LENGTHS)[0], model(waveform(), LENGTHS)[0])


def test_chunked_attention_drops_the_share_of_weights():
    """With one-hot values, the output equals the attention weights after dropout."""
    size, share = 64, 0.25
    query = torch.zeros(8, 2, size, 16)
    value = torch.eye(size).expand(8, 2, size, size)
    weights = ChunkedAttention.apply(
        query, query, value, torch.zeros(8, 2, size, 1), torch.zeros(2, 1, 1), torch.zeros(8, 1, 1, size), 0.25, share
    )
    count = weights.numel()
    assert abs((weights == 0).float().mean().item() - share) < 5 * (share * (1 - share) / count) ** 0.5
    assert weights.unique().tolist() == pytest.approx([0.0, 1 / size / (1 - share)])


def test_chunked_attention_backward_replays_the_dropout_mask():
    """The gradient of attention with a fixed dropout seed equals numeric differences."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(3, 2, 5, 4)] * 3 + [(3, 2, 5, 1), (2, 5, 5)]
    tensors = [torch.randn(size, generator=generator, dtype=torch.double, requires_grad=True) for size in sizes]
    padding = torch.zeros(3, 1, 1, 5, dtype=torch.double)
    padding[1, ..., 3:] = -torch.inf

    def attention(*inputs: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(5)
        return ChunkedAttention.apply(*inputs, padding, 0.5, 0.3)

    assert torch.autograd.gradcheck(attention, tensors)


def test_masked_attention_uses_every_frame_when_there_is_no_mask():
    query, key, value = (torch.randn(2, 2, 7, 4, generator=torch.Generator().manual_seed(k)) for k in range(3))
    for form in ("eager", "sdpa"):
        expected = F.scaled_dot_product_attention(query, key, value)
        torch.testing.assert_close(masked_attention(form, query, key, value, None, 0.0), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), [(10, 5), (3, 2), (2, 2), (8, 3), (5, 1), (2, 3)])
def test_convolve_time_major_equals_conv1d(kernel: int, stride: int):
    torch.manual_seed(0)
    conv = torch.nn.Conv1d(6, 5, kernel, stride).double()
    for time in range(kernel, kernel + 3 * stride + 2):
        hidden = torch.randn(3, time, 6, dtype=torch.double)
        torch.testing.assert_close(convolve_time_major(hidden, conv), conv(hidden.mT).mT)


@pytest.mark.parametrize(("kernel", "frames"), [(128, 299), (128, 20), (65, 100), (64, 1)])
def test_fft_convolution_equals_the_positional_convolution(kernel: int, frames: int):
    config = transformers.WavLMConfig(
        **{**ARCHITECTURE, "num_conv_pos_embeddings": kernel, "feat_extract_norm": "layer"}
    )
    torch.manual_seed(0)
    model = transformers.WavLMModel(config)
    plain = copy.deepcopy(model.state_dict())
    hidden = torch.randn(3, frames, config.hidden_size)
    expected = model.encoder.pos_conv_embed(hidden)
    use_convolutions(model)
    assert type(model.encoder.pos_conv_embed.conv).__name__.startswith("FFTConvMixin")
    torch.testing.assert_close(model.encoder.pos_conv_embed(hidden), expected, atol=1e-5, rtol=1e-5)
    assert plain.keys() == model.state_dict().keys()


def count_graphs() -> int:
    """Return the number of graphs compiled since the last reset."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.slow
def test_compiled_layers_are_equal_and_compile_once_for_all_lengths(monkeypatch: pytest.MonkeyPatch):
    """A frozen encoder processes five clips in three chunks of two sizes. Other settings are traced below."""
    monkeypatch.setattr("seenet.models.backbones.fast_convolutions.CPU_CHUNK_CLIPS", 2)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    settings = {"attention": "sdpa", "freeze_feature_encoder": True}
    model, plain = backbone(**settings), backbone(**settings)
    model.compile_layers()
    assert_equal_function(model, plain, 1e-5, 1e-4)
    encoder, layers = 2, 2  # variants: two clips and one; with and without the lookup of the position bias
    assert count_graphs() == encoder + layers

    def run_all_lengths() -> None:
        for samples in range(2000, 4000, 250):
            frames, _ = model(waveform()[:, :samples], LENGTHS.clamp(max=samples))
            if frames.requires_grad:
                frames.sum().backward()

    run_all_lengths()
    assert count_graphs() == encoder + layers
    with torch.no_grad():
        torch.testing.assert_close(model(waveform(), LENGTHS)[0], plain(waveform(), LENGTHS)[0], atol=1e-5, rtol=0)
        run_all_lengths()
    tests = layers  # without a backward pass
    assert count_graphs() == encoder + layers + tests
    another = backbone(**settings)  # like the backbone of the next fold
    another.compile_layers()
    another(waveform(), LENGTHS)
    assert count_graphs() == encoder + layers + tests, "the compiled code is reused"
    assert not torch._dynamo.utils.counters["graph_break"]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make torch.compile trace layers and run them with the eager backend, without a compiler."""
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **how: compiler(function, backend="eager", **how))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


@pytest.mark.parametrize(
    ("settings", "frozen"),
    [
        ({"norm": "layer"}, True),
        *(
            pytest.param(settings, frozen, marks=pytest.mark.slow)
            for settings, frozen in [
                *(({"norm": "group"}, True), ({"checkpointing": True}, True)),
                *(({"norm": "layer"}, False), ({"norm": "group"}, False), ({"checkpointing": True}, False)),
            ]
        ),
    ],
)
def test_traced_layers_are_equal_and_have_few_variants(settings: dict, frozen: bool, traced):
    """Outputs are equal in float32 and close in bfloat16."""
    settings = {"attention": "sdpa", "freeze_feature_encoder": frozen, **settings}
    model, plain = backbone(**settings).train(), backbone(**settings).train()
    model.compile_layers()
    assert_equal_function(model, plain, 1e-5, 1e-4)
    assert count_graphs() == 3 + frozen  # five clips form chunks of four and of one
    assert not torch._dynamo.utils.counters["graph_break"]
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = model(waveform(), LENGTHS)[0], plain(waveform(), LENGTHS)[0]
    assert (ours - theirs).norm() < 0.02 * theirs.norm()


@pytest.mark.slow
def test_compile_layers_compiles_every_arm_of_a_sweep(traced):
    """By default, torch silently stops after eight variants of a layer."""
    for arm in range(1, 7):
        before = count_graphs()
        model = backbone(fast_layers=False, attention="sdpa", hidden_dropout=arm / 10)
        model.compile_layers()
        with torch.no_grad():
            model.train()(waveform(), LENGTHS)
        assert count_graphs() >= before + 2, f"arm {arm}"


def test_compile_layers_raises_the_limit_of_variants(monkeypatch: pytest.MonkeyPatch):
    """A cheap part of `test_compile_layers_compiles_every_arm_of_a_sweep`: nothing runs, so nothing is compiled."""
    limits = ("recompile_limit", "accumulated_recompile_limit")
    for name in limits:
        monkeypatch.setattr(torch._dynamo.config, name, 8)
    backbone().compile_layers()
    assert [getattr(torch._dynamo.config, name) for name in limits] == [RECOMPILE_LIMIT] * 2
    assert RECOMPILE_LIMIT > 100
