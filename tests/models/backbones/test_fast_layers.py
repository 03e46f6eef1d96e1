"""Fast forms of a backbone's layers compute what transformers' own do."""

import copy
from unittest import mock

import pytest
import torch
import transformers
from torch.nn import functional as F

from seenet.models.backbones import fast_attention
from seenet.models.backbones.fast_attention import MAX_CHUNK_WEIGHTS, ChunkedAttention, masked_attention
from seenet.models.backbones.fast_convolutions import MIN_FFT_KERNEL, convolve_time_major, use_convolutions
from seenet.models.backbones.fast_dropout import DROPOUT_LEVELS, apply_dropout
from seenet.models.backbones.length_handling import LengthAwareGroupNorm
from seenet.models.backbones.pretrained_weights import Weights
from seenet.models.backbones.transformers_backbone import FAMILIES, SpeechBackbone

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
    """The same random weights each time; nothing is dropped."""
    torch.manual_seed(0)
    architecture = dict(ARCHITECTURE)
    if family != "data2vec-audio":
        architecture |= {"feat_extract_norm": norm, "num_conv_pos_embeddings": 2 * MIN_FFT_KERNEL}
        architecture |= {"do_stable_layer_norm": norm == "layer"}
    settings = {"freeze_feature_encoder": False, **dict.fromkeys(DROPOUTS, 0.0), **settings}
    model = SpeechBackbone(family, Weights(None), architecture=architecture, **settings)
    with torch.no_grad():  # a new model's gates and norms are all alike
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model


def waveform() -> torch.Tensor:
    return 0.1 * torch.randn(len(LENGTHS), int(LENGTHS.max()), generator=torch.Generator().manual_seed(1)) + 0.02


