"""Sweeps: final table, failed arms, sweeps over folds, plans."""

import importlib
import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest
from joblib.externals.loky.process_executor import TerminatedWorkerError
from omegaconf import OmegaConf

from seenet.cli.sweep import SWEEP_VARIABLE, SweepCallback, name_arms
from seenet.core.errors import SeenetError
from seenet.corpora.vocabulary import CLASS_SETS
from seenet.reporting.console_tables import format_mean_std, print_arms, print_run
from seenet.reporting.published_results import published_row
from seenet.training.sweep_plan import format_duration, print_sweep_plan
from support.console import HANG, SMALL
from support.fabricated_results import write_sweep_records


def test_arms_are_named_after_differing_overrides():
    assert name_arms([["aug=ebm", "seed=1"], ["aug=none", "seed=1"]]) == ["aug=ebm", "aug=none"]
    assert name_arms([["fold=0"], ["fold=1"]]) == ["all", "all"]
    assert name_arms([["aug=ebm", "fold=0"], ["aug=ebm", "fold=1"]]) == ["all", "all"]


def test_sweep_fails_when_no_job_wrote_a_record(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    assert name_arms([]) == []
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}, "sweep": {"report": True}})
    monkeypatch.setenv(SWEEP_VARIABLE, "this one")
    with pytest.raises(SystemExit, match="1"):
        SweepCallback().on_multirun_end(config)
    printed = capsys.readouterr().err
    assert "no job of the sweep wrote arm.json" in printed
    assert printed.count("\n") == 1


