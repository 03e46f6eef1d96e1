"""The wheel outside the checkout, several processes, the large backbone, commands in the documentation."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
import transformers
from hydra import compose, initialize_config_dir

from seenet.cli.overrides import register_tuned_layers
from seenet.cli.report import parse_arguments as report_arguments
from seenet.core.paths import conf_dir
from support.console import SMALL

ROOT = Path(__file__).parents[1]

VERSIONS = ["3.11", "3.12", "3.13"]
"""Supported versions of Python."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_wheel_holds_the_package_and_its_configuration(wheel: Path):
    """A cheap part of `test_wheel_runs_outside_the_checkout`."""
    package, conf = ROOT / "src/seenet", ROOT / "conf"
    expected = {f"seenet/{path.relative_to(package).as_posix()}" for path in package.rglob("*.py")}
    expected |= {f"seenet/conf/{path.relative_to(conf).as_posix()}" for path in conf.rglob("*.yaml")}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if name.endswith((".py", ".yaml"))}
        (entry_points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert archive.read(entry_points).count(b"seenet.cli.") == 3
    assert names == expected


@pytest.mark.slow
def test_wheel_runs_outside_the_checkout(wheel: Path, tmp_path: Path):
    """Install the wheel alone into a new environment that shares the dependencies of this one, but not seenet."""
    python = tmp_path / "env/bin/python"
    venv.create(tmp_path / "env")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", wheel]
    subprocess.run(pip, check=True, capture_output=True)
    (packages,) = (tmp_path / "env").glob("lib/python*/site-packages")
    (packages / "lent.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    where = subprocess.run(
        [python, "-c", "import seenet, seenet.core.paths as p; print(seenet.__file__, p.conf_dir())"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert where.count(str(packages)) == 2, "package and configuration are the wheel's own"
    command = [str(tmp_path / "env/bin/seenet-train"), "trainer.max_epochs=1", "fold=0", *SMALL[:2]]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "0 of 3" in run.stdout
    result = json.loads(next((tmp_path / "outputs").glob("*/fold0/clean/result.json")).read_text())
    assert result["git_commit"] is None


def find_interpreter(version: str) -> Path | None:
    """Find a Python of a version: this one, one on PATH, or pyenv's."""
    this = Path(sys.executable) if sys.version.startswith(f"{version}.") else None
    found = shutil.which(f"python{version}")
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for python in filter(None, (this, found and Path(found), *pyenv)):
        answer = subprocess.run([python, "-c", "import sys; print(sys.version)"], capture_output=True, text=True)
        if answer.stdout.startswith(f"{version}."):  # pyenv puts names on PATH that answer only where they are chosen
            return python
    return None


def require_interpreter(version: str) -> Path:
    python = find_interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} on PATH or among pyenv's versions")
    return python


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS[:-1])
def test_pinned_packages_exist_for_every_version(wheel: Path, tmp_path: Path, version: str):
    """pip finds every pinned package; nothing is installed."""
    subprocess.run([require_interpreter(version), "-m", "venv", tmp_path / "env"], check=True)
    pip = [tmp_path / "env/bin/python", "-m", "pip", "install", "-q", "--dry-run"]
    subprocess.run([*pip, "-c", ROOT / "constraints.txt", wheel], check=True, cwd=tmp_path)


@pytest.mark.slow
def test_wheel_installs_into_an_empty_environment(wheel: Path, tmp_path: Path):
    """Install as a user does with the newest Python and pinned versions. It takes minutes and 6 GB, which are freed."""
    python = require_interpreter(VERSIONS[-1])
    environment = tmp_path / "env"
    try:
        subprocess.run([python, "-m", "venv", environment], check=True)
        pip = [environment / "bin/python", "-m", "pip", "install", "-q", "--no-compile"]
        subprocess.run([*pip, "-c", ROOT / "constraints.txt", wheel], check=True, cwd=tmp_path)
        command = [environment / "bin/seenet-train", "trainer.max_epochs=1", "fold=0", *SMALL[:2]]
        cache = {"SEENET_CACHE": str(tmp_path / "cache")}
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, **cache})
    finally:
        shutil.rmtree(environment, ignore_errors=True)
    assert run.returncode == 0, run.stderr
    assert "0 of 3" in run.stdout


