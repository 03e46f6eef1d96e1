"""Every family obeys lengths, options do what they say, weights come from where they should."""

import copy
import hashlib
import http.server
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.models.backbones.pretrained_weights import Weights, resolve_weights
from seenet.models.backbones.transformers_backbone import FAMILIES, SpeechBackbone
from seenet.models.pooling import AttentionPooling, MeanPooling
from support.batches import pad

TINY = ["wav2vec2_tiny", "hubert_tiny", "wavlm_tiny", "data2vec_tiny"]
SKIP = ("family", "checkpoint", "revision", "path", "recipe")


@pytest.fixture
def tiny(config):
    """A tiny backbone with random weights."""

    def make(choice: str = "wavlm_tiny", **settings) -> SpeechBackbone:
        torch.manual_seed(0)
        overrides = [f"backbone={choice}"]
        norm = settings.pop("norm", None)
        if norm and choice != "data2vec_tiny":  # data2vec-audio knows the layer norm alone
            overrides.append(f"backbone.architecture.feat_extract_norm={norm}")
        cfg = config(*overrides).backbone
        weights = settings.pop("weights", Weights(None))
        return instantiate_checked(
            cfg, "backbone", skip=(*SKIP, *settings), family=cfg.family, weights=weights, **settings
        )

    return make


CLIPS = [9000, 16000, 3000, 420]


def clips() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(n, generator=generator) for n in CLIPS]