def outcome(model: SpeechBackbone) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Valid frames, shape (frames, dim), and the gradients of a projection of them."""
    frames, mask = model(waveform().to(next(model.parameters()).dtype), LENGTHS)
    values = frames[mask]
    weights = torch.randn(values.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    (values * weights.to(values.dtype)).sum().backward()
    return values.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_alike(model: SpeechBackbone, stock: SpeechBackbone, atol: float, rtol: float) -> None:
    """Outputs within `atol`; each gradient within `rtol` of its largest element (or of the smallest that counts)."""
    (ours, slopes), (theirs, stock_slopes) = outcome(model), outcome(stock)
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)
    assert slopes.keys() == stock_slopes.keys()
    least = 1e-3 * max(slope.abs().max() for slope in stock_slopes.values())
    for name, slope in stock_slopes.items():
        worst = (slopes[name] - slope).abs().max() / max(slope.abs().max(), least)
        assert worst <= rtol, f"{name}: {worst}"


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("mode", [{"attention": "eager"}, {"attention": "sdpa"}, {}, {"freeze_feature_encoder": True}])
def test_every_form_equals_transformers_own(family: str, norm: str, mode: dict):
    """In training mode, for the way back is another there; all layers, padded batches, float32."""
    forms = mode if "attention" not in mode else {"fast_layers": False, **mode}
    stock = {**STOCK, **{k: v for k, v in mode.items() if k.startswith("freeze")}}
    assert_alike(backbone(family, norm, **forms).train(), backbone(family, norm, **stock).train(), 1e-5, 1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_forms_are_the_same_function(family: str):
    """What is left in float32 is rounding: in float64 it vanishes."""
    for norm in ("layer", "group"):
        assert_alike(backbone(family, norm).double(), backbone(family, norm, **STOCK).double(), 1e-11, 1e-10)


def test_a_batch_in_many_shares(monkeypatch: pytest.MonkeyPatch):
    assert MAX_CHUNK_WEIGHTS > 4 * 200 * 200, "the other tests see one share"
    monkeypatch.setattr("seenet.models.backbones.fast_attention.MAX_CHUNK_WEIGHTS", 1)
    assert_alike(backbone().double(), backbone(**STOCK).double(), 1e-11, 1e-10)


@torch.no_grad()
def test_the_norm_over_valid_frames_in_half_precision():
    """Its statistics and differences are those of float32: what comes out is rounded once."""
    norm = LengthAwareGroupNorm(8, 8)
    hidden = 3 + torch.randn(5, 4000, 8, generator=torch.Generator().manual_seed(0)).bfloat16()
    exact = norm.time_first(hidden.double(), LENGTHS)
    torch.testing.assert_close(norm.time_first(hidden, LENGTHS), exact.bfloat16(), atol=1e-5, rtol=2**-7)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.filterwarnings("ignore:.*flex_attention called without torch.compile.*")
def test_flex_attention(family: str, monkeypatch: pytest.MonkeyPatch):
    """Forward alone: torch has no way back through it on a CPU, where training takes another form."""
    monkeypatch.setattr(fast_attention, "_flex_attention", mock.Mock(side_effect=fast_attention._flex_attention))
    with torch.no_grad():
        ours, mask = backbone(family, attention="flex").eval()(waveform(), LENGTHS)
        theirs, _ = backbone(family, **STOCK).eval()(waveform(), LENGTHS)
    torch.testing.assert_close(ours[mask], theirs[mask], atol=1e-5, rtol=0)
    assert fast_attention._flex_attention.call_count == ARCHITECTURE["num_hidden_layers"]
    assert_alike(backbone(family, attention="flex").train(), backbone(family, **STOCK).train(), 1e-5, 1e-4)
    assert fast_attention._flex_attention.call_count == ARCHITECTURE["num_hidden_layers"]


@pytest.mark.parametrize("family", FAMILIES)
def test_frames_are_padded_to_a_multiple_on_a_gpu(family: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("seenet.models.backbones.transformers_backbone.FRAME_MULTIPLES", {"cpu": 8})
    ours, seen = backbone(family).train(), []
    ours.model.encoder.register_forward_hook(lambda *call: seen.append(call[2].last_hidden_state.shape[1]))
    assert_alike(ours, backbone(family, **STOCK).train(), 1e-5, 1e-4)
    assert seen == [200]
    assert ours(waveform(), LENGTHS)[0].shape[1] == 199, "and no more come out than the longest clip has"


@pytest.mark.parametrize("where", ["on a CPU", "on a GPU"])
@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("form", ["eager", "sdpa"])
def test_half_precision(form: str, norm: str, where: str, monkeypatch: pytest.MonkeyPatch):
    """bfloat16 against float32: no farther than transformers' own bfloat16 is, but for a factor of chance."""
    exact, exact_slopes = outcome(backbone(norm=norm, **STOCK))
    if where == "on a GPU":  # where autocast takes norms in float32, and gives that
        in_full = F.layer_norm
        monkeypatch.setattr(F, "layer_norm", lambda hidden, *settings: in_full(hidden.float(), *settings))
    with torch.autocast("cpu", torch.bfloat16):
        theirs, their_slopes = outcome(backbone(norm=norm, **STOCK))
        ours, slopes = outcome(backbone(norm=norm, attention=form))
    assert (ours.float() - exact).norm() < 1.5 * (theirs.float() - exact).norm()
    assert slopes.keys() == exact_slopes.keys()
    distance, their_distance = (
        sum((found[name] - slope).square().sum() for name, slope in exact_slopes.items()) ** 0.5
        for found in (slopes, their_slopes)
    )
    assert distance < 1.5 * their_distance
    for name, slope in their_slopes.items():
        assert slopes[name].dtype == slope.dtype


def test_weights_move_both_ways():
    for family, (_, plain) in FAMILIES.items():
        ours = backbone(family).model
        theirs = plain(copy.deepcopy(ours.config))
        assert list(ours.state_dict()) == list(theirs.state_dict())
        theirs.load_state_dict(ours.state_dict())
        ours.load_state_dict(theirs.state_dict())


