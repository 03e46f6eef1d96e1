"""Console scripts: help, errors, reuse, encodings, completion, progress."""

import json
import os
import pty
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from seenet.cli.overrides import quote_override
from support.console import SMALL, Script, script
from support.forked import use_ascii_streams

SCRIPT = str(Path(sys.executable).with_name("seenet-train"))


HEAVY = ("torch", "lightning", "transformers", "sklearn", "matplotlib", "librosa", "scipy")


LIGHT_COMMANDS: list[tuple[str, list[str]]] = [
    ("train", ["--help"]),
    ("train", ["aug=emb"]),
    ("train", ["aug=[ebm,ebm]"]),
    ("train", ["agu=ebm"]),
    ("train", ["~pooling"]),
    ("train", ["seed=x"]),
    ("train", ["dataset=ravdess"]),
    ("train", ["dataset=csv", "dataset.table=/nowhere.csv"]),
    ("train", ["dataset=folder", "dataset.root=a=b"]),
    ("train", ["backbone.path=/nowhere"]),
    ("train", ["--config-dir=/nowhere"]),
    ("train", ["-m", "aug=emb,ebm"]),
    ("data", ["check", "dataset=ravdess"]),
    ("data", ["look"]),
    ("data", ["--help"]),
    ("report", ["--help"]),
]