@pytest.mark.parametrize("norm", ["layer", "group"])
@pytest.mark.parametrize("choice", TINY)
@pytest.mark.parametrize("pooling", [MeanPooling, AttentionPooling])
@pytest.mark.parametrize("normalize", [False, True])
def test_a_clip_alone_equals_the_clip_in_a_padded_batch(tiny, choice, norm, pooling, normalize):
    backbone = tiny(choice, norm=norm, normalize=normalize).eval()
    pool, head = pooling(backbone.dim), torch.nn.Linear(backbone.dim, 4)
    modules = torch.nn.ModuleList([backbone, pool, head])

    def logits(waveform: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return head(pool(*backbone(waveform, lengths)))

    def gradients(values: torch.Tensor) -> list[torch.Tensor]:
        parameters = [p for p in modules.parameters() if p.requires_grad]
        weights = torch.tensor([1.0, -2.0, 3.0, 0.5])
        loss = (values * weights).sum()
        return torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)

    waveform, lengths = pad(clips())
    together = logits(waveform, lengths)
    for i, clip in enumerate(clips()):
        alone = logits(clip[None], torch.tensor([len(clip)]))
        torch.testing.assert_close(alone[0], together[i], atol=1e-4, rtol=0)
        pairs = zip(gradients(alone[0]), gradients(together[i]), strict=True)
        for single, batched in pairs:
            torch.testing.assert_close(single, batched, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("choice", TINY)
def test_the_padding_is_never_heard(tiny, choice):
    """Garbage behind a clip's end changes nothing."""
    backbone = tiny(choice, norm="group").eval()
    waveform, lengths = pad(clips())
    frames, mask = backbone(waveform, lengths)
    expected = [1 + (max(n, 640) - 640) // 320 for n in CLIPS]  # 640 samples a frame, 320 apart
    assert mask.sum(1).tolist() == expected
    loud = torch.where(torch.arange(waveform.shape[1]) < lengths[:, None], waveform, 9.0)
    heard, _ = backbone(loud, lengths)
    torch.testing.assert_close(heard[mask], frames[mask], atol=1e-5, rtol=0)


@pytest.mark.parametrize("choice", TINY)
def test_the_shortest_clips_are_finite(tiny, choice):
    backbone = tiny(choice, norm="group", mask_time_prob=0.5).train()
    waveform, lengths = pad([torch.ones(1), torch.ones(100)])
    frames, mask = backbone(waveform, lengths)
    assert torch.isfinite(frames).all()
    assert mask.tolist() == [[True], [True]]


def test_group_norm_is_transformers_own_on_a_single_clip(tiny):
    backbone = tiny("hubert_tiny", norm="group").eval()
    plain = transformers.HubertModel(backbone.model.config).eval()
    plain.load_state_dict(backbone.model.state_dict())
    clip = clips()[0][None]
    ours, _ = backbone(clip, torch.tensor([clip.shape[1]]))
    torch.testing.assert_close(ours, plain(clip).last_hidden_state, atol=1e-5, rtol=1e-5)


def trained(backbone: SpeechBackbone) -> set[str]:
    return {name for name, p in backbone.model.named_parameters() if p.requires_grad}


def test_freezing(tiny):
    assert any(name.startswith("feature_extractor") for name in trained(tiny()))
    without = trained(tiny(freeze_feature_encoder=True))
    assert without
    assert not any(name.startswith("feature_extractor") for name in without)
    frozen = tiny(freeze=True).train()
    assert not trained(frozen)
    assert not frozen.model.training
    assert frozen.dropout.training


def test_normalize_makes_loudness_vanish(tiny):
    backbone = tiny(normalize=True).eval()
    waveform, lengths = pad(clips())
    quiet, mask = backbone(waveform, lengths)
    loud, _ = backbone(5 * waveform + 0.0, lengths)
    torch.testing.assert_close(quiet[mask], loud[mask], atol=1e-3, rtol=1e-3)


def test_dropout_and_masking_act_in_training_only(tiny):
    backbone = tiny(final_dropout=0.5, mask_time_prob=0.3, hidden_dropout=0.0)
    waveform, lengths = pad(clips())
    backbone.train()
    assert not torch.equal(backbone(waveform, lengths)[0], backbone(waveform, lengths)[0])
    backbone.eval()
    assert torch.equal(backbone(waveform, lengths)[0], backbone(waveform, lengths)[0])
    assert backbone.dropout.p == 0.5


def test_wrong_options(tiny):
    with pytest.raises(SeenetError, match="backbone.layerdrop=2"):
        tiny(layerdrop=2.0)
    with pytest.raises(SeenetError, match="backbone.architecture"):
        tiny(architecture={"hidden_size": 63, "num_attention_heads": 4, "num_conv_pos_embedding_groups": 3})


SMALL = {
    "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "conv_dim": [16, 16], "conv_kernel": [10, 4], "conv_stride": [5, 4], "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 2, "num_conv_pos_embedding_groups": 2, "mask_time_prob": 0.0,
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_folder_loads_into_its_own_class(tiny, family: str, tmp_path: Path):
    config_class, model_class = FAMILIES[family]
    saved = model_class(config_class(**SMALL))
    saved.save_pretrained(tmp_path)
    weights = resolve_weights(family, "microsoft/wavlm-large", path=str(tmp_path))
    choice = {"data2vec-audio": "data2vec"}.get(family, family)
    backbone = tiny(f"{choice}_base", weights=weights)
    assert type(backbone.model) is model_class
    for name, value in saved.state_dict().items():
        torch.testing.assert_close(backbone.model.state_dict()[name], value)
    before = weights.fingerprint
    with torch.no_grad():
        next(saved.parameters()).add_(1)
    saved.save_pretrained(tmp_path)
    assert resolve_weights(family, path=str(tmp_path)).fingerprint != before, "other weights are another run"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_weights_are_trained_in_full(tiny, dtype: torch.dtype, tmp_path: Path):
    transformers.WavLMModel(transformers.WavLMConfig(**SMALL)).to(dtype).save_pretrained(tmp_path)
    backbone = tiny("wavlm_base", weights=resolve_weights("wavlm", path=str(tmp_path)))
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}
    assert torch.isfinite(backbone(torch.ones(1, 9000), torch.tensor([9000]))[0]).all()


def test_the_older_weight_file_loads_too(tiny, tmp_path: Path):
    """pytorch_model.bin: the one file that microsoft/wavlm-large and facebook/data2vec-audio-large have."""
    saved = transformers.WavLMModel(transformers.WavLMConfig(**SMALL))
    saved.config.save_pretrained(tmp_path)
    torch.save(saved.state_dict(), tmp_path / "pytorch_model.bin")
    backbone = tiny("wavlm_base", weights=resolve_weights("wavlm", path=str(tmp_path)))
    for name, value in saved.state_dict().items():
        torch.testing.assert_close(backbone.model.state_dict()[name], value)


def test_wrong_folders(tmp_path: Path):
    with pytest.raises(SeenetError, match="save_pretrained"):
        resolve_weights("wavlm", path=str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "hubert"}))
    with pytest.raises(SeenetError, match="holds a hubert model, not wavlm"):
        resolve_weights("wavlm", path=str(tmp_path))
    with pytest.raises(SeenetError, match="no weights"):
        resolve_weights("hubert", path=str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(SeenetError, match="cannot be loaded"):
        SpeechBackbone("hubert", resolve_weights("hubert", path=str(tmp_path)))


@pytest.fixture
def hub(tmp_path: Path):
    """A hub on this machine's loopback that serves one small WavLM, as huggingface.co does."""
    commit = "89abcdef0123456789abcdef0123456789abcdef"
    transformers.WavLMModel(transformers.WavLMConfig(**SMALL)).save_pretrained(tmp_path / "served")

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def do_GET(self) -> None:
            path = urllib.parse.urlparse(self.path).path
            if path.startswith("/api/models/lab/wavlm"):
                self.answer(json.dumps({"id": "lab/wavlm", "sha": commit, "siblings": []}).encode())
            elif path.startswith("/lab/wavlm/resolve/") and (tmp_path / "served" / Path(path).name).is_file():
                body = (tmp_path / "served" / Path(path).name).read_bytes()
                self.answer(body, X_Repo_Commit=commit, ETag=f'"{hashlib.sha256(body).hexdigest()}"')
            else:
                known = "lab/wavlm" in path
                self.answer(b"", 200 if path == "/" else 404, X_Error_Code="EntryNotFound" if known else "RepoNotFound")

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", commit
    server.shutdown()


def test_weights_are_downloaded_once_and_then_cached(hub, tmp_path: Path):
    """In a process of its own, for the hub's address is read at import."""
    address, commit = hub
    code = (
        "from seenet.models.backbones.pretrained_weights import resolve_weights\n"
        "from seenet.models.backbones.transformers_backbone import SpeechBackbone\n"
        "from seenet.core.errors import SeenetError\n"
        "first = resolve_weights('wavlm', 'lab/wavlm')\n"
        "print(first.cached, first.fingerprint, SpeechBackbone('wavlm', first).dim)\n"
        "second = resolve_weights('wavlm', 'lab/wavlm', revision=first.revision)\n"
        "print(second.cached, second.fingerprint, SpeechBackbone('wavlm', second).dim)\n"
        "try:\n    resolve_weights('wavlm', 'lab/none')\nexcept SeenetError as error:\n    print(error)\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    lines = run.stdout.splitlines()
    assert lines[:2] == [f"False {commit} 32", f"True {commit} 32"], run.stdout + run.stderr
    assert "lab/none" in lines[2]
    assert "backbone.path=FOLDER" in lines[2]


def test_the_hubs_cache_is_used_without_a_network(tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A cache laid out as huggingface_hub does, and every connection refused."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--microsoft--wavlm-base"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    transformers.WavLMModel(transformers.WavLMConfig(**SMALL)).save_pretrained(repository / "snapshots" / commit)

    def refused(*_: object, **__: object) -> None:
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(tmp_path))
    weights = resolve_weights("wavlm", "microsoft/wavlm-base")
    assert weights == Weights("microsoft/wavlm-base", cached=True, fingerprint=commit)
    assert tiny("wavlm_base", weights=weights).dim == 32


@pytest.mark.parametrize("norm", ["layer", "group"])
def test_a_copy_stands_for_itself(tiny, norm: str):
    """Its mode and its lengths are its own."""
    torch.manual_seed(0)
    original = tiny(norm=norm, mask_time_prob=0.5, mask_feature_prob=0.0).train()
    twin = copy.deepcopy(original).eval()
    waveform = torch.randn(2, 8000)
    expected, _ = original.eval()(waveform, torch.tensor([8000, 5000]))
    original.train()(waveform, torch.tensor([8000, 8000]))
    found, _ = twin(waveform, torch.tensor([8000, 5000]))
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        ({"add_adapter": True}, "a model with an adapter behind its transformer cannot be used"),
        ({"mask_time_prob": 0.1, "mask_time_length": 0}, "mask_time_length=0: expected 1 or more frames"),
        ({"mask_feature_prob": 0.1, "mask_feature_length": 33}, "mask_feature_length=33: expected 1 to 32 channels"),
    ],
)
def test_what_a_configuration_may_not_ask_for(architecture: dict, message: str):
    with pytest.raises(SeenetError, match=message):
        SpeechBackbone("wavlm", Weights(None), architecture={**SMALL, **architecture})
    SpeechBackbone("wavlm", Weights(None), architecture={**SMALL, "mask_feature_length": 33})  # of which there are none


