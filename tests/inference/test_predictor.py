"""Models on disk: parity with the predictions of the run, and independence of corpus, network and checkpoint."""

import csv
import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

import seenet
from seenet.core.errors import SeenetError
from seenet.evaluation.calibration import fit_temperature
from seenet.runs.bundle import MODEL_JSON, TENSORS
from seenet.runs.results import read_dev_probabilities
from seenet.training.experiment import Experiment
from seenet.training.run import run_experiment

WHISPER = "{d_model: 16, encoder_layers: 1, encoder_attention_heads: 2, encoder_ffn_dim: 16, num_mel_bins: 8}"
TINY = ("dataset.speakers=6", "dataset.clips=1", "trainer.max_epochs=1", "data.batch_size=8", "fold=0")

RECORDED_MODEL = Path(__file__).parents[1] / "recorded_model"


def train(config, tmp_path: Path, *overrides: str) -> tuple[Experiment, Path]:
    """Train and test fold 0; return the experiment and the folder of the fold."""
    cfg = config(*TINY, *overrides, f"output_dir={tmp_path / 'outputs'}")
    [folder] = run_experiment(cfg)
    return Experiment.from_config(cfg), folder.parent


def read_probabilities(path: Path) -> np.ndarray:
    with path.open(newline="", encoding="utf-8") as file:
        _, *rows = csv.reader(file)
    return np.array([row[5:] for row in rows], dtype=float)


@pytest.mark.parametrize(
    "overrides",
    [
        *(("aux_task=see", f"backbone={family}_tiny") for family in ("wav2vec2", "hubert", "wavlm", "data2vec")),
        *((f"aux_task={task}", "backbone=wavlm_tiny", "pooling=mean") for task in ("gender", "speaker", "none")),
        ("aux_task=see", "backbone=wavlm_tiny", "backbone.normalize=true", "protocol=paper"),
        ("aux_task=see", "backbone=whisper_tiny", "backbone.checkpoint=null", f"+backbone.architecture={WHISPER}"),
    ],
    ids="-".join,
)
def test_loaded_model_predicts_as_the_run_did(config, tmp_path: Path, overrides: tuple[str, ...]):
    experiment, folder = train(config, tmp_path, *overrides)
    rows = experiment.fold(0).test
    shutil.copytree(folder, tmp_path / "elsewhere", ignore=shutil.ignore_patterns("best.ckpt", "clean"))
    predictor = seenet.load(tmp_path / "elsewhere")
    assert predictor.classes == experiment.classes
    predicted = predictor.predict_batch([experiment.store.waveform(row) for row in rows])
    np.testing.assert_allclose(predicted, read_probabilities(folder / "clean" / "predictions.csv"), atol=1e-6)