_FORK_COMMANDS = """
import json, os, sys, traceback
from seenet.cli import data, report, train

heavy, commands = json.loads(sys.argv[1])
for number, (command, arguments) in enumerate(commands):
    if os.fork() == 0:
        for descriptor, name in ((1, "output"), (2, "errors")):
            os.dup2(os.open(f"{number}.{name}", os.O_WRONLY | os.O_CREAT), descriptor)
        sys.argv[1:] = arguments
        try:
            globals()[command].main()
        except BaseException as error:
            if not isinstance(error, SystemExit):
                traceback.print_exc()
        print("\\nHEAVY", *(name for name in heavy if name in sys.modules), flush=True)
        sys.stderr.flush()
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def light_runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, str, list[str]]]:
    """Output, errors and imported heavy packages of each of `LIGHT_COMMANDS`, forked from one fresh interpreter."""
    folder = tmp_path_factory.mktemp("light")
    given = json.dumps([HEAVY, LIGHT_COMMANDS])
    subprocess.run([sys.executable, "-c", _FORK_COMMANDS, given], cwd=folder, check=True)
    runs = []
    for number in range(len(LIGHT_COMMANDS)):
        texts = [(folder / f"{number}.{name}").read_text(encoding="utf-8") for name in ("output", "errors")]
        output, _, heavy = texts[0].rpartition("\nHEAVY")
        runs.append((output, texts[1], heavy.split()))
    return runs


def test_help_lists_groups_and_imports_nothing_slow(light_runs):
    output, _, heavy = light_runs[0]
    assert heavy == []
    for words in (
        "  aug         ",
        "ebm, gaussian_snr, mixup, none, pitch, speed",
        "dataset",
        "wavlm_tiny",
        "-m aug=ebm,mixup,none",
    ):
        assert words in output
    assert "$" not in output.replace('"$(', ""), "no placeholder is left"


@pytest.mark.parametrize(
    "number", range(1, len(LIGHT_COMMANDS)), ids=lambda number: " ".join(LIGHT_COMMANDS[number][1])
)
def test_errors_and_help_import_nothing_slow(light_runs, number: int):
    output, errors, heavy = light_runs[number]
    assert heavy == []
    assert "seenet-" in output or errors.startswith("seenet: error: "), errors


def test_cfg_job_prints_choices_and_yaml(seenet_train):
    run = seenet_train("--cfg", "job", "aug=mixup")
    assert "# aug: ebm, gaussian_snr, mixup, none, pitch, speed" in run.stdout
    assert list(yaml.safe_load(run.stdout)["aug"]) == ["copies", "mixup"]


@pytest.fixture(scope="module")
def corpus(cache: Path) -> tuple[str, ...]:
    """Settings of a small, prepared synthetic corpus."""
    settings = SMALL[:2]
    assert script("seenet-data", cache)("prepare", *settings).returncode == 0
    return settings


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
        # Overrides
        (["foo"], ["foo: expected NAME=VALUE"]),
        (["=5"], ["=5: expected NAME=VALUE"]),
        (["aug=[ebm"], ["aug=[ebm: expected one of ebm"]),
        (["aug=[ebm,ebm]"], ["aug=[ebm,ebm]: 'ebm' is listed twice"]),
        (["-m", "aug=none,[ebm,ebm]"], ["'ebm' is listed twice"]),
        (["noise=[clean,clean]"], ["'clean' is listed twice"]),
        (["backbone=[wavlm_tiny,hubert_tiny]"], ["backbone=[wavlm_tiny,hubert_tiny]: expected one of ast, data2vec"]),
        (["seed=0,1"], ["seed=0,1: a sweep needs -m"]),
        (["dataset=csv", "dataset.tabel=x"], ["did you mean 'dataset.table'?"]),
        (["--resolve"], ["--resolve"]),
        (["--config-dir=/nowhere"], ["/nowhere"]),
        (["--config-name=x"], ["'x'"]),
        # Deletions
        *(([f"~{name}"], [f"'{name}' is missing"]) for name in ("pooling", "aux_task", "trainer", "protocol")),
        *(([f"~{name}"], [f"'{name}' is missing"]) for name in ("optim", "logger", "fold", "sweep")),
        (["~backbone"], ["backbone.recipe.batch_size"]),
        (["~seed"], ["seed"]),
        (["~data"], ["'data'"]),
        (["~dataset"], ["'dataset.name' is missing"]),
        (["~aug"], ["aug names no augmentation"]),
        (["~noise"], ["noise names no condition"]),
        (["~backbone.name"], ["'backbone.name' is missing"]),
        (["~dataset.folds"], ["'dataset.folds' is missing"]),
        (["~data._target_"], ["data._target_ is missing"]),
        (["~trainer.max_epochs"], ["trainer.max_epochs is missing"]),
        (["~backbone.recipe"], ["backbone.recipe"]),
        (["~output_dir"], ["output_dir"]),
        # Values
        (["fold=[]"], ["fold=[]: expected all, or numbers from 0 to 2"]),
        (["fold=[[0]]"], ["fold=[0]: expected all"]),
        (["seed=true"], ["seed=True: expected a whole number"]),
        (["output_dir=5"], ["output_dir=5: expected text", "'output_dir=\"5\"'"]),
        (["output_dir="], ["output_dir=: expected text"]),
        (["output_dir=null"], ["output_dir"]),
        (["sweep.dry=5"], ["prerequisites are missing"]),
        (["noise.source=violet"], ["noise.source='violet'"]),
        (["aug.ebm.ratio_db=[a,b]"], ["aug.ebm.ratio_db=['a', 'b']: expected a list, each item a whole number"]),
        (["protocol.allow_leaks=[5]"], ["protocol.allow_leaks=[5]"]),
        (["optim.fused=x"], ["optim.fused=x: expected true or false or null"]),
        (["optim.rate=1"], ["no setting 'optim.rate'"]),
        (["+optim.rate=1"], ["optim.rate=1: there is no such setting", "lr"]),
        (["+logger.rate=1"], ["logger.rate=1: there is no such setting"]),
        (["logger=csv", "+logger.prefix=5"], ["logger.prefix=5: expected text"]),
        (["pooling._target_=nowhere.X"], ["pooling._target_=nowhere.X cannot be imported"]),
        (["pooling._target_=os.getcwd"], ["pooling._target_=os.getcwd"]),
        (["-m", "seed=range(0,0)"], ["no job of the sweep wrote"]),
        (["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=0", "seed=0,1"], []),
        (["-m", "hydra.sweep.dir=null", "seed=0,1"], ["hydra.sweep.dir=null", "not Optional"]),
    ],
)
def test_invalid_setting_is_reported_in_one_line(seenet_train, corpus, arguments: list[str], words: list[str]):
    other_corpus = any("dataset=" in word or word == "~dataset" for word in arguments)
    run = seenet_train(*arguments, *([] if other_corpus else corpus))
    assert run.returncode == 1
    lines = run.stderr.strip().splitlines()
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith("seenet: error: ")
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(
    "value",
    [
        *("data (v2)", "a=b", "x, y", "{new}", "[old]", "50% [old]", "it's", 'a "quoted" name', "a#b;c&d!", "~/x"),
        *("René", "录音", "a${b}", "back\\slash (1)\\", "2024", "null", '"unbalanced', "{W: angry"),
    ],
)
def test_override_error_suggests_a_valid_quoted_form(seenet_data, value: str):
    """A shell passes the suggested form on, and Hydra reads the intended text."""
    run = seenet_data("check", "dataset=folder", f"dataset.root={value}")
    lines = run.stderr.strip().splitlines()
    assert run.returncode == 1
    assert len(lines) == 1, run.stderr
    meant = value.removeprefix('"')
    form = quote_override(f"dataset.root={meant}")
    if value != "null":  # which is a value of its own
        assert f"dataset.root='{meant}'" in lines[0] or lines[0].endswith(form), lines[0]
    (word,) = shlex.split(form)
    read = OverridesParser.create().parse_override(word).value()
    assert OmegaConf.create({"b": "reference", "root": read}).root == meant


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        ("[生气,very happy,سعيد]", ["生气", "very happy", "سعيد"]),
        ("[生气,'a, b',it\\'s]", ["生气", "a, b", "it\\'s"]),
        ("[生气,null,back\\\\]", ["生气", "null", "back\\\\"]),
    ],
)
def test_override_error_suggests_classes_as_a_list(seenet_train, value: str, meant: list[str]):
    run = seenet_train(f"classes={value}", "--cfg", "job")
    assert run.returncode == 1
    form = quote_override(f"classes={value}")
    assert run.stderr.strip().endswith(form), run.stderr
    (word,) = shlex.split(form)
    assert OmegaConf.to_container(OmegaConf.create(OverridesParser.create().parse_override(word).value())) == meant


@pytest.mark.parametrize(
    "override",
    [
        *("backbone.attention=fast", "backbone.fast_layers=5", "backbone.checkpointing=x", "backbone.path=/nowhere"),
        *("data.num_workers=-1", "data.num_workers=x", "trainer.gradient_clip_val=-1", "trainer.devices=0"),
        *("trainer.checkpoint_minutes=-1", "trainer.precision=64", "trainer.strategy=x", "trainer.compile=5"),
        *("+trainer.rate=1", "+logger.rate=1", "noise.source=violet", "noise.seed=x", "sweep.report=5"),
        *("dataset.on_bad_file=x", "fold=[]", "aug=[ebm,ebm]", "output_dir="),
    ],
)
def test_settings_are_validated_when_results_are_reused(finished, override: str):
    """None of these settings is part of the run's identity, so a finished run is found before they are used."""
    run = finished(override)
    assert run.returncode == 1
    assert len(run.stderr.strip().splitlines()) == 1, run.stderr
    assert override.lstrip("+").split("=")[0] in run.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Script:
    """Rerun a command that has its only result already."""
    again = script("seenet-train", tmp_path_factory.mktemp("finished"))
    command = [*SMALL, "fold=0", "trainer.max_epochs=1"]

    def run(*overrides: str) -> subprocess.CompletedProcess[str]:
        return again(*(word for word in command if not overrides[0].startswith(word.split("=")[0])), *overrides)

    assert again(*command).returncode == 0
    assert "already complete" in run("data.num_workers=0").stdout
    return run


ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}