def test_checkpointing_changes_nothing_but_memory():
    for family in FAMILIES:
        settings = {"hidden_dropout": 0.2, "attention_dropout": 0.2}
        torch.manual_seed(3)
        plain = backbone(family, **settings).train()
        again = backbone(family, checkpointing=True, **settings).train()
        torch.manual_seed(4)
        values, slopes = outcome(plain)
        torch.manual_seed(4)
        same, same_slopes = outcome(again)
        torch.testing.assert_close(values, same, atol=0, rtol=0)
        for name, slope in slopes.items():
            torch.testing.assert_close(same_slopes[name], slope)


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
def test_dropout_drops_its_share(share: float):
    values = torch.ones(2_000_001)
    dropped = apply_dropout(values, share)
    gone = (dropped == 0).float().mean().item()
    exact = round(share * DROPOUT_LEVELS) / DROPOUT_LEVELS
    assert abs(gone - exact) < 5 * (share * (1 - share) / values.numel()) ** 0.5
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / (1 - exact)])
    neighbours = ((dropped[1:] == 0) & (dropped[:-1] == 0)).float().mean().item()
    assert abs(neighbours - share**2) < 6 * (share**2 / values.numel()) ** 0.5, "each value for itself"


def test_dropout_at_its_ends_and_by_seed():
    values = torch.ones(1000)
    assert torch.equal(apply_dropout(values, 0.0), values)
    assert not apply_dropout(values, 1.0).any()
    assert torch.equal(apply_dropout(values, 0.3, seed=1), apply_dropout(values, 0.3, seed=1))
    assert not torch.equal(apply_dropout(values, 0.3, seed=1), apply_dropout(values, 0.3, seed=2))
    assert not torch.equal(apply_dropout(values, 0.3), apply_dropout(values, 0.3))


def test_attention_drops_weights_in_training_alone():
    model = backbone(attention_dropout=0.5)
    model.train()
    assert not torch.equal(model(waveform(), LENGTHS)[0], model(waveform(), LENGTHS)[0])
    model.eval()
    assert torch.equal(model(waveform(), LENGTHS)[0], model(waveform(), LENGTHS)[0])


def test_dropped_attention_weights_by_their_statistics():
    """With values that name the key, the output shows which weights were dropped: a share of them, scaled."""
    size, share = 64, 0.25
    query = torch.zeros(8, 2, size, 16)
    value = torch.eye(size).expand(8, 2, size, size)
    weights = ChunkedAttention.apply(
        query, query, value, torch.zeros(8, 2, size, 1), torch.zeros(2, 1, 1), torch.zeros(8, 1, 1, size), 0.25, share
    )
    count = weights.numel()
    assert abs((weights == 0).float().mean().item() - share) < 5 * (share * (1 - share) / count) ** 0.5
    assert weights.unique().tolist() == pytest.approx([0.0, 1 / size / (1 - share)])


