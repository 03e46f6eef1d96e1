"""Processes started by torchrun, srun and Lightning: they finish, write each file once, and find the same."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seenet.core import processes
from seenet.core.errors import SeenetError
from seenet.training.trainer import TrainerConfig
from support.console import SMALL

SCRIPTS = Path(sys.executable).parent
SETTINGS = (*SMALL, "fold=[0,1]", "trainer=cpu", "trainer.devices=2", "data.batch_size=4")
SLURM = {"SLURM_JOB_ID": "1234", "SLURM_NODEID": "0", "SLURM_NNODES": "1", "SLURM_NODELIST": "localhost"}


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests themselves may run below Slurm."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "MASTER_")) or name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "ENVIRONMENT"):
            monkeypatch.delenv(name)


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("", 0))
        return str(listener.getsockname()[1])


Started = list[subprocess.CompletedProcess[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Start a command once for each set of environment variables, and wait for all."""
    running: list[subprocess.Popen[str]] = []

    def together(command: list[str], *environments: dict[str, str]) -> Started:
        pipe = subprocess.PIPE
        for environment in environments:
            env = {**os.environ, **environment}
            running.append(subprocess.Popen(command, cwd=tmp_path, env=env, text=True, stdout=pipe, stderr=pipe))
        ended = [(process, *process.communicate(timeout=300)) for process in running[-len(environments) :]]
        return [subprocess.CompletedProcess(command, process.returncode, out, err) for process, out, err in ended]

    yield together
    for process in running:
        process.kill()


def task(rank: int, **more: str) -> dict[str, str]:
    """The environment of one of two tasks of srun."""
    return {**SLURM, "SLURM_NTASKS": "2", "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), **more}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_launchers_give_equal_predictions(start, tmp_path: Path):
    train = [str(SCRIPTS / "seenet-train"), *SETTINGS]
    port = free_port()
    (own,) = start([*train, "output_dir=own"], {})
    srun = start([*train, "output_dir=srun"], *(task(rank, MASTER_PORT=port) for rank in (0, 1)))
    torchrun = [str(SCRIPTS / "torchrun"), "--nproc-per-node=2", f"--master-port={free_port()}"]
    (elastic,) = start([*torchrun, *train, "output_dir=torchrun"], {})
    for done in (own, *srun, elastic):
        assert done.returncode == 0, done.stderr
    assert "epoch 2/2" in srun[0].stdout
    assert srun[1].stdout == "", "one process prints"
    assert elastic.stdout.count("epoch 2/2") == 2, "once for each fold"
    for fold in (0, 1):
        (expected,) = tmp_path.glob(f"own/*/fold{fold}/clean/predictions.csv")
        for name in ("srun", "torchrun"):
            (found,) = tmp_path.glob(f"{name}/*/fold{fold}/clean/predictions.csv")
            assert found.read_bytes() == expected.read_bytes()
    assert files(tmp_path / "own") == files(tmp_path / "srun") == files(tmp_path / "torchrun")


@pytest.mark.slow
def test_srun_tasks_with_one_device_each_are_runs_that_wait_for_each_other(start, tmp_path: Path):
    train = [str(SCRIPTS / "seenet-train"), *SMALL, "fold=0", "trainer.max_epochs=1"]
    done = start(train, task(0), task(1))
    assert [process.returncode for process in done] == [0, 0], done[0].stderr + done[1].stderr
    printed = "".join(process.stdout for process in done)
    assert printed.count("epoch 1/1") == 1, "the other one reuses the fold"
    assert printed.count("finished before, reused") == 1


def plan(**settings) -> TrainerConfig:
    return TrainerConfig(max_epochs=1, accelerator="cpu", **settings)


def set_environment(patch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        patch.setenv(name, value)


@pytest.mark.parametrize(
    ("environment", "devices", "rank", "started"),
    [
        ({}, 2, 0, 1),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, 2, 1, 1),  # Lightning's own launcher
        ({"RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}, 2, 1, 2),  # torchrun
        (task(1), 2, 1, 2),
        (task(1, SLURM_JOB_NAME="interactive", SLURM_STEP_NUM_TASKS="2"), 2, 1, 2),  # srun in a shell of salloc
        (task(1), 1, 0, 1),  # each task a run of its own
        (task(0) | {"ENVIRONMENT": "BATCH"}, 2, 0, 1),  # a batch script without srun
        ({**SLURM, "SLURM_NTASKS": "4"}, 2, 0, 1),  # a shell of salloc without srun
        (task(0, SLURM_NTASKS="4", SLURM_JOB_NAME="bash"), 2, 0, 1),  # srun --pty bash
        (task(0, SLURM_STEP_NUM_TASKS="2", SLURM_PTY_PORT="1"), 2, 0, 1),
        (task(0, SLURM_NTASKS="1"), 1, 0, 1),
        (task(0) | {"LOCAL_RANK": "1", "RANK": "1", "LOCAL_WORLD_SIZE": "2"}, 2, 1, 2),  # torchrun in a task of srun
    ],
)
def test_rank_comes_from_what_started_the_process(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], devices: int, rank: int, started: int
):
    with monkeypatch.context() as patch:
        set_environment(patch, environment)
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            patch.setenv(name, environment.get(name, ""))  # so that the patch undoes what adopt_srun sets
            if name not in environment:
                patch.delenv(name)
        processes.adopt_srun_ranks(devices)
        assert (processes.get_rank(), processes.count_launched_processes()) == (rank, started)
        if started == devices:
            assert plan(devices="auto").devices == devices


def test_launcher_and_devices_must_agree(monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        set_environment(patch, {"RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"})
        with pytest.raises(SeenetError, match=r"trainer.devices=1: 4 processes were started.*trainer.devices=4"):
            plan(devices=1)
    with monkeypatch.context() as patch:
        set_environment(patch, {"GROUP_WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"})
        with pytest.raises(SeenetError, match="one node"):
            plan(devices=2)
    with monkeypatch.context() as patch:
        set_environment(patch, task(0, SLURM_NNODES="2"))
        with pytest.raises(SeenetError, match="srun started 2 tasks on 2 nodes"):
            processes.adopt_srun_ranks(2)


def test_training_in_a_slurm_shell_prints_no_hint(seenet_train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """One process in a shell of salloc, where srun is installed."""
    srun = tmp_path / "bin/srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(srun.parent), prepend=os.pathsep)
    set_environment(monkeypatch, {**SLURM, "SLURM_NTASKS": "4"})
    done = seenet_train(*SMALL, "fold=0", "trainer.max_epochs=1")
    assert done.returncode == 0, done.stderr
    assert "srun" not in done.stdout + done.stderr
