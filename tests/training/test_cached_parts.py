"""Heads trained by gradient on cached features of a frozen encoder: equal to an encoder that runs in every epoch."""

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import seenet
from seenet.features.array_cache import ArrayCache
from seenet.features.hidden_states import HiddenStates, read_states
from seenet.models.backbones.whisper_backbone import WhisperBackbone
from seenet.training.experiment import Experiment
from seenet.training.fold_runner import FoldRunner
from seenet.training.run import run_experiment
from support.forked import send_signal_in_extraction
from support.real_data import EMODB, WHISPER, needs_real_data

TINY_WHISPER = "{d_model: 16, encoder_layers: 2, encoder_attention_heads: 2, encoder_ffn_dim: 16, num_mel_bins: 8}"
BACKBONE = ("backbone=whisper_tiny", "backbone.checkpoint=null", f"+backbone.architecture={TINY_WHISPER}")
SEE = ("head=linear", "pooling=attention", "aux_task=see")
SMALL = ("tune=none", "data.batch_size=8", "trainer.max_epochs=2")
FROZEN = (*SMALL, "dataset.speakers=6", "dataset.clips=1")


@pytest.fixture
def run(config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Path]]:
    """Train and test with a cache of the test's own; return the folders of the results."""
    monkeypatch.setenv("SEENET_CACHE", str(tmp_path / "cache"))
    return lambda *overrides: run_experiment(config(*FROZEN, f"output_dir={tmp_path / 'outputs'}", *overrides))


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of clips of each call of the encoder; probes with a silent clip do not count."""
    sizes, encode = [], WhisperBackbone.hidden_states

    def count(self, waveform, lengths):
        sizes.extend([len(waveform)] if waveform.any() else [])
        return encode(self, waveform, lengths)

    monkeypatch.setattr(WhisperBackbone, "hidden_states", count)
    return sizes


def probabilities_of(folder: Path) -> np.ndarray:
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    return np.array([row[5:] for row in rows], dtype=float)


def files_of(folders: list[Path]) -> list[bytes]:
    return [(folder / name).read_bytes() for folder in folders for name in ("predictions.csv", "embeddings.npy")]


@pytest.mark.parametrize(
    "overrides",
    [
        (*BACKBONE, *SEE),
        (*BACKBONE, *SEE, "backbone.combine=sum", "backbone.layers=all"),
        (*BACKBONE, "head=mlp"),
        (*BACKBONE, "head=linear", "pooling=mean", "backbone.layers=[2]", "aux_task=gender"),
        ("backbone=wavlm_tiny", *SEE, "backbone.combine=sum"),
        ("backbone=hubert_tiny", "head=mlp"),
        ("backbone=loudness_pitch", "head=linear", "pooling=mean"),
    ],
    ids=["concat", "sum", "statistics", "one-layer", "wavlm", "dropout", "functionals"],
)
def test_predictions_equal_those_of_an_encoder_in_every_epoch(run, tmp_path: Path, overrides: tuple[str, ...]):
    [cached] = run(*overrides, "fold=0")
    [plain] = run(*overrides, "fold=0", "tune.cache=false", f"output_dir={tmp_path / 'plain'}")
    assert cached.parent.parent.name == plain.parent.parent.name, "the cache does not change the identity"
    np.testing.assert_allclose(probabilities_of(cached), probabilities_of(plain), atol=1e-3)
    assert (tmp_path / "cache" / "features").is_dir()


def test_saved_model_predicts_from_waveforms_as_the_run_did(config, run):
    [folder] = run(*BACKBONE, *SEE, "fold=0")
    experiment = Experiment.from_config(config(*FROZEN, *BACKBONE, *SEE))
    waveforms = [experiment.store.waveform(row) for row in np.sort(experiment.fold(0).test)]
    predicted = seenet.load(folder.parent).predict_batch(waveforms)
    np.testing.assert_allclose(predicted, probabilities_of(folder), atol=1e-3)


def test_encoder_runs_once_for_all_epochs_folds_and_heads(run, encoded, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("seenet.training.fold_runner.INITIALISATION", 0)
    monkeypatch.setattr("seenet.training.cached_parts.hash_tensors", lambda backbone: "as if pretrained")
    first = files_of(run(*BACKBONE, *SEE))
    assert sum(encoded) == 24
    encoded.clear()
    assert files_of(run(*BACKBONE, *SEE, f"output_dir={tmp_path / 'again'}")) == first
    run(*BACKBONE, "head=mlp", "pooling=attention", "backbone.layers=[1]")
    assert encoded == []
    run(*BACKBONE, *SEE, "backbone.layers=all")
    assert sum(encoded) == 24, "layer 0 is new, and the others are not written again"
    folders = sorted(path.name for path in (tmp_path / "cache" / "features").iterdir() if path.is_dir())
    assert [name.rpartition("-")[0] for name in folders] == [
        f"synthetic-whisper_tiny-layer{number}" for number in range(3)
    ]
    sizes = {(tmp_path / "cache" / "features" / name / "data.bin").stat().st_size for name in folders}
    assert len(sizes) == 1


def test_noisy_test_clips_run_through_the_encoder(run, encoded, tmp_path: Path):
    overrides = (*BACKBONE, *SEE, "fold=0", "noise=[clean,snr0]")
    clean, noisy = run(*overrides)
    assert sum(encoded) == 24 + 8
    plain = run(*overrides, "tune.cache=false", f"output_dir={tmp_path / 'plain'}")
    for cached, expected in zip((clean, noisy), plain, strict=True):
        np.testing.assert_allclose(probabilities_of(cached), probabilities_of(expected), atol=1e-3)


@pytest.mark.parametrize("pooling", ["attention", "statistics"])
def test_extraction_keeps_heads_and_dropout_in_training_mode(config, run, pooling: str):
    experiment = Experiment.from_config(config(*FROZEN, *BACKBONE, "head=mlp", f"pooling={pooling}"))
    runner = FoldRunner(experiment, experiment.fold(0))
    classifier = runner.model.classifier
    before = {name: module.training for name, module in classifier.named_modules()}
    assert runner._cached_parts is not runner._parts
    assert {name: module.training for name, module in classifier.named_modules()} == before
    assert before["head"]
    assert not before["backbone.model"]


@pytest.mark.parametrize("override", ["aug=ebm", "aug=speed", "tune=last"])
def test_changing_clips_and_trained_encoders_are_not_cached(run, override: str, tmp_path: Path):
    run(*BACKBONE, *SEE, "fold=0", override)
    assert not list((tmp_path / "cache").glob("features/*layer*"))


@pytest.mark.parametrize("recipe", [("tune=none", *SEE, "aug=none"), ("tune=all", *SEE, "aug=ebm")])
def test_results_record_learned_weights_of_layers(run, recipe: tuple[str, ...]):
    layers = ("backbone.combine=sum", "optim.lr=0.1", "fold=0")
    (learned,) = run(*BACKBONE, *recipe, *layers, "backbone.layers=[0,2]")
    recorded = json.loads((learned / "result.json").read_text())["layer_weights"]
    best = torch.load(learned.parent / "best.ckpt", weights_only=True)["state_dict"]
    (weight,) = (tensor for name, tensor in best.items() if name.endswith("selection.weight"))
    assert recorded["layers"] == [0, 2]
    assert recorded["weights"] == pytest.approx(weight.softmax(0).tolist())
    assert sum(recorded["weights"]) == pytest.approx(1)
    assert weight.abs().min() > 0, "training changed them"


@pytest.mark.parametrize(
    "recipe",
    [(*BACKBONE, "head=logistic"), (*BACKBONE, *SEE, "backbone.layers=last"), ("backbone=functionals", "head=svm")],
)
def test_results_record_no_weights_where_none_are_learned(run, recipe: tuple[str, ...]):
    (folder,) = run(*recipe, "fold=0")
    assert json.loads((folder / "result.json").read_text())["layer_weights"] is None


def test_hidden_states_are_those_of_each_clip(config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SEENET_CACHE", str(tmp_path))
    experiment = Experiment.from_config(config(*FROZEN, *BACKBONE, *SEE))
    backbone = WhisperBackbone(
        "whisper", experiment.weights, layers=[2, 0], architecture=experiment.config["backbone"]["architecture"]
    ).eval()
    states = HiddenStates(experiment.manifest, experiment.store, backbone, "w", {}, torch.device("cpu"))
    rows = np.array([3, 0, 17])
    states.compute(rows)
    values, counts = read_states([states] * len(rows), rows.tolist())
    for row, value, count in zip(rows, values, counts.tolist(), strict=True):
        waveform = torch.from_numpy(experiment.store.waveform(row))[None]
        with torch.inference_mode():
            expected, mask = backbone.hidden_states(waveform, torch.tensor([waveform.shape[1]]))
        assert count == int(mask.sum())
        for layer, number in enumerate([2, 0]):
            torch.testing.assert_close(value[layer, :count].float(), expected[number][0], atol=2e-3, rtol=1e-3)
        assert not value[:, count:].any()


def test_killed_extraction_keeps_what_was_computed(run, start_training, encoded, tmp_path: Path):
    overrides = (*BACKBONE, *SEE, "fold=0")
    arguments = (*FROZEN, *overrides, f"output_dir={tmp_path / 'killed'}")
    done = start_training(
        *arguments, first=(send_signal_in_extraction, signal.SIGKILL, 4), SEENET_CACHE=str(tmp_path / "cache")
    ).finish()
    assert done.returncode == -signal.SIGKILL
    caches = [path for path in (tmp_path / "cache/features").iterdir() if path.is_dir()]
    stored = min(len(ArrayCache(folder, (16,), np.float16)._positions) for folder in caches)
    folders = run(*overrides, f"output_dir={tmp_path / 'killed'}")
    assert 0 < stored < 24
    assert sum(encoded) == 24 - stored
    assert files_of(folders) == files_of(run(*overrides, f"output_dir={tmp_path / 'undisturbed'}"))


@needs_real_data
@pytest.mark.slow
def test_real_encoder_and_speech_give_the_predictions_of_the_uncached_run(config, run, tmp_path: Path):
    overrides = (
        *("dataset=emodb", f"dataset.root={EMODB}", "dataset.on_bad_file=quarantine", "fold=0"),
        *("backbone=whisper_tiny", f"backbone.path={WHISPER}", *SEE, "trainer.max_epochs=1", "data.batch_size=32"),
    )
    [cached], [plain] = (
        run_experiment(config(*SMALL, *overrides, f"tune.cache={cache}", f"output_dir={tmp_path / cache}"))
        for cache in ("true", "false")
    )
    np.testing.assert_allclose(probabilities_of(cached), probabilities_of(plain), atol=1e-3)