def save_checkpoint(
    folder: Path, family: str = "wavlm", tensors: dict | None = None, **settings
) -> transformers.PreTrainedModel:
    """Save a small model of random weights, with other tensors where given; return it."""
    torch.manual_seed(0)
    config_class, model_class = FAMILIES[family]
    model = model_class(config_class(**{**SMALL, "num_hidden_layers": 2, "mask_time_prob": 0.1, **settings}))
    model.save_pretrained(folder)
    if tensors is not None:
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return model


def load(family: str, folder: Path, **settings) -> SpeechBackbone:
    return SpeechBackbone(family, resolve_weights(family, path=str(folder)), **settings)


@pytest.mark.parametrize("family", FAMILIES)
def test_pretrained_backbone_is_in_training_mode(family: str, tmp_path: Path):
    save_checkpoint(tmp_path, family)
    assert all(module.training for module in load(family, tmp_path).modules())
    frozen = load(family, tmp_path, freeze=True)
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
    """Every source of randomness but one is off; that one moves the loss in training and not in evaluation."""
    save_checkpoint(tmp_path, family, mask_feature_length=4, mask_time_length=2)
    dropouts = ("final_dropout", "hidden_dropout", "attention_dropout", "feat_proj_dropout", "layerdrop")
    off = dict.fromkeys((*dropouts, "mask_time_prob", "mask_feature_prob"), 0.0)
    quiet, noisy = load(family, tmp_path, **off), load(family, tmp_path, **{**off, **setting})
    for model in (quiet, noisy):
        for module in model.modules():
            if hasattr(module, "activation_dropout") or type(module).__name__.endswith("FeedForward"):
                module.intermediate_dropout.p = 0.0
    waveform, lengths = pad(clips())
    torch.manual_seed(0)
    target = torch.randn(len(lengths), quiet.dim)

    def loss(model: SpeechBackbone, seed: int) -> float:
        torch.manual_seed(seed)
        frames, mask = model(waveform, lengths)
        return (MeanPooling(model.dim)(frames, mask) - target).square().mean().item()

    assert loss(quiet, 0) == loss(quiet, 1)
    assert len({loss(noisy, seed) for seed in range(4)}) > 1
    assert loss(quiet.eval(), 0) == loss(noisy.eval(), 0) == loss(noisy, 1)