def test_second_sweep_is_refused_while_one_runs_in_the_folder(tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    """The refused sweep removes no record; it starts once the first has ended."""
    monkeypatch.setenv(SWEEP_VARIABLE, "none yet")
    sweep_of = {"sweep": {"dir": str(tmp_path / "s")}, "job": {"config_name": "train"}}
    config = OmegaConf.create({"hydra": sweep_of, "sweep": {"report": False, "check": False, "dry": False}})
    first = SweepCallback()
    first.on_multirun_start(config)
    workers = pickle.loads(pickle.dumps(first))
    mine = {"number": 0, "overrides": ["seed=0"], "results": [], "error": None, "sweep": os.environ[SWEEP_VARIABLE]}
    for name, record in (("0", mine), ("1", {**mine, "error": "not of this sweep", "sweep": "another"})):
        (tmp_path / "s" / name).mkdir()
        (tmp_path / "s" / name / "arm.json").write_text(json.dumps(record))
    with pytest.raises(SystemExit, match="1"):
        SweepCallback().on_multirun_start(config)
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert all(words in printed for words in ("a sweep is running", str(tmp_path / "s"), "hydra.sweep.dir="))
    del workers  # whose end must not be the sweep's
    first.on_multirun_end(config)
    assert "not of this sweep" not in capsys.readouterr().err
    (tmp_path / "s/below/0").mkdir(parents=True)
    for name in ("multirun.yaml", "0/arm.json"):
        (tmp_path / "s/below" / name).write_text("{}")
    SweepCallback().on_multirun_start(config)
    assert list((tmp_path / "s").rglob("arm.json")) == [tmp_path / "s/below/0/arm.json"]


def test_sweep_ends_with_one_table_when_an_arm_fails(seenet_train, tmp_path: Path):
    """One of three arms fails: the others finish, the failure is listed, the exit code is 1."""
    arguments = ("-m", *SMALL, "trainer.max_epochs=1", "fold=0", "aug=ebm,none", "optim.lr=1e-3,1e30")
    run = seenet_train(*arguments)
    assert run.returncode == 1
    table = run.stdout.split("comparison of arms")[1]
    assert [name in table for name in ("aug=ebm optim.lr=0.001", "aug=none optim.lr=0.001")] == [True, True]
    assert "1e+30" not in table
    assert run.stderr.count("failed: ") == 2
    assert "lower optim.lr" in run.stderr
    page = tmp_path / run.stdout.split("report: ")[1].strip()
    assert all(words in page.read_text() for words in ("aug=ebm", "A job failed", "lower optim.lr", "SYNTHETIC"))
    records = sorted((tmp_path / "outputs/multirun").glob("*/*/arm.json"))
    assert [bool(json.loads(record.read_text())["error"]) for record in records] == [False, True, False, True]


def test_result_shared_by_two_jobs_counts_once(seenet_train):
    run = seenet_train(
        *("-m", *SMALL, "trainer.max_epochs=1", "fold=0,[0]", "noise=clean,[clean,snr5]", "sweep.report=false")
    )
    assert run.returncode == 0, run.stderr
    rows = [line.split() for line in run.stdout.split("comparison of arms")[1].splitlines() if "all" in line]
    assert [row[1] for row in rows] == ["clean", "snr5-white"]
    assert [row[-3:] for row in rows] == [["1", "1", "16"]] * 2
    assert "±" not in "".join(map(str, rows)), "one fold deviates from nothing"


def test_job_record_is_written_atomically(seenet_train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_text = Path.write_text

    def interrupted(path: Path, text: str, **how: str) -> int:
        if not path.name.startswith("arm.json"):
            return write_text(path, text, **how)
        write_text(path, text[: len(text) // 2], **how)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", interrupted)
    run = seenet_train("-m", "dataset=ravdess", "dataset.root=/nowhere", "seed=0,1", "hydra.sweep.dir=s")
    assert run.returncode == 130
    assert [path.name for path in (tmp_path / "s/0").iterdir()] == []


@pytest.mark.parametrize("traceback", ["0", pytest.param("1", marks=pytest.mark.slow)])
def test_errors_in_worker_processes_are_one_line_each(seenet_train_process, traceback: str):
    """Each job prints one line, with a traceback only on request, and the sweep ends."""
    workers = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra/hydra_logging=none")
    invalid = ("dataset=ravdess", "dataset.root=/nowhere", "seed=0,1")
    run = seenet_train_process("-m", *workers, *invalid, HYDRA_FULL_ERROR=traceback)
    assert run.returncode == 1
    assert run.stderr.count("failed: ") == 2
    assert run.stderr.count("seenet: error: dataset.root='/nowhere'") == 2
    assert run.stderr.count("Traceback") == 2 * int(traceback)


def test_broken_executor_is_reported_in_one_line(seenet_train, monkeypatch: pytest.MonkeyPatch):
    killed = mock.Mock(side_effect=TerminatedWorkerError("a page of advice"))
    monkeypatch.setattr("seenet.cli.hydra_app.hydra.main", lambda **about: lambda job: killed)
    run = seenet_train("-m", "seed=0,1")
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert "rerun the same command to resume" in run.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the worker in /proc")
def test_killed_worker_is_reported_in_one_line(tmp_path: Path):
    command = [str(Path(sys.executable).with_name("seenet-train")), "-m", *SMALL, "trainer.max_epochs=1000", "fold=0,1"]
    options = {"cwd": tmp_path, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], **options) as process:
        try:
            while not list((tmp_path / "outputs").glob("synthetic-*/fold0/last.ckpt")):
                assert process.poll() is None, process.stderr.read()
                time.sleep(0.1)
            workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            commands = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in workers}
            os.kill(next(pid for pid, words in commands.items() if b"LokyProcess" in words), signal.SIGKILL)
            _, printed = process.communicate(timeout=HANG)
        finally:
            process.kill()
    assert process.returncode == 1
    assert "Traceback" not in printed
    assert "a worker process of the sweep was killed" in printed
    assert "rerun the same command to resume" in printed


def test_sweep_refuses_ddp(seenet_train):
    run = seenet_train(
        "-m", *SMALL, "trainer=ddp", "fold=0,1", "sweep.report=false", "hydra.sweep.subdir=${hydra.job.num}/deep"
    )
    assert run.returncode == 1
    assert run.stderr.count("failed: ") == 2
    assert "trainer=ddp cannot be used with -m" in run.stderr
    assert "Traceback" not in run.stderr


def result(**changes: object) -> dict:
    metrics = {"ua": 0.5, "wa": 0.6, "macro_f1": 0.4, "recall": {}}
    names = {
        "dataset": "ravdess",
        "backbone": "wavlm",
        "aug": "ebm",
        "aux_task": "see",
        "noise": "clean",
        "condition": {},
    }
    base = {
        "protocol": "paper",
        "classes": CLASS_SETS["eight"],
        "n_folds": 5,
        "fold": 0,
        "test_part": "",
        "config": {"dataset": {"folds": "luna5"}},
        "seed": 0,
        "n_test": 10,
    }
    rest = {
        "condition": {},
        "synthetic": False,
        "test_part": "",
        "remark": "",
        "bad_files": {"count": 0, "list": None},
        "audit": {"verdict": "clean"},
        "corpora": {"ravdess": {"parser": "ravdess", "merged": {}}},
        "best_epoch": 3,
        "metrics": metrics,
    }
    return names | base | rest | changes


def test_published_figure_is_shown_only_for_comparable_results(capsys):
    assert published_row(result(), comparable_only=True)["ua"] == "80.6"
    others = [CLASS_SETS["four"], ["bored", *CLASS_SETS["eight"][1:]]]
    differing = [{"protocol": "strict"}, {"n_folds": 6}, {"dataset": "synthetic"}, *({"classes": c} for c in others)]
    for change in [*differing, {"noise": "snr5"}]:
        assert published_row(result(**change), comparable_only=True) is None
    print_run([result(fold=k) for k in range(5)])
    assert "80.6 ± 0.5" in capsys.readouterr().out
    print_run([result()])
    assert "80.6" not in capsys.readouterr().out, "one fold does not compare with five"
    print_run([result(protocol="strict")])
    assert "80.6" not in capsys.readouterr().out


def test_table_shows_every_remark(capsys):
    leaky = result(audit={"verdict": "leaks allowed"}, remark="selected on the test fold", synthetic=True)
    for show in (lambda: print_run([leaky]), lambda: print_arms({"a": [result()], "b": [leaky]})):
        show()
        printed = capsys.readouterr().out
        for words in ("SYNTHETIC", "selected on the test fold", "leaks"):
            assert words in printed


@pytest.mark.parametrize(("values", "text"), [([0.5], "50.0"), ([0.5, 0.7], "60.0 ± 14.1")])
def test_table_shows_mean_and_sample_deviation(values: list[float], text: str):
    assert format_mean_std(values) == text


TWELVE = ("-m", *SMALL, "trainer.max_epochs=1", "fold=0", "sweep.report=false", "aug=none,ebm", "aux_task=none,see")


def predictions(outputs: Path) -> dict[str, bytes]:
    """Read the predictions of every finished run below a folder, by name of the run."""
    found = [path for path in outputs.glob("*/fold0/clean/predictions.csv") if (path.parent / "result.json").is_file()]
    return {path.parents[2].name: path.read_bytes() for path in found}


@pytest.mark.slow
def test_sweep_of_twelve_resumes_after_kills_and_a_failure(seenet_train_process, tmp_path: Path):
    full = seenet_train_process(*TWELVE, "seed=0,1,2", "output_dir=full")
    assert full.returncode == 0, full.stderr
    expected = predictions(tmp_path / "full")
    assert len(expected) == len(set(expected.values())) == 12
    command = [str(Path(sys.executable).with_name("seenet-train")), *TWELVE, "seed=0,1,2", "output_dir=killed"]
    rng, survived = random.Random(), []
    for _ in range(3):
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)
        before = len(predictions(tmp_path / "killed"))
        while len(predictions(tmp_path / "killed")) <= before and process.poll() is None:
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 4))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        survived.append(len(predictions(tmp_path / "killed")))
    assert survived[0] < 12, "the first kill came too late to prove anything"
    last = seenet_train_process(*TWELVE, "seed=0,1,2", "output_dir=killed")
    assert last.returncode == 0, last.stderr
    assert last.stdout.count("already complete, reusing results") == survived[-1]
    assert predictions(tmp_path / "killed") == expected

    broken = next((tmp_path / "full").glob("*-none-none-strict-seed1-*"))
    shutil.rmtree(broken / "fold0")
    (broken / "fold0").write_bytes(b"")  # where the fold's folder should be made
    again = seenet_train_process(*TWELVE, "seed=0,1,2", "output_dir=full")
    assert again.returncode == 1
    assert len(predictions(tmp_path / "full")) == 11
    assert again.stderr.count("failed: ") == 1
    assert "aug=none aux_task=none seed=1" in again.stderr.split("failed: ")[1]