def test_supported_python_versions_agree():
    """Metadata, Makefile, README and the installation test name the same versions."""
    project = (ROOT / "pyproject.toml").read_text()
    (first, end) = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project).groups()
    assert [f"3.{minor}" for minor in range(int(first), int(end))] == VERSIONS
    assert re.findall(r"Python :: (3\.\d+)", project) == VERSIONS
    assert f"(3, {first}) <= sys.version_info < (3, {end})" in (ROOT / "Makefile").read_text()
    assert "Python 3.11, 3.12 or 3.13" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_two_processes_train_one_model(seenet_train_process, tmp_path: Path):
    """With trainer=ddp on two CPU processes each test clip counts once and files are written once."""
    run = seenet_train_process(
        *SMALL, "fold=[0,1]", "trainer=ddp", "trainer.accelerator=cpu", "trainer.devices=2", "backbone.layerdrop=0.5"
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("mean ± std") == 1, "one process speaks"
    for fold in (0, 1):
        folder = next((tmp_path / "outputs").glob(f"*/fold{fold}/clean"))
        result = json.loads((folder / "result.json").read_text())
        assert result["device"] == "2 x cpu"
        rows = (folder / "predictions.csv").read_text().splitlines()[1:]
        assert len(rows) == len({row.split(",")[0] for row in rows}) == result["n_test"] == 16
        assert sum(map(sum, result["metrics"]["confusion"])) == 16


@pytest.mark.slow
def test_large_backbone_trains_a_step(seenet_train_process, tmp_path: Path):
    """backbone=wavlm from a folder written by save_pretrained, with the architecture of wavlm-large."""
    large = transformers.WavLMConfig(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096,
        feat_extract_norm="layer", do_stable_layer_norm=True, conv_bias=False,
    )  # fmt: skip
    transformers.WavLMModel(large).save_pretrained(tmp_path / "wavlm-large")
    settings = ("dataset.speakers=3", "dataset.clips=1", "fold=0", "trainer.max_epochs=1", "data.batch_size=2")
    run = seenet_train_process("backbone=wavlm", f"backbone.path={tmp_path / 'wavlm-large'}", *settings)
    assert run.returncode == 0, run.stderr
    result = json.loads(next((tmp_path / "outputs").glob("*/fold0/clean/result.json")).read_text())
    assert result["backbone"] == "wavlm"
    assert result["config"]["optim"]["lr"] == pytest.approx(1e-4)


def test_commands_in_the_documentation_are_valid():
    """Make targets exist, overrides compose and options parse."""
    names = ("README.md", "docs/data.md", "docs/report.md", "docs/results.md", "docs/frozen.md")
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in names)
    targets = set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
    assert {"demo", "test", "demo-augmentation", "reproduce-augmentation"} <= targets
    targets |= set(re.findall(r"^\| `(reproduce-[a-z-]+)`", text, re.MULTILINE))
    targets |= {target.replace("reproduce", "demo") for target in targets}
    for target in sorted(targets):
        subprocess.run(["make", "-n", target, "DATA=/data"], cwd=ROOT, capture_output=True, check=True)
    reports = re.findall(r"^seenet-report(.*)", text, re.MULTILINE)
    assert reports
    for command in reports:
        assert report_arguments(shlex.split(command, comments=True)).folders
    commands = re.findall(r"^(?:.*bin/)?seenet-(train|data)(.*)", text.replace("\\\n", " "), re.MULTILINE)
    assert {root for root, _ in commands} == {"train", "data"}
    for root, command in commands:
        words = [word for word in shlex.split(command, comments=True) if "=" in word]
        if "-m" in command:
            words = [re.split(r",(?![^\[]*\])", word)[0] for word in words]  # a comma outside of a list
        register_tuned_layers(words)
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            compose(root, overrides=words)


def test_constraints_name_no_machine():
    """Constraints hold names and versions, no address and no absolute path."""
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+]+", line), line


def test_torch_and_torchaudio_versions_match():
    project = (ROOT / "pyproject.toml").read_text()
    ranges = dict(re.findall(r'"(torch|torchaudio)(>=[^"]+)"', project))
    assert ranges["torch"] == ranges["torchaudio"]
    pins = dict(re.findall(r"^(torch|torchaudio)==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    assert pins["torch"] == pins["torchaudio"] == "2.11.0"