def test_checkpoint_without_a_tensor_is_refused(tmp_path: Path):
    tensors = dict(save_checkpoint(tmp_path).state_dict())
    name = "encoder.layers.1.feed_forward.output_dense.weight"
    kept = {key: value.contiguous() for key, value in tensors.items() if key != name}
    save_checkpoint(tmp_path, tensors=kept)
    with pytest.raises(SeenetError, match=rf"lacks 1 of {len(tensors)} tensors of the encoder: {name}$"):
        load("wavlm", tmp_path)
    save_checkpoint(tmp_path, tensors={k: v for k, v in kept.items() if "layers.1." not in k})
    lacking = sum("layers.1." in key for key in tensors)
    with pytest.raises(SeenetError, match=rf"lacks {lacking} of .* and {lacking - 3} more$"):
        load("wavlm", tmp_path)


def test_checkpoint_with_a_tensor_of_another_shape_is_refused(tmp_path: Path):
    tensors = dict(save_checkpoint(tmp_path).state_dict())
    name = "encoder.layers.0.feed_forward.output_dense.weight"
    save_checkpoint(tmp_path, tensors={**tensors, name: torch.zeros(3, 4)})
    message = rf"1 tensors of another shape: {name} has shape \(3, 4\), the architecture expects \(32, 32\)"
    with pytest.raises(SeenetError, match=message):
        load("wavlm", tmp_path)


