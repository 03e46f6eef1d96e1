"""Processes of torchrun, srun and Lightning finish, write each file once, and give equal predictions."""

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
def remove_launcher_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the variables of a Slurm job in which the tests may run."""
    for name in list(os.environ):
        if name.startswith(("SLURM_", "MASTER_")) or name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "ENVIRONMENT"):
            monkeypatch.delenv(name)


def find_free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("", 0))
        return str(listener.getsockname()[1])


CompletedProcesses = list[subprocess.CompletedProcess[str]]


@pytest.fixture
def run_in_parallel(tmp_path: Path) -> Iterator[Callable[..., CompletedProcesses]]:
    """Return a function that runs a command in parallel, once for each set of environment variables."""
    running: list[subprocess.Popen[str]] = []

    def run(command: list[str], *environments: dict[str, str]) -> CompletedProcesses:
        pipe = subprocess.PIPE
        for environment in environments:
            env = {**os.environ, **environment}
            running.append(subprocess.Popen(command, cwd=tmp_path, env=env, text=True, stdout=pipe, stderr=pipe))
        ended = [(process, *process.communicate(timeout=300)) for process in running[-len(environments) :]]
        return [subprocess.CompletedProcess(command, process.returncode, out, err) for process, out, err in ended]

    yield run
    for process in running:
        process.kill()


def srun_task(rank: int, **more: str) -> dict[str, str]:
    """Return the environment of one of two tasks of srun."""
    return {**SLURM, "SLURM_NTASKS": "2", "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), **more}


def list_files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_launchers_give_equal_predictions(run_in_parallel, tmp_path: Path):
    train = [str(SCRIPTS / "seenet-train"), *SETTINGS]
    port = find_free_port()
    (own,) = run_in_parallel([*train, "output_dir=own"], {})
    srun = run_in_parallel([*train, "output_dir=srun"], *(srun_task(rank, MASTER_PORT=port) for rank in (0, 1)))
    torchrun = [str(SCRIPTS / "torchrun"), "--nproc-per-node=2", f"--master-port={find_free_port()}"]
    (elastic,) = run_in_parallel([*torchrun, *train, "output_dir=torchrun"], {})
    for done in (own, *srun, elastic):
        assert done.returncode == 0, done.stderr
    assert "epoch 2/2" in srun[0].stdout
    assert srun[1].stdout == "", "only rank 0 prints"
    assert elastic.stdout.count("epoch 2/2") == 2, "once per fold"
    for fold in (0, 1):
        (expected,) = tmp_path.glob(f"own/*/fold{fold}/clean/predictions.csv")
        for name in ("srun", "torchrun"):
            (found,) = tmp_path.glob(f"{name}/*/fold{fold}/clean/predictions.csv")
            assert found.read_bytes() == expected.read_bytes()
    assert list_files(tmp_path / "own") == list_files(tmp_path / "srun") == list_files(tmp_path / "torchrun")


@pytest.mark.slow
def test_srun_tasks_with_one_device_each_are_separate_runs_that_wait_for_the_lock(run_in_parallel, tmp_path: Path):
    train = [str(SCRIPTS / "seenet-train"), *SMALL, "fold=0", "trainer.max_epochs=1"]
    done = run_in_parallel(train, srun_task(0), srun_task(1))
    assert [process.returncode for process in done] == [0, 0], done[0].stderr + done[1].stderr
    printed = "".join(process.stdout for process in done)
    assert printed.count("epoch 1/1") == 1, "the second run reuses the fold"
    assert printed.count("already complete, reusing results") == 1


def make_trainer_config(**settings) -> TrainerConfig:
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
        (srun_task(1), 2, 1, 2),
        (srun_task(1, SLURM_JOB_NAME="interactive", SLURM_STEP_NUM_TASKS="2"), 2, 1, 2),  # srun in a shell of salloc
        (srun_task(1), 1, 0, 1),  # each task is a separate run
        (srun_task(0) | {"ENVIRONMENT": "BATCH"}, 2, 0, 1),  # a batch script without srun
        ({**SLURM, "SLURM_NTASKS": "4"}, 2, 0, 1),  # a shell of salloc without srun
        (srun_task(0, SLURM_NTASKS="4", SLURM_JOB_NAME="bash"), 2, 0, 1),  # srun --pty bash
        (srun_task(0, SLURM_STEP_NUM_TASKS="2", SLURM_PTY_PORT="1"), 2, 0, 1),
        (srun_task(0, SLURM_NTASKS="1"), 1, 0, 1),
        (
            srun_task(0) | {"LOCAL_RANK": "1", "RANK": "1", "LOCAL_WORLD_SIZE": "2"},
            2,
            1,
            2,
        ),  # torchrun in a task of srun
    ],
)
def test_rank_comes_from_the_launcher(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], devices: int, rank: int, started: int
):
    with monkeypatch.context() as patch:
        set_environment(patch, environment)
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
            patch.setenv(name, environment.get(name, ""))  # the patch then restores what adopt_srun_ranks sets
            if name not in environment:
                patch.delenv(name)
        processes.adopt_srun_ranks(devices)
        assert (processes.get_rank(), processes.count_launched_processes()) == (rank, started)
        if started == devices:
            assert make_trainer_config(devices="auto").devices == devices


def test_check_process_count_rejects_other_device_counts_and_several_nodes(monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        set_environment(patch, {"RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "4"})
        with pytest.raises(SeenetError, match=r"trainer.devices=1: 4 processes were started.*trainer.devices=4"):
            make_trainer_config(devices=1)
    with monkeypatch.context() as patch:
        set_environment(patch, {"GROUP_WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"})
        with pytest.raises(SeenetError, match="one node"):
            make_trainer_config(devices=2)
    with monkeypatch.context() as patch:
        set_environment(patch, srun_task(0, SLURM_NNODES="2"))
        with pytest.raises(SeenetError, match="srun started 2 tasks on 2 nodes"):
            processes.adopt_srun_ranks(2)


def test_training_in_a_slurm_shell_prints_no_hint(seenet_train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Train one process in a shell of salloc with srun installed."""
    srun = tmp_path / "bin/srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(srun.parent), prepend=os.pathsep)
    set_environment(monkeypatch, {**SLURM, "SLURM_NTASKS": "4"})
    done = seenet_train(*SMALL, "fold=0", "trainer.max_epochs=1")
    assert done.returncode == 0, done.stderr
    assert "srun" not in done.stdout + done.stderr
