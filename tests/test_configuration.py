"""Every shipped YAML file composes, has the name of its file, and builds its target."""

import itertools
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from omegaconf import DictConfig, OmegaConf

from seenet.cli.hydra_app import GROUPS, choices
from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.core.paths import conf_dir
from seenet.corpora.protocols import Protocol
from seenet.corpora.split_schemes import Scheme
from seenet.data.augmentation.base import Augmentation
from seenet.data.augmentation.chain import build_augmentation
from seenet.models.auxiliary.base import AuxiliaryTask
from seenet.models.backbones.pretrained_weights import resolve_weights
from seenet.runs.identity import augmentation_steps
from seenet.training.experiment import Experiment
from seenet.training.fold_runner import FoldRunner
from seenet.training.optimizers import build_optimizer
from seenet.training.trainer import TrainerConfig
from support.console import SMALL
from support.paper_experiments import METHOD, arms

CHOICES = [(group, path.stem) for group in GROUPS for path in sorted((conf_dir() / group).glob("[!_]*.yaml"))]


def of(group: str) -> list[str]:
    return [choice for g, choice in CHOICES if g == group]


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_composes_and_is_commented(config, group: str, choice: str):
    cfg = config(f"{group}={choice}")
    text = (conf_dir() / group / f"{choice}.yaml").read_text(encoding="utf-8")
    assert "# " in re.split(r"\n *_target_", text)[0], "a comment describes the choice"
    if group == "aug":
        assert list(augmentation_steps(cfg.aug)) == [choice]
    elif text.startswith("name:") or "\nname:" in text:
        assert cfg[group].name == choice


def test_every_folder_is_a_group():
    assert {p.name for p in conf_dir().iterdir() if p.is_dir()} - {"hydra"} == set(GROUPS)


@pytest.mark.parametrize(
    ("group", "kind"),
    [("protocol", Protocol), ("trainer", TrainerConfig)],
)
def test_simple_groups_build(config, group: str, kind: type):
    for choice in of(group):
        if choice != "gpu":  # asks for hardware
            assert isinstance(instantiate_checked(config(f"{group}={choice}")[group], group), kind)


@pytest.mark.parametrize("choice", of("aug"))
def test_augmentations_build(config, choice: str):
    assert isinstance(build_augmentation(config(f"aug={choice}").aug), Augmentation)


def test_trainer_gpu_is_an_error_without_a_gpu(config):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(SeenetError, match="trainer=cpu"):
        instantiate_checked(config("trainer=gpu").trainer, "trainer")


def test_auxiliary_tasks_and_poolings_build(config):
    train = SimpleNamespace(speakers=torch.tensor([3, 5]), genders=torch.tensor([0, 1]))
    for choice in of("aux_task"):
        task = instantiate_checked(
            config(f"aux_task={choice}").aux_task, "aux_task", dim=8, num_classes=4, target_spec=train
        )
        assert isinstance(task, AuxiliaryTask)
    for choice in of("pooling"):
        assert instantiate_checked(config(f"pooling={choice}").pooling, "pooling", dim=8) is not None


@pytest.mark.parametrize("choice", of("optim"))
def test_optimisers_build(config, choice: str):
    node = OmegaConf.to_container(config(f"optim={choice}", "backbone=wavlm").optim, resolve=True)
    optimizer = build_optimizer(node, TrainerConfig(1, accelerator="cpu"))(torch.nn.Linear(1, 1))
    assert optimizer.defaults["lr"] == pytest.approx(1e-4)
    assert optimizer.defaults["weight_decay"] == pytest.approx(1e-5 if choice == "adamw" else 0)


@pytest.mark.parametrize("choice", ["none", "csv"])
def test_loggers_build(config, choice: str, tmp_path: Path):
    instantiate_checked(config(f"logger={choice}").logger, "logger", save_dir=str(tmp_path)).log_metrics(
        {"a": 1.0}, step=0
    )


@pytest.mark.parametrize("choice", of("dataset"))
def test_schemes_build(config, choice: str):
    dataset = config(f"dataset={choice}").dataset
    assert dataset.folds in dataset.schemes
    for name, node in dataset.schemes.items():
        assert isinstance(instantiate_checked(node, name), Scheme)


@pytest.mark.parametrize("choice", of("backbone"))
def test_backbones_follow_the_paper(config, choice: str):
    backbone = config(f"backbone={choice}").backbone
    if not choice.startswith(("wav2vec2", "hubert", "wavlm", "data2vec")) or choice == "wav2vec2_conformer":
        pytest.skip("not a backbone of the paper")
    if choice.endswith("_tiny"):
        assert backbone.checkpoint is None
        assert resolve_weights(backbone.family).source is None
        return
    lr = 1e-5 if choice.startswith("data2vec") else 1e-4
    assert backbone.recipe == {"lr": lr, "batch_size": 64, "accumulate_grad_batches": 4, "max_epochs": 15}
    assert backbone.freeze_feature_encoder
    assert not backbone.normalize
    assert ("large" in backbone.checkpoint) == (not choice.endswith("_base"))


