"""Multirun: one table at the end, failed arms listed, fold sweeps joined."""

import json
from pathlib import Path

import pytest

from conftest import SMALL
from seenet.cli.sweep import arm_names
from seenet.emotions import CLASS_SETS
from seenet.report.published import published
from seenet.report.tables import mean_and_deviation, print_arms, print_run


def test_arms_are_named_by_what_differs():
    assert arm_names([["aug=ebm", "seed=1"], ["aug=none", "seed=1"]]) == ["aug=ebm", "aug=none"]
    assert arm_names([["fold=0"], ["fold=1"]]) == ["all", "all"]
    assert arm_names([["aug=ebm", "fold=0"], ["aug=ebm", "fold=1"]]) == ["all", "all"]


def test_a_sweep_ends_with_one_table(seenet_train, tmp_path: Path):
    """Three arms, one of which fails: the others finish, the failure is listed, the exit code says so."""
    arguments = ("-m", *SMALL, "trainer.max_epochs=1", "fold=0", "aug=ebm,none", "optim.lr=1e-3,1e30")
    run = seenet_train(*arguments)
    assert run.returncode == 1
    table = run.stdout.split("comparison of arms")[1]
    assert [name in table for name in ("aug=ebm optim.lr=0.001", "aug=none optim.lr=0.001")] == [True, True]
    assert "1e+30" not in table
    assert run.stderr.count("failed: ") == 2
    assert "lower optim.lr" in run.stderr
    notes = sorted((tmp_path / "outputs/multirun").glob("*/*/arm.json"))
    assert [bool(json.loads(note.read_text())["error"]) for note in notes] == [False, True, False, True]


def test_a_sweep_does_not_go_with_ddp(seenet_train):
    run = seenet_train("-m", *SMALL, "trainer=ddp", "fold=0,1", "hydra.sweep.subdir=${hydra.job.num}/deep")
    assert run.returncode == 1
    assert run.stderr.count("failed: ") == 2
    assert "trainer=ddp does not go with -m" in run.stderr
    assert "Traceback" not in run.stderr


def result(**changes: object) -> dict:
    metrics = {"ua": 0.5, "wa": 0.6, "macro_f1": 0.4}
    names = {"dataset": "ravdess", "backbone": "wavlm", "aug": "ebm", "aux_task": "see", "noise": "clean"}
    base = {
        "protocol": "paper",
        "classes": CLASS_SETS["eight"],
        "n_folds": 5,
        "fold": 0,
        "test_part": "",
        "config": {"dataset": {"_target_": "seenet.corpora.ravdess.read", "folds": "luna5"}},
        "seed": 0,
        "n_test": 10,
    }
    rest = {
        "synthetic": False,
        "test_part": "",
        "remark": "",
        "bad_files": {"count": 0, "list": None},
        "audit": {"verdict": "clean"},
        "best_epoch": 3,
        "metrics": metrics,
    }
    return names | base | rest | changes


def test_the_published_figure_stands_only_where_it_compares(capsys):
    assert published(result())["ua"] == "80.6"
    others = [CLASS_SETS["four"], ["bored", *CLASS_SETS["eight"][1:]]]
    differing = [{"protocol": "strict"}, {"n_folds": 6}, {"dataset": "synthetic"}, *({"classes": c} for c in others)]
    for change in [*differing, {"noise": "white"}]:
        assert published(result(**change)) is None
    print_run([result(fold=k) for k in range(5)])
    assert "80.6 ± 0.5" in capsys.readouterr().out
    print_run([result()])
    assert "80.6" not in capsys.readouterr().out, "one fold does not compare with five"
    print_run([result(protocol="strict")])
    assert "80.6" not in capsys.readouterr().out


def test_remarks_are_never_lost(capsys):
    leaky = result(audit={"verdict": "leaks allowed"}, remark="selected on the test fold", synthetic=True)
    for show in (lambda: print_run([leaky]), lambda: print_arms({"a": [result()], "b": [leaky]})):
        show()
        printed = capsys.readouterr().out
        for words in ("SYNTHETIC", "selected on the test fold", "leaks"):
            assert words in printed


@pytest.mark.parametrize(("values", "text"), [([0.5], "50.0"), ([0.5, 0.7], "60.0 ± 14.1")])
def test_mean_and_sample_deviation(values: list[float], text: str):
    assert mean_and_deviation(values) == text
