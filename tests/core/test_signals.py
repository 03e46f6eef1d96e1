"""SIGTERM and SIGUSR1 stop a run at its next optimiser step, and the same command resumes it."""

import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from seenet.core import signals
from support.console import SMALL, script

SETTINGS = (*SMALL, "fold=0", "data.batch_size=2")
VARIANTS = {
    "ebm": (),
    "accumulation": ("trainer.accumulate_grad_batches=2",),
    "mixup": ("aug=mixup", "data.bucketed=false"),
}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the folders of uninterrupted folds by variant."""
    folders = {}
    for name, options in VARIANTS.items():
        folder = tmp_path_factory.mktemp(name)
        done = script("seenet-train", folder)(*SETTINGS, *options)
        assert done.returncode == 0, done.stderr
        (folders[name],) = folder.glob("outputs/*/fold0")
    return folders


def count_batches(fold: Path) -> int:
    """Return the number of batches of the current epoch in last.ckpt."""
    loop = torch.load(fold / "last.ckpt", map_location="cpu")["loops"]["fit_loop"]
    return loop["epoch_loop.batch_progress"]["current"]["ready"]


@pytest.mark.parametrize(
    ("name", "variant", "at", "expected"),
    [
        ("SIGTERM", "ebm", 5, 5),
        ("SIGUSR1", "accumulation", 5, 6),  # the second batch of the step
        pytest.param("SIGUSR1", "mixup", 5, 5, marks=pytest.mark.slow),
        pytest.param("SIGKILL", "accumulation", 19, None, marks=pytest.mark.slow),
        pytest.param("SIGKILL", "mixup", 19, None, marks=pytest.mark.slow),
    ],
)
def test_run_resumes_with_equal_predictions_when_stopped_within_an_epoch(
    run_with_signal, seenet_train, uninterrupted, tmp_path: Path, name: str, variant: str, at: int, expected: int | None
):
    options = VARIANTS[variant]
    stopped = run_with_signal(name, "EmotionModel.training_step", at, *SETTINGS, *options)
    (fold,) = tmp_path.glob("outputs/*/fold0")
    if expected is None:
        assert stopped.returncode == -signal.SIGKILL
    else:
        assert stopped.returncode == 128 + getattr(signal, name), stopped.stderr
        assert stopped.stderr.splitlines()[-1] == f"seenet: stopped by {name}; run the same command to resume"
        assert "Traceback" not in stopped.stderr
        assert count_batches(fold) == expected
    resumed = seenet_train(*SETTINGS, *options)
    assert resumed.returncode == 0, resumed.stderr
    assert "resuming from" in resumed.stdout
    for path in ("clean/predictions.csv", "dev_predictions.csv"):
        assert (fold / path).read_bytes() == (uninterrupted[variant] / path).read_bytes()


@pytest.mark.parametrize(
    ("step", "at", "expected_file"),
    [
        ("EmotionModel.validation_step", 1, "last.ckpt"),  # before the checkpoint of the epoch
        pytest.param("EmotionModel.validation_step", 8, "last.ckpt", marks=pytest.mark.slow),  # in the last epoch
        ("EmotionModel.test_step", 1, "trained.json"),
        pytest.param("read_audio", 1, "", marks=pytest.mark.slow),
    ],
    ids=["validation", "last validation", "test", "preparation"],
)
def test_run_resumes_with_equal_predictions_when_stopped_outside_training_steps(
    run_with_signal,
    seenet_train,
    uninterrupted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step,
    at,
    expected_file,
):
    if step == "read_audio":
        monkeypatch.setenv("SEENET_CACHE", str(tmp_path / "cache"))
    stopped = run_with_signal("SIGUSR1", step, at, *SETTINGS)
    assert stopped.returncode == 128 + signal.SIGUSR1, stopped.stderr
    assert "stopped by SIGUSR1; run the same command to resume" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    folds = list(tmp_path.glob("outputs/*/fold0"))
    assert not expected_file or (folds[0] / expected_file).is_file()
    assert not list(tmp_path.rglob("result.json"))
    resumed = seenet_train(*SETTINGS)
    assert resumed.returncode == 0, resumed.stderr
    (fold,) = tmp_path.glob("outputs/*/fold0")
    assert (fold / "clean/predictions.csv").read_bytes() == (
        uninterrupted["ebm"] / "clean/predictions.csv"
    ).read_bytes()


@pytest.mark.slow
def test_signal_to_one_process_stops_both_at_the_same_step(run_with_signal, tmp_path: Path):
    """The second of two srun tasks receives the signal."""
    options = (*SMALL, "fold=0", "trainer=cpu", "trainer.devices=2", "data.batch_size=2")

    def run(*arguments: str, at: int) -> list[subprocess.CompletedProcess[str]]:
        with socket.socket() as listener:
            listener.bind(("", 0))
            slurm = {"SLURM_NTASKS": "2", "MASTER_PORT": str(listener.getsockname()[1])}

        def task(rank: int) -> subprocess.CompletedProcess[str]:
            ranks = {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}
            sent = at if rank == 1 else 0  # never
            step = "EmotionModel.training_step"
            return run_with_signal("SIGUSR1", step, sent, *options, *arguments, **slurm, **ranks)

        with ThreadPoolExecutor(2) as threads:
            return list(threads.map(task, (0, 1)))

    stopped = run(at=3)
    assert [task.returncode for task in stopped] == [128 + signal.SIGUSR1] * 2, stopped[0].stderr + stopped[1].stderr
    assert "Traceback" not in stopped[0].stderr + stopped[1].stderr
    (fold,) = tmp_path.glob("outputs/*/fold0")
    assert count_batches(fold) == 3
    assert [task.returncode for task in (*run(at=0), *run("output_dir=complete", at=0))] == [0] * 4
    (expected,) = tmp_path.glob("complete/*/fold0/clean/predictions.csv")
    assert (fold / "clean/predictions.csv").read_bytes() == expected.read_bytes()


def test_handle_stop_signals_restores_the_handlers():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(signals.StopSignalExit) as stop, signals.handle_stop_signals():
        signal.raise_signal(signal.SIGTERM)
    assert stop.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before
    with signals.handle_stop_signals():
        signals.defer()
        signal.raise_signal(signal.SIGUSR1)
        assert signals.get_pending() == signal.SIGUSR1
    assert signals.get_pending() == 0