def test_checkpoint_of_a_deeper_encoder_is_refused(tmp_path: Path):
    tensors = dict(save_checkpoint(tmp_path, num_hidden_layers=3).state_dict())
    save_checkpoint(tmp_path, tensors=tensors)
    with pytest.raises(SeenetError, match=r"encoder tensors that .* does not have: encoder\.layers\.2"):
        load("wavlm", tmp_path)


@pytest.mark.parametrize("name", ["encoder.extra", "encoder.layers.0.attention.extra", "adapter.layers.0.weight"])
@pytest.mark.parametrize("prefix", ["", "wavlm."])
def test_checkpoint_with_an_unknown_encoder_tensor_is_refused(name: str, prefix: str, tmp_path: Path):
    tensors = {prefix + key: value.contiguous() for key, value in save_checkpoint(tmp_path).state_dict().items()}
    save_checkpoint(tmp_path, tensors={**tensors, prefix + name: torch.zeros(2), "lm_head.weight": torch.zeros(2)})
    with pytest.raises(SeenetError, match=rf"holds 1 encoder tensors .*: {prefix}{name}$"):
        load("wavlm", tmp_path)


def test_checkpoint_under_a_foreign_prefix_names_it_when_one_tensor_is_missing_too(tmp_path: Path):
    tensors = save_checkpoint(tmp_path).state_dict()
    del tensors["encoder.layer_norm.bias"]
    save_checkpoint(tmp_path, tensors={f"net.wavlm.{name}": value for name, value in tensors.items()})
    held = len(tensors) - 1  # the mask vector is optional and not counted
    with pytest.raises(
        SeenetError, match=rf"lacks {held + 1} of .*holds {held} of them with the prefix 'net\.wavlm\.'"
    ):
        load("wavlm", tmp_path)


@pytest.mark.parametrize("prefix", ["net.wavlm.", "module."])
def test_checkpoint_under_a_foreign_prefix_is_refused(prefix: str, tmp_path: Path):
    tensors = save_checkpoint(tmp_path).state_dict()
    save_checkpoint(tmp_path, tensors={prefix + name: value for name, value in tensors.items()})
    with pytest.raises(SeenetError, match=f"holds them with the prefix '{prefix}'"):
        load("wavlm", tmp_path)


HEADS = {
    "wav2vec2": ("Wav2Vec2", ["CTC", "SequenceClassification", "PreTraining", "XVector", "AudioFrameClassification"]),
    "hubert": ("Hubert", ["CTC", "SequenceClassification"]),
    "wavlm": ("WavLM", ["CTC", "SequenceClassification", "XVector", "AudioFrameClassification"]),
    "data2vec-audio": ("Data2VecAudio", ["CTC", "SequenceClassification", "XVector", "AudioFrameClassification"]),
}