def test_recorded_model_loads_and_predicts_as_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Made once, with model.json of schema 1; a commit that cannot load it breaks every model that users have."""
    from support.recorded_runs import write_corpora

    monkeypatch.chdir(tmp_path)
    write_corpora(tmp_path)
    with (RECORDED_MODEL / "predictions.csv").open(newline="", encoding="utf-8") as file:
        utterances = [row["utterance"] for row in csv.DictReader(file)]
    predictor = seenet.load(RECORDED_MODEL)
    predicted = [list(predictor.predict_file(f"{utterance}.wav").values()) for utterance in utterances]
    np.testing.assert_allclose(predicted, read_probabilities(RECORDED_MODEL / "predictions.csv"), atol=1e-4)


def test_bundle_records_its_origin_and_temperature(config, tmp_path: Path):
    experiment, folder = train(config, tmp_path)
    bundle = seenet.load(folder).bundle
    result = json.loads((folder / "clean" / "result.json").read_text())
    for name in ("dataset", "protocol", "run_id", "seed", "n_train", "best_epoch", "weights"):
        assert bundle.training[name] == result[name]
    probabilities, labels = read_dev_probabilities(folder / "dev_predictions.csv", experiment.classes)
    assert bundle.temperature == fit_temperature(probabilities, labels)
    assert (bundle.sampling_rate, bundle.max_seconds) == (16000, 6.0)


def test_protocol_paper_leaves_no_part_to_fit_a_temperature_on(config, tmp_path: Path):
    _, folder = train(config, tmp_path, "protocol=paper")
    assert seenet.load(folder).bundle.temperature is None


def test_pretrained_model_loads_without_its_checkpoint(config, tmp_path: Path):
    sizes = {
        **{"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16},
        **{"conv_dim": [8, 8], "conv_kernel": [10, 8], "conv_stride": [8, 8], "num_feat_extract_layers": 2},
        **{"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2, "hidden_dropout": 0.3},
    }
    checkpoint = tmp_path / "checkpoint"
    transformers.HubertModel(transformers.HubertConfig(**sizes)).save_pretrained(checkpoint)
    options = ("backbone=hubert_base", f"backbone.path={checkpoint}", "backbone.mask_time_prob=0.0")
    experiment, folder = train(config, tmp_path, *options)
    shutil.rmtree(checkpoint)
    predictor = seenet.load(folder)
    predicted = predictor.predict_batch([experiment.store.waveform(row) for row in experiment.fold(0).test])
    np.testing.assert_allclose(predicted, read_probabilities(folder / "clean" / "predictions.csv"), atol=1e-6)
    settings = predictor.bundle.classifier.backbone.model.config
    assert (settings.hidden_dropout, settings.mask_time_prob) == (0.3, 0.0)
    assert str(checkpoint) not in json.dumps(json.loads((folder / MODEL_JSON).read_text())["model"])


def test_empty_process_predicts_a_file(config, tmp_path: Path, write_tone):
    """No corpus, no cache, no network, and neither training code nor Lightning."""
    _, folder = train(config, tmp_path)
    alone = tmp_path / "alone"
    alone.mkdir()
    for name in (MODEL_JSON, TENSORS):
        shutil.copy(folder / name, alone)
    recording = write_tone(tmp_path / "tone.wav", rate=44100, channels=2)
    code = (
        "import json, socket, sys\n"
        "socket.socket.connect = None\n"
        "import seenet\n"
        "print(json.dumps(seenet.load(sys.argv[1]).predict_file(sys.argv[2])))\n"
        "assert not {'lightning', 'seenet.training', 'seenet.data.datamodule'} & set(sys.modules)\n"
    )
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "OMP_NUM_THREADS") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", code, str(alone), str(recording)],
        cwd=alone,
        env={**kept, "HOME": str(alone), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert sum(found.values()) == pytest.approx(1)
    assert set(found) == {"happy", "neutral", "sad", "angry"}
    assert sorted(path.name for path in alone.iterdir() if path.name != ".cache") == [MODEL_JSON, TENSORS]


def test_unusable_folders_and_waveforms_are_named(config, tmp_path: Path):
    _, folder = train(config, tmp_path)
    predictor = seenet.load(folder)
    for waveforms, words in (
        ([], "no waveform"),
        ([np.zeros((2, 400), np.float32)], r"waveform 0 has shape \(2, 400\)"),
        ([np.zeros(400, np.float32), np.array([], np.float32)], r"waveform 1 has shape \(0,\)"),
        ([np.array([0, np.nan], np.float32)], "not finite"),
    ):
        with pytest.raises(SeenetError, match=words):
            predictor.predict_batch(waveforms)
    with pytest.raises(SeenetError, match="is not a folder; give the folder of a trained fold"):
        seenet.load(tmp_path / "nowhere")
    with pytest.raises(SeenetError, match=r"model.json' is missing"):
        seenet.load(tmp_path)
    tensors = (folder / TENSORS).read_bytes()
    (folder / TENSORS).write_bytes(tensors[:-100])
    with pytest.raises(SeenetError, match="cannot be loaded"):
        seenet.load(folder)
    value = json.loads((folder / MODEL_JSON).read_text())
    (folder / MODEL_JSON).write_text(json.dumps(value | {"schema": 99}))
    with pytest.raises(SeenetError, match="has schema 99"):
        seenet.load(folder)
    (folder / MODEL_JSON).write_text(json.dumps(value)[:50])
    with pytest.raises(SeenetError, match=r"model.json' is damaged"):
        seenet.load(folder)


def test_full_disk_is_named_and_the_same_command_writes_the_model(
    config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if TENSORS in self.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return write(self, data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(SeenetError, match=r"model.safetensors' cannot be written \(No space left on device\)"):
            train(config, tmp_path)
    _, folder = train(config, tmp_path)
    assert seenet.load(folder).classes == ("happy", "neutral", "sad", "angry")
    assert not list(folder.glob("*.tmp-*"))


def test_short_clip_is_predicted_alike_alone_and_padded(config, tmp_path: Path):
    _, folder = train(config, tmp_path)
    predictor = seenet.load(folder)
    short, long = (0.1 * torch.randn(samples).numpy() for samples in (10, 9000))
    together = predictor.predict_batch([short, long])
    np.testing.assert_allclose(together[:1], predictor.predict_batch([short]), atol=1e-6)
