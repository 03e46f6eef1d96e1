"""The identity of a training: what changes it, what does not, and recorded runs that must be reused for ever."""

import inspect
import json
import shutil
from pathlib import Path

import hydra.utils
import pytest
from omegaconf import OmegaConf

from seenet.core.paths import conf_dir
from seenet.runs.identity import (
    IGNORED_SETTINGS,
    RECORDED_DEFAULTS,
    TRAINER_SETTINGS,
    component_name,
    describe_training,
    training_identity,
)
from seenet.training.run import run_experiment

RUNTIME = {"self", "dim", "num_classes", "target_spec", "train", "dev", "test", "augmentation", "seed", "weights"}
"""Arguments that a component gets when it is built."""

REQUIRED = {"family", "field", "count", "speakers", "epochs"}
"""Settings without a default: every configuration names them."""

RECORDED = Path(__file__).parents[1] / "recorded"
CONTENT = {"classes": ["sad"], "corpus": "c", "weights": "w", "trainer": dict.fromkeys(TRAINER_SETTINGS, 1)}


def learned_targets() -> dict[str, str]:
    """The import path of every shipped component that enters the identity, by its name there."""
    targets: dict[str, str] = {}
    for group in ("backbone", "pooling", "aug", "aux_task", "protocol"):
        for path in sorted((conf_dir() / group).glob("*.yaml")):
            text = path.read_text(encoding="utf-8")
            for line in filter(lambda line: "_target_:" in line, text.splitlines()):
                target = line.split("_target_:")[1].strip()
                assert targets.setdefault(component_name(target), target) == target, "two components of one name"
    for path in sorted((conf_dir() / "dataset").glob("*.yaml")):
        schemes = OmegaConf.load(path).get("schemes") or {}
        targets |= {component_name(scheme._target_): scheme._target_ for scheme in schemes.values()}
    return targets


@pytest.mark.parametrize("name", sorted(learned_targets()))
def test_every_setting_of_a_component_is_recorded_or_ignored(name: str):
    """A new setting must get its neutral value in `RECORDED_DEFAULTS`, or every finished run is trained again."""
    parameters = inspect.signature(hydra.utils.get_object(learned_targets()[name])).parameters
    recorded, ignored = RECORDED_DEFAULTS.get(name, {}), IGNORED_SETTINGS.get(name, ())
    unknown = set(parameters) - RUNTIME - REQUIRED - set(recorded) - set(ignored)
    assert not unknown or set(recorded) >= unknown
    for setting in parameters.keys() & recorded.keys() - {"architecture"}:
        default = parameters[setting].default
        assert (list(default) if isinstance(default, tuple) else default) == recorded[setting], setting


def test_a_moved_module_and_a_neutral_new_setting_change_no_identity(config, monkeypatch: pytest.MonkeyPatch):
    resolved = OmegaConf.to_container(config("aug=[ebm,speed]"), resolve=True)
    before = training_identity(resolved, CONTENT)
    text = json.dumps(resolved)
    for old, new in {
        "seenet.augment.": "seenet.data.augmentation.",
        "seenet.models.pooling.": "seenet.models.heads.",
    }.items():
        assert old in text or new in text
        text = text.replace(old, new)
    assert training_identity(json.loads(text), CONTENT) == before
    recorded = dict(RECORDED_DEFAULTS)
    recorded["SoftEmotionExperts"] = {**recorded["SoftEmotionExperts"], "dropout": 0.0}
    monkeypatch.setattr("seenet.runs.identity.RECORDED_DEFAULTS", recorded)
    newer = OmegaConf.to_container(config("+aux_task.dropout=0.0", "aug=[ebm,speed]"), resolve=True)
    assert training_identity(newer, CONTENT) == before
    assert describe_training(resolved)["aux_task"]["dropout"] == 0.0, "reports fill in what older results do not say"
    other = OmegaConf.to_container(config("+aux_task.dropout=0.1", "aug=[ebm,speed]"), resolve=True)
    assert training_identity(other, CONTENT) != before


def test_a_component_of_the_user_enters_with_its_full_path_and_all_its_settings(config):
    cfg = config("aug=ebm", "aug.ebm._target_=mine.EnergyBasedMixup", "+aug.ebm.extra=null")
    [step] = training_identity(OmegaConf.to_container(cfg, resolve=True), CONTENT)["aug"]
    assert step == {"class": "mine.EnergyBasedMixup", "ratio_db": [-5, 5], "extra": None}


@pytest.mark.parametrize("name", sorted(path.name for path in RECORDED.iterdir()))
def test_a_recorded_run_is_reused(name: str, config, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    """Made once by tests/support/recorded_runs.py; a commit that trains it again orphans every run that users have."""
    from support.recorded_runs import COMMANDS, write_corpora

    shutil.copytree(RECORDED / name, tmp_path / "outputs")
    write_corpora(tmp_path)
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in Path("outputs").rglob("result.json")}
    assert before
    folders = run_experiment(config(*COMMANDS[name], "output_dir=outputs"))
    assert "epoch 1/" not in capsys.readouterr().out
    assert {folder / "result.json" for folder in folders} == set(before)
    assert {path: path.read_bytes() for path in before} == before
    again = run_experiment(config(*COMMANDS[name], "output_dir=outputs", "noise=snr5"))
    assert "epoch 1/" not in capsys.readouterr().out, "its checkpoint is tested under another condition"
    assert len(again) == len(folders)
