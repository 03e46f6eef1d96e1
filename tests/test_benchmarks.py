"""The speed benchmark compares equal computations and handles a GPU with too little memory for stock."""

import importlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
import transformers

CPU = torch.device("cpu")


@pytest.fixture
def speed(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "benchmarks")
    monkeypatch.setenv("SEENET_CACHE", "")  # which it changes
    return importlib.import_module("speed")


@pytest.mark.filterwarnings("ignore:.*mismatched key_padding_mask.*")
def test_both_sides_compute_the_same_logits(speed: ModuleType):
    pair = speed.sides("wavlm", *speed.model("wavlm", "cpu"), CPU)
    pair["ours"].model["pooling"].load_state_dict(pair["stock"].model["pooling"].state_dict())
    pair["ours"].model["head"].load_state_dict(pair["stock"].model["head"].state_dict())
    batch = speed.full_batch(CPU, 2)
    batch.lengths[1] //= 2
    batch.waveform[1, batch.lengths[1] :] = 0
    logits = [trainer.logits(batch)[0] for trainer in pair.values() if trainer.model.eval()]
    torch.testing.assert_close(*logits, atol=1e-5, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*mismatched key_padding_mask.*")
def test_both_sides_train_on_every_clip(speed: ModuleType, tmp_path: Path):
    corpus = speed.Corpus(tmp_path / "clips", speed.RATE, 8)
    for side, workers in (("stock", 0), ("stock", 2), ("ours", 0)):
        batches = speed.make_batches(side, corpus, 4, CPU, workers)
        epochs = [torch.cat([batch.indices for batch in batches]).tolist() for _ in range(2)]
        assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(len(corpus.paths)))
        assert epochs[0] != epochs[1]
    pair = speed.sides("wavlm", *speed.model("wavlm", "cpu"), CPU)
    before = {side: trainer.model["head"].weight.detach().clone() for side, trainer in pair.items()}
    speed.epochs("tiny", pair, corpus, 4, 1)
    for side, trainer in pair.items():
        assert not torch.equal(trainer.model["head"].weight, before[side]), f"{side} takes steps"


def test_both_sides_predict_without_dropout(speed: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    modes, make = [], transformers.pipeline
    monkeypatch.setattr(transformers, "pipeline", lambda *a, **k: modes.append(k["model"].training) or make(*a, **k))
    trainer = speed.sides("wavlm", *speed.model("wavlm", "cpu"), CPU)["ours"]
    monkeypatch.setattr(trainer, "logits", lambda batch: modes.append(trainer.model.training) or (torch.ones(1, 4), 0))
    speed.prediction(trainer, speed.Corpus(tmp_path / "clips", speed.RATE, 2))
    assert modes and not any(modes)


@torch.inference_mode()
def test_extraction_compares_equal_features(speed: ModuleType):
    """With all layers, equal weights of frames and 30 s both sides compute the same statistics."""
    extraction = importlib.import_module("extraction")
    classifier = extraction.make_classifier(None)
    backbone = classifier.backbone.eval()
    backbone.full_context, classifier.pooling.range_db = True, None
    rng = torch.Generator().manual_seed(0)
    clips = [0.1 * torch.randn(samples, generator=rng) for samples in (16000, 32000)]
    encoder = transformers.models.whisper.modeling_whisper.WhisperEncoder(backbone.model.config).eval()
    encoder.load_state_dict(backbone.model.state_dict())
    stock = torch.from_numpy(extraction.stock_loop(encoder, [clip.numpy() for clip in clips], 30.0))
    for clip, expected in zip(clips, stock, strict=True):
        ours = extraction.pool_layers(classifier, clip[None], torch.tensor([len(clip)]))[0]
        torch.testing.assert_close(ours.flatten(), expected, atol=1e-4, rtol=1e-4)


def test_figures_are_written_after_each_section(speed: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def ended(setting: str, quick: bool) -> Iterator[tuple[str, object]]:
        yield "setting", setting
        raise KeyboardInterrupt

    monkeypatch.setattr(speed, "measured", ended)
    with pytest.raises(KeyboardInterrupt):
        speed.main("gpu", tmp_path / "results")
    assert json.loads((tmp_path / "results" / "speed_gpu.json").read_text()) == {"setting": "gpu"}


def test_no_section_starts_after_the_time_limit(speed: ModuleType, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(speed, "measured", lambda setting, quick: iter([("setting", setting), ("step", 1)]))
    speed.main("gpu", tmp_path, seconds=-1)
    assert json.loads((tmp_path / "speed_gpu.json").read_text()) == {"setting": "gpu"}
    speed.main("gpu", tmp_path)
    assert json.loads((tmp_path / "speed_gpu.json").read_text()) == {"setting": "gpu", "step": 1}


def test_error_of_a_child_process_is_shown(speed: ModuleType):
    with pytest.raises(SystemExit, match="KeyError: 'nobody'"):
        speed.child("first", "nobody", "folder")


def test_memory_is_compared_at_a_size_that_fits_both(speed: ModuleType, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        speed, "child", lambda _, side, kind, clips: str(math.inf if side == "stock" and clips == "64" else int(clips))
    )
    figures = speed.memory(CPU)
    assert (figures["clips"], figures["ratio"]) == (32, 1.0)


@pytest.mark.slow
def test_gpu_script_completes_without_a_gpu(tmp_path: Path):
    """Every check writes its figures on the CPU; checks that need a GPU are reported as skipped."""
    script = Path(__file__).parents[1] / "benchmarks" / "gpu.sh"
    environment = {**os.environ, "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": "", "SECONDS_IN_ALL": "4800"}
    run = subprocess.run(["bash", script, tmp_path / "out"], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    assert "speed: skipped, torch finds no GPU" in run.stdout
    figures = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "out").glob("check_*.json")}
    assert len(figures) == 10
    assert all(found["passed"] and found["device"] == "cpu" and found["versions"] for found in figures.values())


def test_gpu_script_skips_parts_after_its_time_limit(tmp_path: Path):
    script = Path(__file__).parents[1] / "benchmarks" / "gpu.sh"
    environment = {**os.environ, "PYTHON": "false", "SECONDS_IN_ALL": "0"}
    run = subprocess.run(["bash", script, tmp_path / "out"], env=environment, capture_output=True, text=True)
    assert run.returncode == 1
    assert run.stdout.count("skipped, the 0 s are used up") == 10