def test_arm_is_the_mean_over_seeds(capsys):
    results = [
        result(seed=seed, metrics={"ua": ua, "wa": ua, "macro_f1": ua, "recall": {}})
        for seed, ua in enumerate((0.5, 0.7))
    ]
    print_arms({"aug=ebm": results})
    row = next(line for line in capsys.readouterr().out.splitlines() if "aug=ebm" in line)
    assert row.split() == ["aug=ebm", *["60.0", "±", "14.1"] * 3, "1", "2", "20"]
    assert name_arms([["aug=ebm", "seed=0"], ["aug=none", "seed=1"]]) == ["aug=ebm", "aug=none"]
    assert name_arms([["seed=0", "noise=clean"], ["seed=1", "noise=snr5"]]) == ["all", "all"]


def test_plan_lists_finished_runs_and_estimated_time(seenet_train, short_probes, tmp_path: Path):
    arguments = ("-m", *SMALL, "trainer.max_epochs=1", "aug=none,ebm", "fold=0", "noise=[clean,snr5]")
    seenet_train(*SMALL, "trainer.max_epochs=1", "fold=0", "aug=ebm")
    plan = seenet_train(*arguments, "sweep.dry=true")
    assert plan.returncode == 0, plan.stderr
    rows = {line.split()[0]: line.split()[1:5] for line in plan.stdout.splitlines() if line.strip().startswith("aug=")}
    assert rows == {"aug=none": ["1", "0", "2", "0"], "aug=ebm": ["1", "1", "2", "1"]}
    assert re.search(r"about \d+ s on cpu", plan.stdout)
    assert "GB free" in plan.stdout
    assert len(list((tmp_path / "outputs").glob("synthetic-*"))) == 1, "a plan trains nothing"


