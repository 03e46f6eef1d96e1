"""Lost, torn and foreign files of a run: one line, or made again; nothing else is lost."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.figure
import pytest
import torch

import seenet.training.artifacts
from seenet.core.locks import Lock, hold_lock
from seenet.reporting.html_report import write_report
from seenet.training.auto_compile import COMPILE_DECISION_FILE
from seenet.training.checkpoints import AtomicCheckpointIO
from seenet.training.run import run_experiment
from support.console import SMALL, script

SETTINGS = (*SMALL, "fold=0", "noise=[clean,snr5]")
SCRIPT = str(Path(sys.executable).with_name("seenet-train"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run's outputs."""
    folder = tmp_path_factory.mktemp("finished")
    done = script("seenet-train", folder)(*SETTINGS)
    assert done.returncode == 0, done.stderr
    return folder / "outputs"


@pytest.fixture
def run(finished: Path, tmp_path: Path, seenet_train) -> Callable[[], subprocess.CompletedProcess[str]]:
    """Run the same command on a copy of the finished run."""
    shutil.copytree(finished, tmp_path / "outputs")
    return lambda: seenet_train(*SETTINGS)


def results(outputs: Path) -> dict[str, bytes]:
    return {p.relative_to(outputs).as_posix(): p.read_bytes() for p in outputs.rglob("*predictions.csv")}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    """Change one byte in the middle, which no length tells."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def another_model(path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.zeros(3)}, "epoch": 0, "classes": []}, path)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "lost": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "flipped": flip,
    "text": lambda path: path.write_text("not what was there"),
    "list": lambda path: path.write_text("[]"),
    "object": lambda path: path.write_text("{}"),
    "foreign": lambda path: path.write_text(path.read_text().replace('"run_id": "', '"run_id": "f')),
    "metrics": lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | {"metrics": None})),
    "another": another_model,
}


@pytest.mark.parametrize(
    ("name", "kinds", "words", "trained_again"),
    [
        ("clean/result.json", ("lost",), "", False),
        (
            "clean/result.json",
            ("cut", "list", "foreign", "metrics"),
            "is tested again",
            False,
        ),
        ("trained.json", ("cut", "list"), "trained.json is damaged: it is trained again", True),
        ("best.ckpt", ("empty", "flipped"), "best.ckpt is damaged", True),
        ("dev_predictions.csv", ("lost", "cut", "text"), "", False),
    ],
)
def test_damaged_file_is_made_again(
    run, finished: Path, tmp_path: Path, name: str, kinds: tuple[str, ...], words: str, trained_again: bool
):
    """A result is missing, too, so that the fold is worked on."""
    (fold,) = tmp_path.glob("outputs/*/fold0")
    for kind in kinds:
        (noisy,) = fold.glob("snr5*/result.json")
        noisy.unlink()
        DAMAGE[kind](fold / name)
        done = run()
        assert (done.returncode, done.stderr) == (0, ""), kind
        assert words in done.stdout, kind
        assert ("epoch 1/" in done.stdout) == trained_again, kind
        assert results(tmp_path / "outputs") == results(finished), kind
    assert "already complete, reusing results" in run().stdout


@pytest.mark.parametrize("kind", ["lost", "empty", "cut", "text"])
def test_damaged_curves_are_a_line(run, tmp_path: Path, kind: str):
    (fold,) = tmp_path.glob("outputs/*/fold0")
    DAMAGE[kind](fold / "curves.csv")
    done = run()
    assert (done.returncode, done.stderr) == (0, "")
    assert len([line for line in done.stdout.splitlines() if "curves" in line and line.startswith("! ")]) <= 1
    assert "checkpoints, predictions and pictures" in done.stdout


@pytest.mark.parametrize("name", ["curves.csv", "dev_predictions.csv", "clean/predictions.csv", "clean/embeddings.npy"])
def test_report_reads_a_run_with_a_lost_file(finished: Path, tmp_path: Path, name: str):
    outputs = tmp_path / "outputs"
    shutil.copytree(finished, outputs)
    (fold,) = outputs.glob("*/fold0")
    (fold / name).unlink()
    assert write_report([outputs], tmp_path / "report").is_file()


def stop_after(patch: pytest.MonkeyPatch, number: int) -> None:
    save, written = AtomicCheckpointIO.save_checkpoint, []

    def stopping(self, checkpoint, path, storage_options=None):
        save(self, checkpoint, path, storage_options)
        written.append(Path(path).name)
        if written.count("last.ckpt") == number:
            raise KeyboardInterrupt

    patch.setattr(AtomicCheckpointIO, "save_checkpoint", stopping)


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_damaged_checkpoint_starts_training_again(
    config, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys, name: str
):
    cfg = config(*SETTINGS, f"output_dir={tmp_path}")
    kinds = ("lost", "another") if name == "best.ckpt" else ("empty", "flipped", "another")
    for kind in kinds:
        with monkeypatch.context() as patch:
            stop_after(patch, 1)
            with pytest.raises(KeyboardInterrupt):
                run_experiment(cfg)
        (fold,) = tmp_path.glob("*/fold0")
        DAMAGE[kind](fold / name)
        capsys.readouterr()
        run_experiment(cfg)
        printed = capsys.readouterr().out
        assert f"{name} is damaged (" in printed, kind
        assert "training starts again" in printed, kind
        assert "epoch 1/2" in printed, kind
        assert results(tmp_path) == results(finished), kind
        shutil.rmtree(tmp_path / fold.parent)


def test_failing_pictures_and_sounds_are_warnings(seenet_train, finished: Path, tmp_path: Path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no glyph\nno font")

    monkeypatch.setattr(matplotlib.figure.Figure, "subplots", fail)
    monkeypatch.setattr(matplotlib.figure.Figure, "add_subplot", fail)
    monkeypatch.setattr(seenet.training.artifacts.soundfile, "write", fail)
    done = seenet_train(*SETTINGS)
    assert (done.returncode, done.stderr) == (0, "")
    for what in ("curves.png", "confusion.png", "mistakes"):
        (line, *_) = (line for line in done.stdout.splitlines() if line.startswith("! ") and what in line)
        assert line.endswith("no glyph no font")
    assert results(tmp_path / "outputs") == results(finished)


def test_training_is_finished_before_a_picture_is_drawn(config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A crash in the middle of drawing, which no handler sees."""

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    cfg = config(*SMALL, "fold=0", f"output_dir={tmp_path}")
    with monkeypatch.context() as patch:
        patch.setattr(seenet.training.artifacts, "plot_learning_curves", crash)
        with pytest.raises(KeyboardInterrupt):
            run_experiment(cfg)
    (fold,) = tmp_path.glob("*/fold0")
    assert (fold / "trained.json").is_file()
    assert not (fold / "last.ckpt").exists()


