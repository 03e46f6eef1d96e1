"""Full, read-only and wrong places for outputs and cache: one line, and the same command resumes."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from seenet.models.lightning_module import EmotionModel
from support.console import SMALL, script
from support.forked import limit_file_size

SETTINGS = (*SMALL, "fold=0")
MiB = 1 << 20


class SmallDisk:
    """A file system in memory whose size can be changed.

    Args:
        folder: where it is mounted.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def mount(self, size: int, *options: str) -> None:
        """Mount it, or change it, with so many bytes and options."""
        mounted = os.path.ismount(self.folder)
        again = ("remount",) if mounted else ()
        settings = ",".join([*again, f"size={size}", *options])
        command = ["mount", "-t", "tmpfs", "-o", settings, "tmpfs", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert not (mounted and done.returncode), done.stderr
        if done.returncode:
            pytest.skip(f"mounting needs root: {done.stderr.strip()}")

    def unmount(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    if sys.platform != "linux" or shutil.which("mount") is None:
        pytest.skip("tmpfs is Linux's")
    small = SmallDisk(tmp_path / "disk")
    small.folder.mkdir()
    yield small
    if os.path.ismount(small.folder):
        small.unmount()


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("complete")
    done = script("seenet-train", folder)(*SETTINGS)
    assert done.returncode == 0, done.stderr
    return folder / "outputs"


def results(outputs: Path) -> dict[str, bytes]:
    return {p.relative_to(outputs).as_posix(): p.read_bytes() for p in outputs.rglob("*predictions.csv")}


def error_of(done: subprocess.CompletedProcess[str]) -> str:
    """The one line of an error, without progress bars."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("seenet: "))
    return line


def grow(
    disk: SmallDisk, sizes: list[int], run: Callable[[], subprocess.CompletedProcess[str]]
) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """Run a command on a disk that grows until it is large enough; gives the errors before, and the last run."""
    errors = []
    for size in sizes:
        disk.mount(size)
        done = run()
        if done.returncode == 0:
            return errors, done
        errors.append(error_of(done))
        assert "No space left on device" in errors[-1]
        assert "run the same command to resume" in errors[-1]
    raise AssertionError(f"not even {sizes[-1]} bytes are enough: {errors[-1]}")


def test_full_disk_for_outputs_is_a_line_and_resumes(seenet_train, disk: SmallDisk, complete: Path):
    """3 MB hold the best checkpoint and not the last checkpoint of the first epoch as well."""
    errors, done = grow(disk, [3 * MiB, 60 * MiB], lambda: seenet_train(*SETTINGS, f"output_dir={disk.folder}"))
    assert len(errors) == 1
    assert done.stderr == ""
    assert not list(disk.folder.rglob("*.tmp-*"))
    assert results(disk.folder) == results(complete)


@pytest.mark.slow
def test_full_disk_for_outputs_at_every_stage(seenet_train, disk: SmallDisk, complete: Path):
    """What is complete stays; each size lets the run come a little further."""
    sizes = [k * 64 * 1024 for k in range(1, 96, 3)]
    errors, done = grow(disk, sizes, lambda: seenet_train(*SETTINGS, f"output_dir={disk.folder}"))
    assert {name for name in ("best.ckpt", "last.ckpt") if any(name in line for line in errors)} == {
        "best.ckpt",
        "last.ckpt",
    }
    assert done.returncode == 0
    assert results(disk.folder) == results(complete)


@pytest.mark.parametrize(
    "name", ["curves.csv", "trained.json", "dev_predictions.csv", "predictions.csv", "result.json"]
)
def test_full_disk_after_training_loses_no_training(
    seenet_train, complete: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    """One file after the other finds no room."""
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if target.name == name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        line = error_of(seenet_train(*SETTINGS))
    assert name in line
    done = seenet_train(*SETTINGS)
    assert (done.returncode, done.stderr) == (0, "")
    assert "epoch 1/" not in done.stdout
    assert results(tmp_path / "outputs") == results(complete)


@pytest.mark.parametrize(
    "sizes", [[MiB // 4, 3 * MiB, 60 * MiB], pytest.param([k * MiB // 4 for k in range(1, 40)], marks=pytest.mark.slow)]
)
def test_full_disk_for_the_cache_is_a_line_and_resumes(
    seenet_train, disk: SmallDisk, complete: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sizes: list[int]
):
    """The synthetic corpus, then its store."""
    monkeypatch.setenv("SEENET_CACHE", str(disk.folder))
    errors, _ = grow(disk, sizes, lambda: seenet_train(*SETTINGS))
    assert all("SEENET_CACHE=FOLDER" in line for line in errors)
    assert any("corpora" in line for line in errors)
    assert any("stores" in line for line in errors)
    assert results(tmp_path / "outputs") == results(complete)


def test_read_only_outputs_are_a_line_but_results_are_reused(
    seenet_train, disk: SmallDisk, complete: Path, monkeypatch: pytest.MonkeyPatch
):
    disk.mount(60 * MiB)
    shutil.copytree(complete, disk.folder / "outputs")
    disk.mount(60 * MiB, "ro")
    where = f"output_dir={disk.folder / 'outputs'}"
    line = error_of(seenet_train(*SETTINGS, where, "seed=1"))
    assert "Read-only file system" in line
    assert "make it writable" in line
    done = seenet_train(*SETTINGS, where)
    assert done.returncode == 0, done.stderr
    assert "already complete, reusing results" in done.stdout


def test_read_only_cache_serves_what_it_holds(
    seenet_train, disk: SmallDisk, complete: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SEENET_CACHE", str(disk.folder))
    disk.mount(60 * MiB)
    assert seenet_train(*SETTINGS, "trainer.max_epochs=1").returncode == 0
    disk.mount(60 * MiB, "ro")
    done = seenet_train(*SETTINGS)
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "outputs").items() >= results(complete).items()
    line = error_of(seenet_train(*SETTINGS, "dataset.seed=1"))
    assert "Read-only file system" in line


def test_disk_that_fails_in_mid_training_is_a_line(
    seenet_train, complete: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Every write fails from the second epoch on, as on a disk that is gone."""
    step, opened = EmotionModel.training_step, Path.open

    def failing(self: Path, mode: str = "r", *arguments, **options):
        if "w" in mode and tmp_path in self.parents:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
        return opened(self, mode, *arguments, **options)

    with monkeypatch.context() as patch:

        def training_step(self, batch, index):
            if self.current_epoch == 1:
                patch.setattr(Path, "open", failing)
            return step(self, batch, index)

        patch.setattr(EmotionModel, "training_step", training_step)
        assert "check the disk" in error_of(seenet_train(*SETTINGS))
    done = seenet_train(*SETTINGS)
    assert "resuming from" in done.stdout
    assert results(tmp_path / "outputs") == results(complete)


@pytest.mark.parametrize("place", ["output_dir", "cache", "run"])
def test_file_in_place_of_a_folder_is_a_line(
    seenet_train, complete: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
):
    file = tmp_path / "file"
    if place == "cache":
        file.write_text("")
        monkeypatch.setenv("SEENET_CACHE", str(file))
    elif place == "output_dir":
        file.write_text("")
    else:
        (run,) = complete.glob("synthetic-*")
        file.mkdir()
        (file / run.name).write_text("")
    line = error_of(seenet_train(*SETTINGS, *(() if place == "cache" else (f"output_dir={file}",))))
    assert str(file) in line


@pytest.mark.skipif(sys.platform == "win32", reason="limits are POSIX")
def test_file_that_cannot_grow_is_a_line_on_any_machine(seenet_train, start_training, complete: Path, tmp_path: Path):
    """Only last.ckpt has more than 1 MiB; the limit stands for a full disk where nothing can be mounted."""
    limited = start_training(*SETTINGS, first=(limit_file_size, MiB))
    assert "last.ckpt" in error_of(limited.finish())
    done = seenet_train(*SETTINGS)
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "outputs") == results(complete)
