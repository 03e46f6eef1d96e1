"""The encoder of Whisper as backbone: parity with transformers, padding, layers, checkpoints and modes."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
import torch
import transformers
from torch import Tensor
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from seenet.core.errors import SeenetError
from seenet.models.backbones.layer_selection import LayerSelection
from seenet.models.backbones.log_mel import WhisperLogMel
from seenet.models.backbones.pretrained_weights import Weights, resolve_weights
from seenet.models.backbones.whisper_backbone import WhisperBackbone
from support.backbones import make_clips
from support.batches import pad
from support.real_data import EMODB, WHISPER, needs_real_data

SMALL = {
    "d_model": 16, "encoder_layers": 3, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "max_source_positions": 100,
    "vocab_size": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3,
    "num_mel_bins": 8, "mask_feature_length": 2,
}  # fmt: skip
SECONDS = SMALL["max_source_positions"] // 50


def make_whisper(**settings) -> WhisperBackbone:
    torch.manual_seed(0)
    return WhisperBackbone("whisper", Weights(None), architecture=SMALL, **settings)


def real_clips(count: int = 4) -> list[Tensor]:
    clips = []
    for path in sorted(EMODB.rglob("*.wav"))[:count]:
        wave, rate = soundfile.read(path, dtype="float32")
        clips.append(torch.from_numpy(soxr.resample(wave, rate, 16000))[: 16000 + 4321 * len(clips)])
    return clips


def states_of_transformers(encoder: WhisperEncoder, clips: list[Tensor], **extractor) -> list[Tensor]:
    extract = transformers.WhisperFeatureExtractor(**extractor)
    features = extract([clip.numpy() for clip in clips], sampling_rate=16000, return_tensors="pt").input_features
    return encoder(features, output_hidden_states=True).hidden_states


@pytest.mark.parametrize("bins", [80, 128])
def test_log_mel_equals_the_feature_extractor(bins: int):
    extract = transformers.WhisperFeatureExtractor(feature_size=bins, chunk_length=2)
    clips = [clip.numpy() for clip in make_clips()]
    expected = extract(clips, sampling_rate=16000, return_tensors="pt").input_features
    waveform = torch.stack([torch.nn.functional.pad(clip, (0, 32000 - len(clip))) for clip in make_clips()])
    torch.testing.assert_close(WhisperLogMel(bins)(waveform), expected, atol=2e-5, rtol=0)


@torch.inference_mode()
def test_hidden_states_equal_those_of_transformers_with_full_context():
    backbone = make_whisper(full_context=True).eval()
    expected = states_of_transformers(backbone.model, make_clips(), feature_size=8, chunk_length=SECONDS)
    states, mask = backbone.hidden_states(*pad(make_clips()))
    assert len(states) == len(expected) == SMALL["encoder_layers"] + 1
    for ours, theirs in zip(states, expected, strict=True):
        torch.testing.assert_close(ours[mask], theirs[:, : mask.shape[1]][mask], atol=1e-5, rtol=1e-5)


@needs_real_data
@torch.inference_mode()
def test_hidden_states_of_a_real_encoder_equal_those_of_transformers():
    backbone = WhisperBackbone("whisper", resolve_weights("whisper", path=str(WHISPER)), full_context=True).eval()
    encoder = WhisperEncoder.from_pretrained(WHISPER, dtype=torch.float32).eval()
    assert backbone.loaded_tensors == len(list(encoder.parameters()))
    expected = states_of_transformers(encoder, real_clips())
    states, mask = backbone.hidden_states(*pad(real_clips()))
    for ours, theirs in zip(states, expected, strict=True):
        torch.testing.assert_close(ours[mask], theirs[:, : mask.shape[1]][mask], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("full_context", [False, True])
def test_clip_has_equal_frames_and_gradients_alone_and_in_a_padded_batch(full_context: bool):
    backbone = make_whisper(layers="all", full_context=full_context).eval()
    waveform, lengths = pad(make_clips())
    waveform = torch.where(torch.arange(waveform.shape[1]) < lengths[:, None], waveform, 9.0)  # padding is ignored
    together, mask = backbone(waveform, lengths)
    assert mask.sum(1).tolist() == [-(-length // 320) for length in lengths.tolist()]
    weights = [p for p in backbone.parameters() if p.requires_grad]
    for i, clip in enumerate(make_clips()):
        alone, own = backbone(clip[None], lengths[i : i + 1])
        assert own.all()
        torch.testing.assert_close(alone[0], together[i, mask[i]], atol=1e-4, rtol=0)
        single = torch.autograd.grad(alone[0].square().sum(), weights, retain_graph=True)
        batched = torch.autograd.grad(together[i, mask[i]].square().sum(), weights, retain_graph=True)
        for a, b in zip(single, batched, strict=True):
            torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-4)


def test_full_context_changes_the_frames_and_clip_context_does_not_see_the_padding():
    clip = make_clips()[2]
    short, full = (make_whisper(full_context=value).eval()(clip[None], torch.tensor([len(clip)])) for value in (0, 1))
    assert short[0].shape == full[0].shape
    assert not torch.allclose(short[0], full[0], atol=1e-3)


def test_weighted_sum_equals_a_loop_and_starts_as_the_mean():
    generator = torch.Generator().manual_seed(0)
    states = [torch.randn(2, 5, 3, generator=generator) for _ in range(5)]
    selection = LayerSelection([0, 2, 4], count=4)
    torch.testing.assert_close(selection(states), (states[0] + states[2] + states[4]) / 3)
    with torch.no_grad():
        selection.weight.copy_(torch.tensor([0.3, -1.0, 2.0]))
    shares = np.exp([0.3, -1.0, 2.0]) / np.exp([0.3, -1.0, 2.0]).sum()
    expected = sum(share * states[number].numpy() for share, number in zip(shares, (0, 2, 4), strict=True))
    np.testing.assert_allclose(selection(states).detach().numpy(), expected, atol=1e-6)
    assert LayerSelection("all", count=4).numbers == [0, 1, 2, 3, 4]
    last = LayerSelection("last", count=4)
    assert last(states) is states[4]
    assert list(last.parameters()) == []


@pytest.mark.parametrize("layers", [[], [4], [-1], [1, 1]])
def test_layers_that_do_not_exist_are_refused(layers):
    with pytest.raises(
        SeenetError, match=r"backbone.layers=.*: expected last, all, transformer, or different numbers from 0 to 3"
    ):
        make_whisper(layers=layers)


@pytest.mark.parametrize(
    "complete", ["WhisperModel", "WhisperForConditionalGeneration", "WhisperForAudioClassification"]
)
def test_decoder_of_a_complete_checkpoint_is_ignored(tmp_path: Path, complete: str):
    model = getattr(transformers, complete)(transformers.WhisperConfig(**SMALL))
    model.save_pretrained(tmp_path)
    backbone = WhisperBackbone("whisper", resolve_weights("whisper", path=str(tmp_path)))
    encoder = model.encoder if complete == "WhisperForAudioClassification" else model.get_encoder()
    for name, value in encoder.state_dict().items():
        assert torch.equal(backbone.model.state_dict()[name], value), name


def test_checkpoint_that_lacks_tensors_is_refused(tmp_path: Path):
    encoder = WhisperEncoder(transformers.WhisperConfig(**SMALL))
    tensors = {name: value for name, value in encoder.state_dict().items() if not name.startswith("layers.1.")}
    encoder.save_pretrained(tmp_path, state_dict=tensors)
    with pytest.raises(SeenetError, match="lacks 15 of 52 tensors of the encoder: layers.1."):
        WhisperBackbone("whisper", resolve_weights("whisper", path=str(tmp_path)))


def test_training_drops_and_masks_and_a_frozen_encoder_does_not():
    batch = pad(make_clips())
    for setting in ("dropout", "attention_dropout", "layerdrop", "mask_time_prob", "mask_feature_prob"):
        backbone = make_whisper(**{setting: 0.5})
        assert not torch.equal(backbone(*batch)[0], backbone(*batch)[0]), setting
        assert torch.equal(backbone.eval()(*batch)[0], backbone(*batch)[0]), setting
    frozen = make_whisper(freeze=True, layers="all", dropout=0.5, layerdrop=0.5, mask_time_prob=0.5).train()
    assert torch.equal(frozen(*batch)[0], frozen(*batch)[0])
    assert [name for name, p in frozen.named_parameters() if p.requires_grad] == ["selection.weight"]


def test_checkpoint_without_spec_augment_masks_only_what_is_set(tmp_path: Path):
    """Whisper's own checkpoints have mask_time_prob=0.05 and do not use it."""
    config = transformers.WhisperConfig(**SMALL, apply_spec_augment=False, mask_time_prob=0.5)
    WhisperEncoder(config).save_pretrained(tmp_path)
    weights, batch = resolve_weights("whisper", path=str(tmp_path)), pad(make_clips())
    plain = WhisperBackbone("whisper", weights)
    assert torch.equal(plain(*batch)[0], plain(*batch)[0])
    channels = WhisperBackbone("whisper", weights, mask_feature_prob=0.5)
    assert (channels.model.config.mask_time_prob, channels.model.config.mask_feature_prob) == (0.0, 0.5)
    assert not torch.equal(channels(*batch)[0], channels(*batch)[0])


def test_gradient_checkpointing_gives_equal_gradients():
    gradients = []
    for checkpointing in (False, True):
        backbone = make_whisper(checkpointing=checkpointing)
        backbone(*pad(make_clips()))[0].square().sum().backward()
        gradients.append([p.grad for p in backbone.parameters() if p.grad is not None])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_clip_beyond_the_positions_is_refused_in_one_line():
    too_long = torch.zeros(1, (SECONDS + 1) * 16000)
    with pytest.raises(SeenetError, match="positions for 2 s; take at most that"):
        make_whisper()(too_long, torch.tensor([too_long.shape[1]]))