def train_with_accented_names(train: Callable[..., subprocess.CompletedProcess[str]], write_tone, folder: Path) -> None:
    """Check the output of a training: accented names, signs of tables and progress bars."""
    speakers = ["René", "Zoë", "张伟"]
    rows = ["path,emotion,speaker"]
    for k in range(12):
        write_tone(folder / f"{k}.wav", 200 + 20 * k, 0.3)
        rows.append(f"{k}.wav,{('happy', 'sad')[k % 2]},{speakers[k // 4]}")
    (folder / "table.csv").write_text("\n".join(rows), encoding="utf-8")
    settings = ("dataset=csv", "dataset.table=table.csv", "dataset.folds=leave_one_speaker_out", "protocol=paper")
    run = train(*settings, "fold=0", "trainer.max_epochs=1", "data.batch_size=8")
    assert run.returncode == 0, run.stderr
    assert run.stdout.isascii()
    assert run.stderr.isascii()
    assert "Ren\\xe9" in run.stdout
    assert "mean +- std" in run.stdout


@pytest.mark.slow
def test_output_is_escaped_when_the_terminal_is_ascii(seenet_train_process, write_tone, tmp_path: Path):
    train_with_accented_names(partial(seenet_train_process, **ASCII), write_tone, tmp_path)


def test_output_is_escaped_when_the_streams_are_ascii(start_training, write_tone, tmp_path: Path):
    """As on such a terminal, but in a forked process."""

    def train(*arguments: str) -> subprocess.CompletedProcess[str]:
        return start_training(*arguments, first=(use_ascii_streams,)).finish()

    train_with_accented_names(train, write_tone, tmp_path)


