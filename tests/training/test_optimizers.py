"""Optimisers, learning rates by layer, schedules and early stopping."""

import csv
import itertools
import json
from pathlib import Path

import pytest
from torch import nn

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.training.experiment import Experiment
from seenet.training.fold_runner import FoldRunner
from seenet.training.optimizers import group_parameters
from seenet.training.run import run_experiment
from seenet.training.schedules import Warmup
from support.console import SMALL


def model(layers: int = 3) -> nn.Module:
    """A module with the names of a classifier."""
    backbone = nn.Module()
    backbone.encoder = nn.Module()
    backbone.encoder.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(layers))
    backbone.features = nn.Linear(2, 2)
    return nn.ModuleDict({"backbone": backbone, "head": nn.Linear(2, 2)})


def rates(groups: list[dict], net: nn.Module) -> dict[str, float]:
    by_id = {id(p): group["lr"] for group in groups for p in group["params"]}
    return {name: by_id[id(p)] for name, p in net.named_parameters() if name.endswith("weight")}


def test_learning_rates_decay_towards_the_input():
    net = model()
    found = rates(group_parameters(net, 1.0, 0.1, 0.5), net)
    assert found == pytest.approx(
        {
            "backbone.encoder.layers.2.weight": 0.1,
            "backbone.encoder.layers.1.weight": 0.05,
            "backbone.encoder.layers.0.weight": 0.025,
            "backbone.features.weight": 0.0125,
            "head.weight": 1.0,
        }
    )
    assert rates(group_parameters(net, 1.0, 0.1), net)["backbone.features.weight"] == 0.1
    net["backbone"].features.requires_grad_(False)
    groups = group_parameters(net, 1.0, None, 0.5)
    assert sum(len(group["params"]) for group in groups) == sum(p.requires_grad for p in net.parameters())


def test_decay_by_layer_needs_layers():
    with pytest.raises(SeenetError, match="optim.layer_decay=0.5: the backbone has no trained parameter named layers"):
        group_parameters(nn.ModuleDict({"head": nn.Linear(2, 2)}), 1.0, None, 0.5)


@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wavlm", "data2vec"])
def test_every_backbone_has_layers_to_tell_apart(config, tmp_path: Path, family: str):
    settings = (f"backbone={family}_tiny", "optim.layer_decay=0.5", "optim.backbone_lr=0.01", "optim.lr=1")
    experiment = Experiment.from_config(config(*SMALL, *settings, f"output_dir={tmp_path}"))
    runner = FoldRunner(experiment, experiment.fold(0))
    groups = runner.model.configure_optimizers().param_groups
    assert sorted(group["lr"] for group in groups) == pytest.approx([0.0025, 0.005, 0.01, 1])


@pytest.mark.parametrize("optim", ["adamw", "adam", "sgd"])
def test_neutral_settings_make_one_group(config, tmp_path: Path, optim: str):
    experiment = Experiment.from_config(config(*SMALL, f"optim={optim}", f"output_dir={tmp_path}"))
    runner = FoldRunner(experiment, experiment.fold(0))
    [group] = runner.model.configure_optimizers().param_groups
    assert [id(p) for p in group["params"]] == [id(p) for p in runner.model.parameters() if p.requires_grad]


@pytest.mark.parametrize("shape", ["linear", "cosine"])
def test_schedule_rises_to_the_full_rate_and_falls_to_zero(shape: str):
    schedule = Warmup(shape, 0.1)
    factors = [schedule.factor(step, 1000) for step in range(1001)]
    assert max(factors) == pytest.approx(1, abs=0.01)
    assert factors.index(max(factors)) in (99, 100)
    assert factors[-1] == pytest.approx(0)
    assert all(a < b for a, b in itertools.pairwise(factors[:100]))
    assert all(a > b for a, b in itertools.pairwise(factors[101:]))
    assert schedule.factor(550, 1000) == pytest.approx(0.5), "half way down, of either shape"
    assert Warmup(shape, 0.0).factor(0, 10) == 1


@pytest.mark.parametrize("schedule", ["linear", "cosine", "plateau"])
def test_a_schedule_sets_the_rate_of_a_training(config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schedule: str):
    from seenet.models.lightning_module import EmotionModel

    seen, step = [], EmotionModel.training_step

    def watched(self, batch, number):
        seen.append(self.optimizers().param_groups[0]["lr"])
        return step(self, batch, number)

    monkeypatch.setattr(EmotionModel, "training_step", watched)
    patience = ["schedule.patience=0", "optim.lr=1e-9", "trainer.max_epochs=4"] if schedule == "plateau" else []
    [folder] = run_experiment(config(*SMALL, f"schedule={schedule}", *patience, "fold=0", f"output_dir={tmp_path}"))
    result = json.loads((folder / "result.json").read_text())
    assert result["schedule"] == schedule
    full = result["config"]["optim"]["lr"]
    if schedule == "plateau":
        assert seen[0] == full
        assert seen[-1] < full, "UA that does not rise halves the rate"
        assert all(rate / full in (1, 0.5, 0.25, 0.125) for rate in seen)
    else:
        expected = [full * Warmup(schedule).factor(step, len(seen)) for step in range(len(seen))]
        assert seen == pytest.approx(expected)


def test_early_stopping_ends_a_training_that_does_not_rise(config, tmp_path: Path):
    settings = ("optim.lr=1e-9", "trainer.max_epochs=9", "trainer.early_stopping_patience=2", "fold=0")
    [folder] = run_experiment(config(*SMALL, *settings, f"output_dir={tmp_path}"))
    with (folder.parent / "curves.csv").open(newline="") as file:
        ua = [float(row["dev_ua"]) for row in csv.DictReader(file)]
    assert len(ua) < 9
    assert max(ua) not in ua[-2:] or ua.index(max(ua)) < len(ua) - 2
    assert json.loads((folder / "result.json").read_text())["epochs"] == len(ua)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optim.backbone_lr=-1", "optim.backbone_lr=-1: expected a number, 0 or more, or null"),
        ("optim.layer_decay=0", "optim.layer_decay=0: expected a number above 0 and at most 1"),
        ("trainer.early_stopping_patience=0", "trainer.early_stopping_patience=0: expected 1 epoch or more"),
        ("loss.label_smoothing=2", "loss.label_smoothing=2: expected 0 or more"),
        ("loss.class_weights=[1,2]", "expected null, balanced, or 4 numbers"),
    ],
)
def test_wrong_settings_are_found_before_training(config, tmp_path: Path, override: str, words: str):
    with pytest.raises(SeenetError, match=words):
        Experiment.from_config(config(*SMALL, override, f"output_dir={tmp_path}"))


def test_wrong_schedules_are_named(config):
    for override, words in {
        "schedule.warmup=2": "schedule.warmup=2: expected 0 to 1",
        "schedule.shape=square": "schedule.shape=square: expected linear or cosine",
    }.items():
        with pytest.raises(SeenetError, match=words):
            instantiate_checked(config("schedule=linear", override).schedule, "schedule")
