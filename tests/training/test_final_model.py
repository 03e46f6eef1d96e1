"""`protocol=final`: one model, trained on every clip for the number of epochs that cross-validation chose."""

import math
import statistics
from pathlib import Path

import numpy as np
import pytest
import torch

import seenet
from seenet.core.errors import SeenetError
from seenet.runs.identity import training_identity
from seenet.runs.results import read_object, read_trained
from seenet.training.experiment import Experiment
from seenet.training.run import run_experiment

TINY = ("dataset.speakers=6", "dataset.clips=1", "data.batch_size=8", "trainer.max_epochs=2", "schedule=cosine")


@pytest.fixture
def composed(config, tmp_path: Path):
    """Compose a small configuration whose runs are below one folder of the test."""
    return lambda *overrides: config(*TINY, f"output_dir={tmp_path / 'outputs'}", *overrides)


def train_final(cfg) -> Path:
    assert run_experiment(cfg) == []
    return Experiment.from_config(cfg).fold_folder(0)


def test_final_model_learns_from_every_clip_for_the_epochs_of_the_cross_validation(composed, capsys):
    validated = run_experiment(composed())
    best_epochs = [read_trained(folder.parent)["best_epoch"] for folder in validated]
    cfg = composed("protocol=final")
    folder = train_final(cfg)
    experiment = Experiment.from_config(cfg)
    assert len(experiment.fold(0).train) == len(experiment.manifest) == 24
    assert read_trained(folder)["epochs"] == math.ceil(statistics.median(best_epochs))

    bundle = seenet.load(folder).bundle
    models = [read_object(each.parent / "model.json", ("temperature",)) for each in validated]
    results = [read_object(each / "result.json", ("metrics",)) for each in validated]
    assert bundle.temperature == statistics.median(model["temperature"] for model in models)
    assert bundle.training["n_train"] == 24
    assert bundle.training["cross_validation"]["best_epochs"] == best_epochs
    assert bundle.training["cross_validation"]["ua"] == pytest.approx(np.mean([r["metrics"]["ua"] for r in results]))
    probabilities = seenet.load(folder).predict_batch([experiment.store.waveform(0)])
    assert probabilities.sum() == pytest.approx(1)

    capsys.readouterr()
    changed = (folder / "model.safetensors").stat().st_mtime_ns
    train_final(cfg)
    assert "already complete" in capsys.readouterr().out
    assert (folder / "model.safetensors").stat().st_mtime_ns == changed
    (folder / "model.json").unlink()
    train_final(cfg)
    assert "loss" not in capsys.readouterr().out  # it was not trained again
    assert seenet.load(folder).bundle.temperature == bundle.temperature


def test_final_model_requires_a_trained_cross_validation(composed):
    run_experiment(composed("fold=1", "trainer.max_epochs=1"))
    with pytest.raises(
        SeenetError, match=r"fold0, fold2 of .* are not trained; run .* protocol=strict .*protocol.epochs"
    ):
        Experiment.from_config(composed("protocol=final", "trainer.max_epochs=1"))


@pytest.mark.parametrize(("schedule", "equal"), [("none", True), ("linear", False)])
def test_learning_rate_follows_the_schedule_of_the_cross_validation(composed, schedule, equal):
    """One epoch of two has the learning rates of the first epoch of two, not those of one epoch of one."""
    folders = [
        train_final(composed("protocol=final", "protocol.epochs=1", f"trainer.max_epochs={n}", f"schedule={schedule}"))
        for n in (1, 2)
    ]
    short, full = (torch.load(folder / "best.ckpt", weights_only=True)["state_dict"] for folder in folders)
    assert all(torch.equal(short[name], full[name]) for name in short) == equal


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("protocol.epochs=0", "expected cv, or 1 or more"),
        ("protocol.epochs=3", "expected at most trainer.max_epochs=2"),
        ("protocol.epochs=many", "expected a whole number or cv"),
        ("test_dataset=ravdess", "remove test_dataset"),
    ],
)
def test_final_model_refuses_settings_that_cannot_be(composed, override, message):
    with pytest.raises(SeenetError, match=message):
        Experiment.from_config(composed("protocol=final", override))


def test_final_model_refuses_a_schedule_that_follows_a_development_part(composed):
    cfg = composed("protocol=final", "protocol.epochs=1", "schedule=plateau")
    with pytest.raises(SeenetError, match="schedule=plateau follows the development part"):
        run_experiment(cfg)


def test_identity_counts_the_epochs_and_not_how_they_were_chosen(composed):
    def identity(*overrides: str):
        experiment = Experiment.from_config(composed("protocol=final", *overrides))
        content = {"classes": [], "corpus": "", "weights": "", "trainer": experiment.trainer.learned()}
        return training_identity(experiment.config, content)

    one = identity("protocol.epochs=1")
    assert one == identity(
        "protocol.epochs=1", "protocol.dev_share=0.3", "protocol.split_seed=7", "dataset.folds=leave_one_speaker_out"
    )
    assert one != identity("protocol.epochs=2")