@pytest.mark.parametrize(("family", "head"), [(f, head) for f, (_, heads) in HEADS.items() for head in heads])
def test_checkpoint_with_a_task_head_gives_the_hidden_states_of_the_bare_encoder(family: str, head: str, tmp_path):
    bare = save_checkpoint(tmp_path / "bare", family)
    headed = getattr(transformers, f"{HEADS[family][0]}For{head}")(bare.config)
    encoder = getattr(headed, headed.base_model_prefix)
    encoder.load_state_dict(bare.state_dict())
    headed.save_pretrained(tmp_path / "headed")
    waveform, lengths = pad(clips())
    expected, mask = load(family, tmp_path / "bare").eval()(waveform, lengths)
    backbone = load(family, tmp_path / "headed").eval()
    assert torch.equal(backbone(waveform, lengths)[0][mask], expected[mask])
    assert backbone.loaded_tensors == sum(1 for _ in backbone.model.parameters())


@pytest.mark.parametrize(("family", "head"), [(f, head) for f, (_, heads) in HEADS.items() for head in heads])
def test_checkpoint_with_a_task_head_is_refused_when_its_encoder_is_deeper(family: str, head: str, tmp_path: Path):
    bare = save_checkpoint(tmp_path / "bare", family)
    getattr(transformers, f"{HEADS[family][0]}For{head}")(bare.config).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 1}))
    with pytest.raises(SeenetError, match=r"encoder tensors that .* does not have: .*encoder\.layers\.1\."):
        load(family, tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_checkpoint_with_the_old_names_of_weight_norm_gives_the_same_hidden_states(family: str, tmp_path: Path):
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    tensors = dict(save_checkpoint(tmp_path, family).state_dict())
    waveform, lengths = pad(clips())
    expected = load(family, tmp_path).eval()(waveform, lengths)[0]
    for new, old in names.items():
        tensors = {name.replace(new, old): value.contiguous() for name, value in tensors.items()}
    save_checkpoint(tmp_path, family, tensors=tensors)
    assert torch.equal(load(family, tmp_path).eval()(waveform, lengths)[0], expected)


def test_checkpoint_without_a_mask_vector_loads_and_counts_it_as_new(tmp_path: Path):
    tensors = dict(save_checkpoint(tmp_path).state_dict())
    del tensors["masked_spec_embed"]
    save_checkpoint(tmp_path, tensors=tensors)
    backbone = load("wavlm", tmp_path)
    assert backbone.loaded_tensors == sum(1 for _ in backbone.model.parameters()) - 1
    assert load("wavlm", tmp_path, mask_time_prob=0.0).loaded_tensors == backbone.loaded_tensors


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"7" * 64 + b"\nsize 377617425\n"


class Malicious:
    """Unpickling it would create a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", POINTER, "model.safetensors is a Git LFS pointer"),
        ("pytorch_model.bin", POINTER, "pytorch_model.bin is a Git LFS pointer"),
        ("config.json", POINTER, "config.json is a Git LFS pointer"),
        ("model.safetensors", b"", r"model.safetensors is empty \(0 bytes\)"),
        ("model.safetensors", None, "damaged or incomplete"),
        ("pytorch_model.bin", None, "damaged or incomplete"),
        ("pytorch_model.bin", b"no checkpoint", "pytorch_model.bin is damaged, or holds more than tensors"),
    ],
)
def test_damaged_weights_are_one_line(name: str, content: bytes | None, message: str, tmp_path: Path):
    """None is the first half of the file."""
    saved = save_checkpoint(tmp_path)
    if name == "pytorch_model.bin":
        (tmp_path / "model.safetensors").unlink()
        torch.save(saved.state_dict(), tmp_path / name)
    file = tmp_path / name
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2] if content is None else content)
    with pytest.raises(SeenetError, match=message) as caught:
        load("wavlm", tmp_path)
    assert "\n" not in str(caught.value)


def test_malicious_pickle_is_refused_and_not_run(tmp_path: Path):
    save_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Malicious(tmp_path / "owned")}))
    with pytest.raises(SeenetError, match="holds more than tensors"):
        load("wavlm", tmp_path)
    assert not (tmp_path / "owned").exists()


def test_missing_shard_is_one_line(tmp_path: Path):
    saved = save_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    saved.save_pretrained(tmp_path, max_shard_size="20KB")
    load("wavlm", tmp_path)
    next(iter(sorted(tmp_path.glob("model-*.safetensors")))).unlink()
    with pytest.raises(SeenetError, match="model-00001-of"):
        load("wavlm", tmp_path)


@pytest.mark.parametrize("content", ["{", "{}", "[]", '{"weight_map": {"a": 1}}', POINTER.decode()])
def test_damaged_index_is_one_line(content: str, tmp_path: Path):
    saved = save_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    saved.save_pretrained(tmp_path, max_shard_size="20KB")
    (tmp_path / "model.safetensors.index.json").write_text(content)
    with pytest.raises(SeenetError, match=r"model\.safetensors\.index\.json is (damaged|a Git LFS pointer)"):
        load("wavlm", tmp_path)


@pytest.mark.parametrize("kept", [0.0005, 0.02, 0.5, 0.999])
def test_older_weight_file_that_was_cut_is_one_line(kept: float, tmp_path: Path):
    """The form that torch wrote before 1.6, cut anywhere."""
    saved = save_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    file = tmp_path / "pytorch_model.bin"
    torch.save(saved.state_dict(), file, _use_new_zipfile_serialization=False)
    load("wavlm", tmp_path)
    file.write_bytes(file.read_bytes()[: int(kept * file.stat().st_size)])
    with pytest.raises(SeenetError, match="is damaged|damaged or incomplete") as caught:
        load("wavlm", tmp_path)
    assert "\n" not in str(caught.value)


def test_weight_file_that_holds_no_tensors_by_name_is_one_line(tmp_path: Path):
    save_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save([1, 2], tmp_path / "pytorch_model.bin")
    with pytest.raises(SeenetError, match="cannot be loaded"):
        load("wavlm", tmp_path)


@pytest.mark.parametrize("change", [{"hidden_size": "x"}, {"conv_dim": [16, 16, 16]}, {"num_attention_heads": 5}])
def test_configuration_that_cannot_be_is_one_line(change: dict, tmp_path: Path):
    save_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(SeenetError, match="cannot be loaded") as caught:
        load("wavlm", tmp_path)
    assert "\n" not in str(caught.value)


def test_folder_with_weights_of_another_library_says_how_to_convert_them(tmp_path: Path):
    save_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "tf_model.h5")
    with pytest.raises(SeenetError, match=r"holds no weights; .* convert tf_model\.h5 with"):
        resolve_weights("wavlm", path=str(tmp_path))


def test_checkpoint_of_a_run_is_no_backbone(tmp_path: Path):
    torch.save({"state_dict": {}}, tmp_path / "best.ckpt")
    with pytest.raises(SeenetError, match=r"is a file; .* best\.ckpt of seenet"):
        resolve_weights("wavlm", path=str(tmp_path / "best.ckpt"))


def test_files_that_are_not_loaded_are_neither_refused_nor_hashed(tmp_path: Path):
    save_checkpoint(tmp_path)
    before = resolve_weights("wavlm", path=str(tmp_path))
    described = before.describe()
    (tmp_path / "pytorch_model.bin").write_bytes(POINTER)
    (tmp_path / "training_args.bin").write_bytes(b"")
    assert resolve_weights("wavlm", path=str(tmp_path)) == before
    assert before.describe() == described
    assert load("wavlm", tmp_path).loaded_tensors


def test_weights_description_names_the_checkpoint_and_its_hash(tmp_path: Path):
    save_checkpoint(tmp_path)
    described = resolve_weights("wavlm", path=str(tmp_path)).describe()
    digest = hashlib.sha256((tmp_path / "model.safetensors").read_bytes()).hexdigest()
    assert described == {"checkpoint": str(tmp_path), "revision": None, "hash": digest[:32]}
    assert set(resolve_weights("wavlm").describe().values()) == {None}
