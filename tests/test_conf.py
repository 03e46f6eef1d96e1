"""Every shipped YAML composes, is named after its file, and builds what it says."""

from pathlib import Path

import pytest
import yaml

from seenet.augment.base import Augmentation
from seenet.auxiliary.base import AuxiliaryTask
from seenet.backbone.weights import find_weights
from seenet.build import build
from seenet.cli.app import GROUPS, choices
from seenet.errors import SeenetError
from seenet.folds import Protocol
from seenet.noise.base import Noise
from seenet.paths import conf_dir
from seenet.schemes import Scheme
from seenet.trainer import TrainerPlan

CHOICES = [(group, path.stem) for group in GROUPS for path in sorted((conf_dir() / group).glob("*.yaml"))]


def of(group: str) -> list[str]:
    return [choice for g, choice in CHOICES if g == group]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes_and_is_commented(config, group: str, choice: str):
    cfg = config(f"{group}={choice}")
    text = (conf_dir() / group / f"{choice}.yaml").read_text(encoding="utf-8")
    assert "# " in text.split("\n_target_")[0], "one line says what it is"
    if "name:" in text:
        assert cfg[group].name == choice


def test_every_folder_is_a_group():
    assert {p.name for p in conf_dir().iterdir() if p.is_dir()} - {"hydra"} == set(GROUPS)


@pytest.mark.parametrize(
    ("group", "kind"),
    [("aug", Augmentation), ("noise", Noise), ("protocol", Protocol), ("trainer", TrainerPlan)],
)
def test_simple_groups_build(config, group: str, kind: type):
    for choice in of(group):
        if choice != "gpu":  # asks for hardware
            assert isinstance(build(config(f"{group}={choice}")[group], group), kind)


def test_gpu_without_one_is_an_error(config):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SeenetError, match="trainer=cpu"):
        build(config("trainer=gpu").trainer, "trainer")


def test_auxiliary_tasks_and_poolings_build(config):
    for choice in of("aux_task"):
        task = build(config(f"aux_task={choice}").aux_task, "aux_task", dim=8, num_classes=4)
        assert isinstance(task, AuxiliaryTask)
    for choice in of("pooling"):
        assert build(config(f"pooling={choice}").pooling, "pooling", dim=8) is not None


@pytest.mark.parametrize("choice", of("optim"))
def test_optimisers_build(config, choice: str):
    import torch

    cfg = config(f"optim={choice}", "backbone=wavlm")
    optimizer = build(cfg.optim, "optim")([torch.nn.Parameter(torch.zeros(1))])
    assert optimizer.defaults["lr"] == pytest.approx(1e-4)
    assert optimizer.defaults["weight_decay"] == pytest.approx(1e-5)


@pytest.mark.parametrize("choice", ["none", "csv"])
def test_loggers_build(config, choice: str, tmp_path: Path):
    build(config(f"logger={choice}").logger, "logger", save_dir=str(tmp_path)).log_metrics({"a": 1.0}, step=0)


@pytest.mark.parametrize("choice", of("dataset"))
def test_schemes_build(config, choice: str):
    dataset = config(f"dataset={choice}").dataset
    assert dataset.folds in dataset.schemes
    for name, node in dataset.schemes.items():
        assert isinstance(build(node, name), Scheme)


@pytest.mark.parametrize("choice", of("backbone"))
def test_backbones_follow_the_paper(config, choice: str):
    backbone = config(f"backbone={choice}").backbone
    if choice.endswith("_tiny"):
        assert backbone.checkpoint is None
        assert find_weights(backbone.family).source is None
        return
    expected = 1e-5 if choice.startswith("data2vec") else 1e-4
    assert (backbone.recipe.lr, backbone.recipe.batch_size, backbone.recipe.max_epochs) == (expected, 64, 15)
    assert backbone.freeze_feature_encoder
    assert not backbone.normalize
    assert ("large" in backbone.checkpoint) == (not choice.endswith("_base"))


def test_the_paper_experiment_is_the_papers(config):
    cfg = config("experiment=paper_ravdess")
    names = [cfg[g].name for g in ("dataset", "backbone", "aug", "aux_task", "protocol")]
    assert names == ["ravdess", "wavlm", "ebm", "see", "paper"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("aug.ratio_db=5", "aug.ratio_db=5: expected a list"),
        ("aug.ratio_db=[5,-5]", "lower one first"),
        ("aux_task.weight=much", "aux_task.weight=much: expected a number"),
        ("aux_task.weight=2", "expected 0 to 1"),
        ("protocol.dev_share=0.9", "at most 0.5"),
        ("protocol.allow_leaks=[gender]", "expected speaker, session, file, waveform"),
        ("trainer.max_epochs=1.5", "trainer.max_epochs=1.5: expected a whole number"),
        ("trainer.max_epochs=0", "at least 1"),
        ("+aug.ratio=3", "aug.ratio=3: there is no such setting; expected ratio_db"),
        ("aug._target_=seenet.augment.nothing.X", "aug._target_=seenet.augment.nothing.X cannot be imported"),
        ("trainer.precision=64", "expected one of auto, 32-true, 16-mixed, bf16-mixed"),
    ],
)
def test_wrong_values_are_named(config, override: str, words: str):
    group = override.lstrip("+").split(".")[0]
    with pytest.raises(SeenetError, match=words.replace("[", r"\[")):
        build(config(override)[group], group, **({"dim": 8, "num_classes": 4} if group == "aux_task" else {}))


def test_help_has_no_stale_group():
    template = yaml.safe_load((conf_dir() / "hydra/help/seenet.yaml").read_text(encoding="utf-8"))["template"]
    for group in GROUPS:
        assert f"${{choices:{group}}}" in template
    assert choices("aug") == "ebm, mixup, none"
