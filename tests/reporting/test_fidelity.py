"""Differences from the paper, found in the configuration of a run."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
import pytest
from omegaconf import DictConfig, OmegaConf

from seenet.corpora.vocabulary import CLASS_SETS
from seenet.reporting.html_report import write_report
from seenet.reporting.paper_differences import PAPER_SETTINGS, find_deviations
from seenet.runs.directory import names_of
from support.fabricated_results import fabricate_results
from support.paper_experiments import METHOD, arms

FOLDS = {"iemocap": 5, "msp_improv": 6, "ravdess": 5}
EXPECTED_ALWAYS = {"processes", "pooling", "precision", "random seeds"}
EXPECTED_WITH_EBM = {"partner of EBM", "sampling rate of partners"}


def make_facts(cfg: DictConfig, condition: Mapping[str, Any] = MappingProxyType({}), **changes: Any) -> dict[str, Any]:
    """Return the fields of result.json for a configuration on one GPU."""
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    name = config["dataset"]["name"]
    crossed = config["test_dataset"] is not None
    return {
        **names_of(config),
        **{"config": config, "dataset": f"{name}_to_other" if crossed else name, "n_folds": FOLDS.get(name, 3)},
        "corpora": {name: {"parser": name}},
        "selection": "test" if config["protocol"]["name"] == "paper" else "dev",
        "classes": list(CLASS_SETS[config["classes"]]),
        **{"noise": "snr5" if condition else "clean", "condition": dict(condition), "precision": "bf16-mixed"},
        **{"bad_files": {"count": 0}, "learned": {"devices": 1}, "seed": 0},
        **changes,
    }


def list_deviations(facts: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {d.topic: (d.here, d.paper) for d in find_deviations(facts)}


def test_deviations_of_main_experiment(config):
    listed = list_deviations(make_facts(config("experiment=main", "dataset=iemocap")))
    assert set(listed) == EXPECTED_ALWAYS | EXPECTED_WITH_EBM
    assert listed["processes"][0] == "256 = 64 clips × 4 batches × 1 process"
    assert listed["pooling"] == ("attention", "attention in the text of the paper, mean as the default of its code")
    assert listed["partner of EBM"] == ("its first 6 s, as for every clip", "the complete clip of any length")
    assert listed["precision"] == ("bf16-mixed", "16-mixed (fp16)")


@pytest.mark.parametrize("experiment", METHOD)
def test_experiments_have_only_expected_deviations(config, experiment: str):
    jobs = arms(config, experiment) if METHOD[experiment][2] else [config(f"experiment={experiment}")]
    noise = {"source": "white", "snr_db": 5} if experiment == "noise" else {}
    for cfg in jobs:
        expected = set(EXPECTED_ALWAYS)
        expected |= {"folds"} if cfg.dataset.name in ("msp_improv", "ravdess") and not cfg.test_dataset else set()
        expected |= EXPECTED_WITH_EBM if "ebm" in cfg.aug else set()
        expected |= {"sampling rate of partners"} if "mixup" in cfg.aug else set()
        expected |= {"speakers of IEMOCAP"} if cfg.aux_task.name == "speaker" else set()
        expected |= {"epoch for tests in noise", "noise"} if noise else set()
        expected |= {"weights"} if cfg.backbone.name == "wav2vec2" else set()
        expected |= {"model class of data2vec"} if cfg.backbone.name == "data2vec" else set()
        assert set(list_deviations(make_facts(cfg, noise))) == expected


@pytest.mark.parametrize(
    ("override", "topic", "here"),
    [
        ("data.batch_size=32", "clips per optimiser step", "128 = 32 clips × 4 batches × 1 process"),
        ("data.batch_size=16", "clips per batch", "16; SEE mines its negatives within a batch"),
        ("trainer.max_epochs=30", "epochs", "30"),
        ("pooling=mean", "pooling", "mean"),
        ("protocol=strict", "epoch selected on", "held-out training speakers"),
        ("data.bucketed=true", "batches of clips of similar length (data.bucketed)", "yes"),
        ("data.balanced=false", "clips drawn with weight 1 / class count (data.balanced)", "no"),
        ("data.partner=class_first", "sampling of partners", "class_first"),
        ("data.max_seconds=4", "partner of EBM", "its first 4 s, as for every clip"),
        ("optim.lr=1e-3", "learning rate", "0.001"),
        ("aux_task.weight=0.1", "weight of the auxiliary task (aux_task.weight)", "0.1"),
        ("aug.ebm.ratio_db=[0,0]", "energy ratio of EBM, dB (aug.ebm.ratio_db)", "[0, 0]"),
        ("aug=mixup", "experiment", "aug=mixup, aux_task=see"),
        ("backbone.layerdrop=0", "backbone.layerdrop", "0"),
        ("backbone.normalize=true", "zero mean, unit variance of each clip (backbone.normalize)", "yes"),
        ("backbone=wavlm_base", "weights", "microsoft/wavlm-base"),
        ("backbone=wav2vec2", "weights", "facebook/wav2vec2-large-lv60"),
        ("backbone.path=/models/mine", "weights", "a local folder (/models/mine) of unchecked origin"),
        ("dataset.merge=null", "excited", "not counted as happy"),
        ("dataset.folds=leave_one_speaker_out", "folds", "5 folds (leave_one_speaker_out)"),
    ],
)
def test_deviations_name_changed_setting(config, override: str, topic: str, here: str):
    unchanged = list_deviations(make_facts(config("experiment=main", "dataset=iemocap")))
    listed = list_deviations(make_facts(config("experiment=main", "dataset=iemocap", override)))
    assert listed[topic][0] == here
    assert unchanged.get(topic) != listed[topic]


def test_steps_match_paper_with_four_processes_of_one_batch(config):
    cfg = config("experiment=main", "dataset=iemocap", "trainer.accumulate_grad_batches=1")
    listed = list_deviations(make_facts(cfg, learned={"devices": 4}))
    assert not {"processes", "clips per optimiser step"} & set(listed)
    assert list_deviations(make_facts(cfg, learned={"devices": 2}))["clips per optimiser step"][0].startswith(
        "128 = 64 clips"
    )


def test_paper_settings_exist_in_configuration(config):
    cfg = OmegaConf.to_container(config("aug=[ebm,mixup,gaussian_snr,speed,pitch]", "backbone=wavlm"), resolve=True)
    for name, (expected, _) in PAPER_SETTINGS.items():
        node: Any = cfg
        for key in name.split("."):
            assert key in node, name
            node = node[key]
        assert node == expected or name == "data.bucketed", name


def test_report_has_fidelity_section_when_comparable(tmp_path: Path):
    """The section works with the few settings of older results."""
    facts = {"dataset": "ravdess", "synthetic": False, "protocol": "paper", "selection": "test", "backbone": "wavlm"}
    changed = {"dataset__name": "ravdess", "dataset__folds": "luna5", "trainer__max_epochs": 15}
    facts["corpora"] = {"ravdess": {"parser": "ravdess", "clips": 960, "merged": {}, "dropped": {}}}
    fabricate_results(tmp_path / "paper", augs=("none", "ebm"), folds=(0,), facts=facts, sounds=0, **changed)
    page = write_report([tmp_path / "paper"], tmp_path / "report", audio=False).read_text()
    assert "<h3 id=" in page and "Fidelity to the paper" in page
    rows = pd.read_csv(tmp_path / "report/tables/fidelity.csv").set_index("topic")
    assert rows.loc["clips per optimiser step", "here"] == "32 = 32 clips × 1 batch × 1 process"
    assert rows.loc["clips per optimiser step", "arms"] == "all"
    assert rows.loc["partner of EBM", "arms"] == "aug=ebm"
    assert "linewidth" in (tmp_path / "report/tables/fidelity.tex").read_text()
    fabricate_results(tmp_path / "strict", augs=("none",), folds=(0,), sounds=0)
    assert "Fidelity" not in write_report([tmp_path / "strict"], tmp_path / "other", audio=False).read_text()
