"""An interrupted fold ends as if nothing had happened."""

import csv
import signal
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch

from seenet.training.checkpoints import AtomicCheckpointIO
from seenet.training.run import run_experiment
from support.console import SMALL, script

SETTINGS = (*SMALL, "fold=0", "trainer.max_epochs=3", "data.batch_size=2")  # epochs of many steps
EVERY_STEP = "trainer.checkpoint_minutes=1e-9"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a fold that was not interrupted."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    done = script("seenet-train", folder)(*SETTINGS)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("outputs/*/fold0"))


def curves(folder: Path) -> list[dict[str, str]]:
    with (folder / "curves.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def weights(folder: Path) -> list[Any]:
    best = torch.load(folder / "best.ckpt", map_location="cpu")
    assert "running" not in best
    return [best["epoch"], *best["state_dict"].values()]


def assert_equal(folder: Path, uninterrupted: Path) -> None:
    """To the byte, but for the seconds."""
    assert (folder / "clean/predictions.csv").read_bytes() == (uninterrupted / "clean/predictions.csv").read_bytes()
    assert curves(folder) == curves(uninterrupted)
    pairs = zip(weights(folder), weights(uninterrupted), strict=True)
    assert all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in pairs)


def steps(checkpoint: Path) -> int:
    """How many batches of its epoch a checkpoint has seen when its last batch is counted."""
    loops = torch.load(checkpoint, map_location="cpu")["loops"]["fit_loop"]
    assert loops["state_dict"]["combined_loader"] == [{"given": loops["epoch_loop.batch_progress"]["current"]["ready"]}]
    return loops["epoch_loop.batch_progress"]["current"]["ready"]


@pytest.mark.parametrize("options", [(), (EVERY_STEP,)], ids=["at the end of an epoch", "in mid-epoch"])
def test_a_killed_fold_resumes_and_ends_as_if_nothing_had_happened(
    uninterrupted, seenet_train, run_with_signal, tmp_path: Path, options
):
    """SIGKILL in mid-epoch; the resumed fold equals an uninterrupted one to the byte."""
    killed = run_with_signal("SIGKILL", "EmotionModel.training_step", 17, *SETTINGS, *options, "output_dir=killed")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder = next((tmp_path / "killed").glob("*/fold0"))
    assert not list(folder.glob("*/result.json"))
    (tmp_path / "killed").rename(tmp_path / "moved")  # the resumed fold still knows its best epoch
    folder = tmp_path / "moved" / folder.relative_to(tmp_path / "killed")
    of_an_epoch = int(torch.load(folder / "best.ckpt", map_location="cpu")["global_step"])
    assert of_an_epoch < 16, "step 17 is in the second epoch"
    assert (steps(folder / "last.ckpt") < of_an_epoch) == bool(options)
    resumed = seenet_train(*SETTINGS, f"output_dir={tmp_path / 'moved'}")
    assert resumed.returncode == 0, resumed.stderr
    assert not resumed.stderr
    assert not (tmp_path / "killed").exists()
    assert "resuming from" in resumed.stdout
    assert "epoch 1/" not in resumed.stdout
    assert "epoch 3/" in resumed.stdout
    assert_equal(folder, uninterrupted)


class Stopped(BaseException):
    """Stands for a kill."""


def stop_at(patch: pytest.MonkeyPatch, number: int) -> None:
    """Stop after a checkpoint to resume from was written this many times."""
    save, written = AtomicCheckpointIO.save_checkpoint, []

    def stopping(self, checkpoint, path, storage_options=None):
        save(self, checkpoint, path, storage_options)
        written.append(Path(path).name)
        if written.count("last.ckpt") == number:
            raise Stopped

    patch.setattr(AtomicCheckpointIO, "save_checkpoint", stopping)


@pytest.mark.parametrize(
    ("options", "stops", "expected"),
    [
        ((), (1, 5), (1, 6)),  # interrupted in its first step, and again five steps later
        pytest.param(("data.num_workers=2",), (3,), (3,), marks=pytest.mark.slow),  # its processes have read further
        (("trainer.accumulate_grad_batches=3",), (2, 1), (6, 9)),  # after complete optimiser steps
    ],
    ids=["twice", "processes", "accumulation"],
)
def test_an_epoch_goes_on_behind_the_last_step(
    config, uninterrupted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options, stops, expected
):
    def run(folder: Path) -> Path:
        return run_experiment(config(*SETTINGS, EVERY_STEP, *options, f"output_dir={folder}"))[0].parent

    for number, batches in zip(stops, expected, strict=True):
        with monkeypatch.context() as patch:
            stop_at(patch, number)
            with pytest.raises(Stopped):
                run(tmp_path)
        assert steps(next(tmp_path.glob("*/fold0/last.ckpt"))) == batches
    resumed = run(tmp_path)
    assert_equal(resumed, run(tmp_path / "uninterrupted") if "accumulate" in "".join(options) else uninterrupted)


def test_a_checkpoint_is_never_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A process that is killed while writing keeps the previous checkpoint."""
    io = AtomicCheckpointIO()
    io.save_checkpoint({"epoch": 1}, tmp_path / "last.ckpt")

    def killed(_: object, file: BinaryIO) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            io.save_checkpoint({"epoch": 2}, tmp_path / "last.ckpt")
    assert torch.load(tmp_path / "last.ckpt") == {"epoch": 1}
    io.save_checkpoint({"epoch": 3}, tmp_path / "last.ckpt")
    assert torch.load(tmp_path / "last.ckpt") == {"epoch": 3}


def test_interrupt_while_a_checkpoint_is_written_stays_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """torch closes its archive after the interrupt, finds it incomplete and raises a RuntimeError instead."""
    AtomicCheckpointIO().save_checkpoint({"value": torch.zeros(1)}, tmp_path / "last.ckpt")
    before = (tmp_path / "last.ckpt").read_bytes()
    real, real_close = torch.serialization._save, torch.serialization._open_zipfile_writer_buffer.__exit__

    def interrupted_save(obj: Any, archive: Any, *args: Any) -> None:
        real(obj, archive, *args)
        raise KeyboardInterrupt

    def close(writer: Any, *details: Any) -> None:
        real_close(writer, *details)
        raise RuntimeError("unexpected pos 64 vs 0")

    monkeypatch.setattr(torch.serialization, "_save", interrupted_save)
    monkeypatch.setattr(torch.serialization._open_zipfile_writer_buffer, "__exit__", close)
    with pytest.raises(KeyboardInterrupt):
        AtomicCheckpointIO().save_checkpoint({"value": torch.ones(1)}, tmp_path / "last.ckpt")
    assert (tmp_path / "last.ckpt").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