def test_foreign_compile_json_is_measured_again(finished: Path):
    from seenet.runs.results import read_object

    (run,) = finished.glob("synthetic-*")
    for content in ("", "[1]", '{"compile": true}', "\xff"):
        (run / COMPILE_DECISION_FILE).write_text(content, encoding="latin-1")
        assert read_object(run / COMPILE_DECISION_FILE, ("compile", "measured_on")) is None
    (run / COMPILE_DECISION_FILE).unlink()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds tmp_path/x.lock."""
    code = f"""
from pathlib import Path
from seenet.core.locks import hold_lock
with hold_lock(Path({str(tmp_path / "x.lock")!r}), "x"):
    print("held", flush=True)
    input()
"""
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_waiting_names_the_holder_and_a_killed_one_blocks_nothing(holder, tmp_path: Path, capsys):
    lock = Lock(tmp_path / "x.lock", "fold 0")
    assert [lock.try_acquire() for _ in range(3)] == [False] * 3
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"fold 0: process {holder.pid} on ")
    assert line.endswith("; waiting")
    holder.kill()
    holder.wait()
    assert lock.try_acquire()
    lock.release()
    with hold_lock(tmp_path / "x.lock", "fold 0"):
        assert json.loads((tmp_path / "x.lock.holder").read_text())["pid"] != holder.pid
    assert not (tmp_path / "x.lock.holder").exists()


def test_a_file_system_without_locks_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    import errno

    def none(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("seenet.core.locks.FileLock.acquire", none)
    with hold_lock(tmp_path / "x.lock", "fold 0"):
        pass
    assert capsys.readouterr().out.startswith("! fold 0: the file system has no locks")


@pytest.mark.slow
def test_second_command_waits_for_the_fold_and_reuses_it(finished: Path, tmp_path: Path):
    """This process holds the fold until the command says that it waits, and finishes the fold meanwhile."""
    command = [SCRIPT, *SETTINGS]
    (run,) = finished.glob("synthetic-*")
    locks = tmp_path / "outputs/.locks"
    locks.mkdir(parents=True)
    with hold_lock(locks / f"{run.name}-fold0.lock", "fold 0"):
        second = subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = next(line for line in second.stdout if "waiting" in line)
        shutil.copytree(run, tmp_path / "outputs" / run.name)
    printed, errors = second.communicate(timeout=300)
    assert f"process {os.getpid()} on " in line
    assert second.returncode == 0, errors
    assert "already complete, reusing results" in printed