def test_the_way_back_drops_the_same_weights():
    """Numeric differences of attention with dropout, its seed held."""
    generator = torch.Generator().manual_seed(0)
    sizes = [(3, 2, 5, 4)] * 3 + [(3, 2, 5, 1), (2, 5, 5)]
    tensors = [torch.randn(size, generator=generator, dtype=torch.double, requires_grad=True) for size in sizes]
    padding = torch.zeros(3, 1, 1, 5, dtype=torch.double)
    padding[1, ..., 3:] = -torch.inf

    def attention(*inputs: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(5)
        return ChunkedAttention.apply(*inputs, padding, 0.5, 0.3)

    assert torch.autograd.gradcheck(attention, tensors)


def test_attention_without_a_mask_hears_every_frame():
    query, key, value = (torch.randn(2, 2, 7, 4, generator=torch.Generator().manual_seed(k)) for k in range(3))
    for form in ("eager", "sdpa"):
        expected = F.scaled_dot_product_attention(query, key, value)
        torch.testing.assert_close(masked_attention(form, query, key, value, None, 0.0), expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("kernel", "stride"), [(10, 5), (3, 2), (2, 2), (8, 3), (5, 1), (2, 3)])
def test_a_convolution_as_matrix_products(kernel: int, stride: int):
    torch.manual_seed(0)
    conv = torch.nn.Conv1d(6, 5, kernel, stride).double()
    for time in range(kernel, kernel + 3 * stride + 2):
        hidden = torch.randn(3, time, 6, dtype=torch.double)
        torch.testing.assert_close(convolve_time_major(hidden, conv), conv(hidden.mT).mT)


@pytest.mark.parametrize(("kernel", "frames"), [(128, 299), (128, 20), (65, 100), (64, 1)])
def test_the_positional_convolution_by_spectrum(kernel: int, frames: int):
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


def graphs() -> int:
    """How many torch.compile has made since it was asked to forget."""
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [True, False])
def test_compiled_layers_are_the_same_function_and_compile_once_for_all_lengths(frozen: bool, monkeypatch):
    """A frozen encoder takes the five clips in three shares of two lengths, in training and in tests alike."""
    monkeypatch.setattr("seenet.models.backbones.fast_convolutions.CPU_CHUNK_CLIPS", 2)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    settings = {"attention": "sdpa", "freeze_feature_encoder": frozen}
    model, plain = backbone(**settings), backbone(**settings)
    model.compile_layers()
    assert_alike(model, plain, 1e-5, 1e-4)
    encoder, layers = 1 + frozen, 2  # forms: of two clips and of one; the first layer looks up the position bias
    assert graphs() == encoder + layers

    def in_every_length() -> None:
        for samples in range(2000, 4000, 250):
            frames, _ = model(waveform()[:, :samples], LENGTHS.clamp(max=samples))
            if frames.requires_grad:
                frames.sum().backward()

    in_every_length()
    assert graphs() == encoder + layers
    with torch.no_grad():
        torch.testing.assert_close(model(waveform(), LENGTHS)[0], plain(waveform(), LENGTHS)[0], atol=1e-5, rtol=0)
        in_every_length()
    tests = layers + (0 if frozen else 2)  # without a way back the encoder takes shares
    assert graphs() == encoder + layers + tests
    another = backbone(**settings)  # as the next fold makes one
    another.compile_layers()
    another(waveform(), LENGTHS)
    assert graphs() == encoder + layers + tests, "it finds what was compiled"
    assert not torch._dynamo.utils.counters["graph_break"]


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers are traced, and run as they were traced: torch.compile without a compiler."""
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, **how: compiler(function, backend="eager", **how))
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


@pytest.mark.parametrize("settings", [{"norm": "layer"}, {"norm": "group"}, {"checkpointing": True}])
@pytest.mark.parametrize("frozen", [True, False])
def test_layers_that_are_traced(settings: dict, frozen: bool, traced):
    """The same function, in bfloat16 too, and of few forms."""
    settings = {"attention": "sdpa", "freeze_feature_encoder": frozen, **settings}
    model, plain = backbone(**settings).train(), backbone(**settings).train()
    model.compile_layers()
    assert_alike(model, plain, 1e-5, 1e-4)
    assert graphs() == 3 + frozen  # five clips are a share of four and one of one
    assert not torch._dynamo.utils.counters["graph_break"]
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = model(waveform(), LENGTHS)[0], plain(waveform(), LENGTHS)[0]
    assert (ours - theirs).norm() < 0.02 * theirs.norm()


def test_every_arm_of_a_sweep_is_compiled(traced):
    """torch stops after eight forms of a layer, without an error."""
    for arm in range(1, 7):
        before = graphs()
        model = backbone(fast_layers=False, attention="sdpa", hidden_dropout=arm / 10)
        model.compile_layers()
        with torch.no_grad():
            model.train()(waveform(), LENGTHS)
        assert graphs() >= before + 2, f"arm {arm}"
