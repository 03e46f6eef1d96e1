"""The console script as a person meets it."""

import os
import pty
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

SCRIPT = str(Path(sys.executable).with_name("seenet-train"))


def test_help_is_grouped_and_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['seenet-train', '--help']\n"
        "from seenet.cli.train import main\n"
        "try:\n    main()\nfinally:\n"
        "    heavy = {'torch', 'lightning', 'transformers', 'sklearn', 'matplotlib', 'librosa'} & set(sys.modules)\n"
        "    print('HEAVY', sorted(heavy))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "HEAVY []" in run.stdout
    for words in (
        "  aug         ",
        "ebm, gaussian_snr, mixup, none, pitch, speed",
        "dataset",
        "wavlm_tiny",
        "-m aug=ebm,mixup,none",
    ):
        assert words in run.stdout
    assert "$" not in run.stdout.replace('"$(', ""), "no placeholder is left"


def test_help_answers_quickly():
    """The limit is 1.5 s, once in three tries, for the machine is shared."""

    def seconds() -> float:
        start = time.perf_counter()
        subprocess.run([SCRIPT, "--help"], check=True, capture_output=True)
        return time.perf_counter() - start

    assert any(seconds() < 1.5 for _ in range(3))


def test_cfg_job_is_yaml_with_the_choices_on_top(seenet_train):
    run = seenet_train("--cfg", "job", "aug=mixup")
    assert "# aug: ebm, gaussian_snr, mixup, none, pitch, speed" in run.stdout
    assert list(yaml.safe_load(run.stdout)["aug"]) == ["mixup"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["aug=emb"], ["'aug/emb'", "expected one of ebm, gaussian_snr, mixup, none, pitch, speed"]),
        (["output_dir=/proc/nowhere"], ["/proc/nowhere"]),
        (["dataset=ravdess", "dataset.root="], ["dataset.root=''"]),
        (["agu=ebm"], ["no setting 'agu'", "did you mean 'aug'?"]),
        (["trainer.epochs=3"], ["no setting 'trainer.epochs'", "did you mean 'trainer.max_epochs'?"]),
        (["dataset=ravdess"], ["dataset.root=FOLDER", "SEENET_DATA"]),
        (["dataset=ravdess", "dataset.root=/nowhere"], ["/nowhere"]),
        (["seed=x"], ["seed=x"]),
        (["data.batch_size"], ["data.batch_size"]),
        (["data.batch_size=foo"], ["data.batch_size=foo", "whole number", "auto"]),
        (["noise=null"], ["noise=null", "expected one of", "clean"]),
    ],
)
def test_a_mistake_is_one_line(seenet_train, arguments: list[str], words: list[str]):
    run = seenet_train(*arguments)
    assert run.returncode == 1
    lines = run.stderr.strip().splitlines()
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith("seenet: error: ")
    for word in words:
        assert word in lines[0]


def test_a_traceback_for_who_asks(seenet_train_process):
    run = seenet_train_process("dataset=ravdess", HYDRA_FULL_ERROR="1")
    assert run.returncode != 0
    assert "Traceback" in run.stderr


def test_missing_weights_are_one_line_after_one_connection(seenet_train_process, tmp_path: Path):
    """transformers by itself asks a dead hub several times, with pauses; the hub here closes every connection."""
    connections = 0
    with socket.create_server(("127.0.0.1", 0)) as server:

        def close_connections() -> None:
            nonlocal connections
            while True:
                try:
                    server.accept()[0].close()
                except OSError:  # the server is closed
                    return
                connections += 1

        threading.Thread(target=close_connections, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        run = seenet_train_process("backbone=wavlm", HF_HOME=str(tmp_path), HF_ENDPOINT=address)
        server.shutdown(socket.SHUT_RDWR)
    assert run.returncode == 1
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr
    for words in ("microsoft/wavlm-large", "backbone.path=FOLDER", "_tiny"):
        assert words in run.stderr
    assert connections == 1


def test_a_weights_cache_without_network_is_one_line(seenet_train_process, tmp_path: Path):
    run = seenet_train_process("backbone=hubert_base", HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert run.returncode == 1
    assert "HF_HUB_OFFLINE" in run.stderr


def test_bash_completes_groups_and_choices(tmp_path: Path):
    """The completion function itself, in a real bash."""
    script = (
        f'export PATH={Path(SCRIPT).parent}:$PATH\neval "$(seenet-train -sc install=bash)"\n'
        'COMP_LINE="seenet-train aug="; COMP_POINT=${#COMP_LINE}; COMP_WORDS=(seenet-train "aug="); COMP_CWORD=1\n'
        "hydra_bash_completion; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert set(run.stdout.split()) >= {"aug=ebm", "aug=mixup", "aug=none"}, run.stdout + run.stderr


@pytest.mark.slow
def test_progress_on_a_terminal_does_not_break(tmp_path: Path):
    """A real pseudo-terminal: the bars are drawn, the table is printed."""
    main, side = pty.openpty()
    command = [SCRIPT, "fold=0", "dataset.speakers=6", "dataset.clips=2", "trainer.max_epochs=1"]
    process = subprocess.Popen(command, stdout=side, stderr=side, cwd=tmp_path, env={**os.environ, "TERM": "xterm"})
    os.close(side)
    output = b""
    while True:
        try:
            chunk = os.read(main, 65536)
        except OSError:  # Linux says so when the other side has closed
            break
        if not chunk:
            break
        output += chunk
    assert process.wait() == 0
    text = output.decode(errors="replace")
    assert "UA %" in text
    assert "it/s" in text