def test_backbone_files_share_their_common_part():
    lengths = {path.stem: len(path.read_text(encoding="utf-8").splitlines()) for path in backbone_files()}
    assert sum(lengths.values()) < 250
    assert max(lines for name, lines in lengths.items() if not name.startswith("_")) < 10


def backbone_files() -> list[Path]:
    return sorted((conf_dir() / "backbone").glob("*.yaml"))


@pytest.mark.parametrize("base", ["_pretrained", "wavlm"])
def test_own_backbone_needs_one_short_file(seenet_train, tmp_path: Path, base: str):
    mine = {"defaults": [base, "_self_"], "name": "mine", "family": "wavlm", "checkpoint": "me/mine"}
    (tmp_path / "my_conf/backbone").mkdir(parents=True)
    (tmp_path / "my_conf/backbone/mine.yaml").write_text(yaml.safe_dump(mine))
    shown = seenet_train("--config-dir", "my_conf", "backbone=mine", "--cfg", "job", "--resolve")
    assert shown.returncode == 0, shown.stderr
    cfg = yaml.safe_load(shown.stdout)
    assert (cfg["backbone"]["name"], cfg["backbone"]["checkpoint"]) == ("mine", "me/mine")
    assert (cfg["optim"]["lr"], cfg["trainer"]["max_epochs"]) == (1e-4, 15)


@pytest.mark.parametrize("path", backbone_files(), ids=lambda path: path.stem)
def test_copied_backbone_file_gives_the_same_settings(seenet_train, config, tmp_path: Path, path: Path):
    if path.stem.startswith("_"):
        pytest.skip("not a choice")
    (tmp_path / "my_conf/backbone").mkdir(parents=True)
    shutil.copy(path, tmp_path / "my_conf/backbone/copied.yaml")
    shown = seenet_train("--config-dir", "my_conf", "backbone=copied", "--cfg", "job")
    assert yaml.safe_load(shown.stdout)["backbone"] == OmegaConf.to_container(config(f"backbone={path.stem}").backbone)


@pytest.mark.parametrize(("base", "setting"), [("_tiny", "name"), ("_speech", "name")])
def test_incomplete_backbone_file_is_an_error(seenet_train, base: str, setting: str):
    run = seenet_train(f"backbone={base}", *SMALL)
    assert run.returncode == 1
    assert f"seenet: error: backbone.{setting}=??? is a placeholder: set backbone.{setting}" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("aug.ebm.ratio_db=5", "aug.ebm.ratio_db=5: expected a list"),
        ("aug.ebm.ratio_db=[5,-5]", "aug.ebm.ratio_db=[5, -5]: .* lower one first"),
        ("aux_task.weight=much", "aux_task.weight=much: expected a number"),
        ("aux_task.weight=2", "expected 0 to 1"),
        ("protocol.dev_share=0.9", "at most 0.5"),
        ("protocol.allow_leaks=[gender]", "expected speaker, session, file, waveform"),
        ("trainer.max_epochs=1.5", "trainer.max_epochs=1.5: expected a whole number"),
        ("trainer.max_epochs=0", "at least 1"),
        ("+aug.ebm.ratio=3", "aug.ebm.ratio=3: there is no such setting; expected ratio_db"),
        ("aug.ebm._target_=seenet.augment.nothing.X", "aug.ebm._target_=seenet.augment.nothing.X cannot be imported"),
        ("trainer.precision=64", "expected one of auto, 32-true, 16-mixed, bf16-mixed"),
    ],
)
def test_error_names_the_invalid_value(config, override: str, words: str):
    group = override.lstrip("+").split(".")[0]
    node = config(override)[group]
    runtime = {"dim": 8, "num_classes": 4, "target_spec": None} if group == "aux_task" else {}
    with pytest.raises(SeenetError, match=words.replace("[", r"\[")):
        build_augmentation(node) if group == "aug" else instantiate_checked(node, group, **runtime)


def test_help_lists_every_group():
    template = yaml.safe_load((conf_dir() / "hydra/help/seenet.yaml").read_text(encoding="utf-8"))["template"]
    for group in GROUPS:
        assert f"${{choices:{group}}}" in template
    assert choices("aug") == "ebm, gaussian_snr, mixup, none, pitch, speed"