def test_error_is_escaped_when_the_terminal_is_ascii(seenet_train_process):
    run = seenet_train_process("dataset=folder", "dataset.root=René", **ASCII)
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1, run.stderr
    assert run.stderr.isascii()


def test_output_accepts_every_character(tmp_path: Path):
    code = (
        "from seenet.cli.hydra_app import make_output_encodable\nmake_output_encodable()\nprint('± × – … é 张 \\udce9')"
    )
    for encoding, expected in (
        ("ascii", "+- x - ... \\xe9 \\u5f20 \\udce9"),
        ("latin-1", "± × - ... é \\u5f20 \\udce9"),
        ("utf-8", "± × – … é 张 \\udce9"),
    ):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment, check=True)
        assert run.stdout.decode(encoding).strip() == expected


def test_traceback_is_shown_when_requested(seenet_train_process):
    run = seenet_train_process("dataset=ravdess", HYDRA_FULL_ERROR="1")
    assert run.returncode != 0
    assert "Traceback" in run.stderr


def test_missing_weights_are_reported_in_one_line_after_one_connection(seenet_train_process, tmp_path: Path):
    """transformers alone retries an unreachable hub with pauses; the hub here closes every connection."""
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


def test_unreachable_hub_is_reported_in_one_line(seenet_train_process, tmp_path: Path):
    run = seenet_train_process("backbone=hubert_base", HF_HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert run.returncode == 1
    assert "HF_HUB_OFFLINE" in run.stderr


def test_bash_completes_groups_and_choices(tmp_path: Path):
    """Call the completion function in bash."""
    script = (
        f'export PATH={Path(SCRIPT).parent}:$PATH\neval "$(seenet-train -sc install=bash)"\n'
        'COMP_LINE="seenet-train aug="; COMP_POINT=${#COMP_LINE}; COMP_WORDS=(seenet-train "aug="); COMP_CWORD=1\n'
        "hydra_bash_completion; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
    )
    run = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert set(run.stdout.split()) >= {"aug=ebm", "aug=mixup", "aug=none"}, run.stdout + run.stderr


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{}, ASCII])
def test_progress_and_table_appear_on_a_terminal(tmp_path: Path, environment: dict[str, str]):
    """Progress bars and the table appear on a pseudo-terminal."""
    main, side = pty.openpty()
    command = [SCRIPT, "fold=0", "dataset.speakers=6", "dataset.clips=2", "trainer.max_epochs=1"]
    environment = {**os.environ, "TERM": "xterm", **environment}
    process = subprocess.Popen(command, stdout=side, stderr=side, cwd=tmp_path, env=environment)
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
    assert text.isascii() or "PYTHONIOENCODING" not in environment
    assert "UA %" in text
    assert "it/s" in text