@pytest.mark.parametrize("way", ["sweep.dry=true", "sweep.check=true"])
def test_plan_keeps_the_records_of_a_finished_sweep(seenet_train, short_probes, tmp_path: Path, way: str):
    """Both a complete plan and one with missing prerequisites keep the records."""
    write_sweep_records(tmp_path / "s", {"seed=0": ([], None)})
    corpus = ("dataset=ravdess", "dataset.root=/nowhere") if way == "sweep.check=true" else SMALL
    run = seenet_train("-m", *corpus, "trainer.max_epochs=1", "fold=0", "seed=0,1", "hydra.sweep.dir=s", way)
    assert run.returncode == (way == "sweep.check=true"), run.stderr
    assert (tmp_path / "s/0/arm.json").is_file()


def test_plan_of_a_single_run(seenet_train, short_probes, tmp_path: Path):
    plan = seenet_train(*SMALL, "trainer.max_epochs=1", "sweep.dry=true", "aug=[ebm,speed]")
    assert plan.returncode == 0, plan.stderr
    assert re.search(r"this run +3 +0 +3 +0 ", plan.stdout)
    assert "epoch" not in plan.stdout
    assert not list((tmp_path / "outputs").glob("*-*"))


def test_table_keeps_brackets_in_names(capsys):
    print_arms({"aug=[ebm,speed]": [result()], "aug=none": [result()]})
    assert "aug=[ebm,speed]" in capsys.readouterr().out


def test_missing_prerequisites_are_reported_before_the_first_job(
    seenet_train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "data/RAVDESS/Actor_01").mkdir(parents=True)
    monkeypatch.setenv("SEENET_DATA", str(tmp_path / "data"))
    run = seenet_train("experiment=main", "backbone.path=/nowhere", "backbone.checkpoint=null")
    assert run.returncode == 1
    missing = [line for line in run.stdout.splitlines() if line.startswith("missing")]
    words = ("backbone.path='/nowhere'", "iemocap", "msp", "RAVDESS", "trainer=cpu")
    assert all(sum(word in line for line in missing) == 1 for word in words), run.stdout
    assert "no job was started" in run.stderr
    assert "Traceback" not in run.stderr
    assert not list((tmp_path / "outputs").glob("*-*"))


def test_plan_builds_the_auxiliary_task_of_every_job(config, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch):
    """Also for jobs that share the probe of another job with the same model."""
    monkeypatch.setattr("seenet.training.sweep_plan.probe", mock.Mock(side_effect=AssertionError("nothing is probed")))
    common = (*SMALL, f"output_dir={tmp_path}", "fold=0")
    cfgs = {task: config(*common, f"aux_task={task}") for task in ("none", "gender", "see")}
    importlib.import_module("seenet.models.auxiliary.gender")  # it copies the name that is replaced below
    monkeypatch.setattr("seenet.data.dataset.GENDERS", {})  # so that no clip's gender is known
    with pytest.raises(SeenetError, match="no job was started"):
        print_sweep_plan(cfgs)
    printed = capsys.readouterr().out
    assert printed.count("missing") == 1
    assert "missing (1 of 3 jobs): aux_task=gender" in printed


@pytest.mark.parametrize("seconds, words", [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (5400, "1 h 30 min")])
def test_durations_are_formatted_in_usual_units(seconds: float, words: str):
    assert format_duration(seconds) == words