EXPERIMENTS = [choice for choice in of("experiment") if (conf_dir() / f"experiment/demo_{choice}.yaml").is_file()]


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_arm_of_an_experiment_builds(config, experiment: str):
    """Build all but the weights for the paper, and the complete model and data for its small twin."""
    papers, twins = arms(config, experiment), arms(config, f"demo_{experiment}")
    several = {"main": (3, 2), "cross_corpus": (3, 2)}.get(experiment)
    assert (len(papers), len(twins)) == (several or (len(papers), len(papers)))
    train = SimpleNamespace(speakers=torch.tensor([3, 5]), genders=torch.tensor([0, 1]))
    for cfg in papers:
        assert cfg.protocol.name == "paper"
        assert "large" in cfg.backbone.checkpoint
        build_augmentation(cfg.aug)
        instantiate_checked(cfg.aux_task, "aux_task", dim=8, num_classes=4, target_spec=train)
        assert cfg.dataset.folds in cfg.dataset.schemes
    folders = []
    for cfg in twins:
        for corpus in (cfg.dataset, *(cfg.test_dataset or [])):
            corpus.speakers, corpus.clips = 6, 2
        job = Experiment.from_config(cfg)
        FoldRunner(job, job.folds[0])
        folders += [folder for _, _, folder in job.tests()]
        assert len(job.conditions) == (6 if experiment == "noise" else 1)
    assert len(set(folders)) == len(folders), "no two arms are the same"


PARTNERS = {"iemocap": "uniform", "ravdess": "uniform", "msp_improv": "class_first"}
SEENET = ("main", "cross_corpus", "paper_ravdess")


def chosen(cfg: DictConfig, group: str) -> str:
    return "+".join(augmentation_steps(cfg.aug)) if group == "aug" else cfg[group].name


@pytest.mark.parametrize("experiment", METHOD)
def test_experiment_follows_the_method(config, experiment: str):
    epochs, partners, swept = METHOD[experiment]
    jobs = arms(config, experiment) if swept else [config(f"experiment={experiment}")]
    assert [tuple(chosen(cfg, group) for group in swept) for cfg in jobs] == list(itertools.product(*swept.values()))
    for cfg in jobs:
        lr = 1e-5 if cfg.backbone.name == "data2vec" else 1e-4
        assert (cfg.optim.lr, cfg.optim.weight_decay, cfg.optim._target_) == (lr, 1e-5, "torch.optim.AdamW")
        assert (cfg.trainer.max_epochs, cfg.data.batch_size, cfg.trainer.accumulate_grad_batches) == (epochs, 64, 4)
        assert cfg.data.partner == (PARTNERS[cfg.dataset.name] if partners == "by corpus" else partners)
        assert (cfg.data.balanced, cfg.data.bucketed, cfg.data.max_seconds) == (True, False, 6)
        assert (cfg.protocol._target_, cfg.trainer.gradient_clip_val) == ("seenet.corpora.protocols.Paper", None)
        assert "backbone" in swept or cfg.backbone.name == "wavlm"
        if experiment in SEENET:
            assert (chosen(cfg, "aug"), chosen(cfg, "aux_task")) == ("ebm", "see")
        else:  # what is not compared is off
            assert "aug" in swept or chosen(cfg, "aug") == "none"
            assert "aux_task" in swept or chosen(cfg, "aux_task") == "none"
        if cfg.aux_task.name != "none":
            assert cfg.aux_task.weight == 0.01
    if experiment == "cross_corpus":
        assert all(cfg.classes == "four" and len(cfg.test_dataset) == 3 for cfg in jobs)


def test_method_lists_every_experiment_of_the_paper():
    papers = {choice for choice in of("experiment") if not choice.startswith("demo_") and choice != "smoke"}
    assert papers == set(METHOD)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_demo_experiment_is_small(config, experiment: str):
    for cfg in arms(config, f"demo_{experiment}"):
        assert (cfg.trainer.max_epochs, cfg.data.batch_size, cfg.trainer.accumulate_grad_batches) == (6, 16, 1)
        assert (cfg.protocol.name, cfg.data.bucketed) == ("strict", True)


def test_protocol_paper_takes_random_batches_of_256_clips(config):
    cfg = config("protocol=paper", "backbone=wavlm")
    assert not cfg.data.bucketed
    assert cfg.data.batch_size * cfg.trainer.accumulate_grad_batches == 256
    ddp = config("protocol=paper", "backbone=wavlm", "trainer=ddp")
    assert (ddp.data.batch_size, ddp.trainer.accumulate_grad_batches) == (64, 1), "four processes are 256"
    assert config("protocol=paper", "data.bucketed=true").data.bucketed


def test_trainer_accumulates_one_batch_when_the_recipe_has_no_value(config):
    assert config().trainer.accumulate_grad_batches == 1
    assert config("backbone=wavlm", "~backbone.recipe.accumulate_grad_batches").trainer.accumulate_grad_batches == 1


def test_console_shows_the_effective_batch_and_epochs(seenet_train):
    shown = seenet_train("experiment=main", "--cfg", "job")
    assert shown.returncode == 0, shown.stderr
    cfg = OmegaConf.to_container(OmegaConf.create(shown.stdout))
    assert cfg["data"]["batch_size"] * cfg["trainer"]["accumulate_grad_batches"] == 256
    assert cfg["trainer"]["max_epochs"] == 15
