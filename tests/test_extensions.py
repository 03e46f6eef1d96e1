"""A component of each kind is added with one Python file and one YAML file: the examples of docs/extending.md run."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import yaml

from seenet.core.paths import conf_dir
from seenet.corpora.synthetic.corpus import read
from support.console import SMALL, Script, process, script

DOCUMENT = Path(__file__).parents[1] / "docs" / "extending.md"
EXAMPLE = re.compile(r"^`([\w/]+\.(?:py|yaml))`:\n\n```\w+\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILES: dict[str, str] = dict(EXAMPLE.findall(DOCUMENT.read_text(encoding="utf-8")))
COMPONENTS = [tuple(Path(name).with_suffix("").parts[1:]) for name in FILES if name.endswith(".yaml")]
"""Group and choice of each example."""

DOWNLOADED = {"wavlm_plus"}
RECORDED = {"studio"}
TRAINED = [example for example in COMPONENTS if example[1] not in DOWNLOADED | RECORDED]
QUICK = (*SMALL, "trainer.max_epochs=1", "fold=0", "sweep.report=false")


def target(group: str, choice: str) -> str:
    """The import path in an example's YAML file."""
    return re.search(r"_target_: (?!seenet)(\S+)", FILES[f"my_conf/{group}/{choice}.yaml"])[1]


def default_choice(group: str) -> str:
    defaults = yaml.safe_load((conf_dir() / "train.yaml").read_text(encoding="utf-8"))["defaults"]
    return next(entry[group] for entry in defaults if isinstance(entry, dict) and group in entry)


def results(folder: Path) -> list[dict]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("result.json"))]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of all examples, outside the package."""
    folder = tmp_path_factory.mktemp("project")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def seenet_train(project: Path, monkeypatch: pytest.MonkeyPatch) -> Script:
    """Run `seenet-train` in this process, in the folder of the examples."""
    monkeypatch.syspath_prepend(project)
    return script("seenet-train", project)


@pytest.fixture(scope="module")
def recordings(project: Path) -> Path:
    """Clips of the synthetic corpus with the file names of the example's corpus, in one folder."""
    manifest = read(speakers=6, clips=2)
    folder = project / "recordings"
    folder.mkdir()
    for row in manifest.table.itertuples():
        number = int(row.utterance.rpartition("_")[2])
        shutil.copy(manifest.root / row.path, folder / f"{row.speaker}_{row.emotion}_{number:02d}.wav")
    return folder


def test_document_has_an_example_of_each_kind():
    groups = {group for group, _ in COMPONENTS}
    assert groups >= {"dataset", "backbone", "aug", "aux_task", "pooling", "noise"}
    schemes = [yaml.safe_load(FILES[name]).get("schemes", {}) for name in FILES if name.startswith("my_conf/dataset/")]
    targets = [node["_target_"] for nodes in schemes for node in nodes.values()]
    assert any(not name.startswith("seenet.") for name in targets), "a split scheme"
    for group, choice in COMPONENTS:
        if choice not in DOWNLOADED:
            assert f"{target(group, choice).partition('.')[0]}.py" in FILES


@pytest.mark.parametrize(("group", "choice"), TRAINED, ids=lambda value: value)
def test_own_component_trains_and_is_an_arm(seenet_train, project: Path, group: str, choice: str):
    default = default_choice(group)
    run = seenet_train("--config-dir", "my_conf", "-m", f"{group}={default},{choice}", *QUICK)
    assert run.returncode == 0, run.stdout + run.stderr
    own = [result for result in results(project / "outputs") if target(group, choice) in json.dumps(result["config"])]
    assert len(own) == 1
    if group == "noise":  # a condition of the same arm
        assert own[0]["noise"] == choice
        assert f"noise={choice}" in run.stdout
        return
    assert any(f"{group}={choice}" in line and " 1 " in line for line in comparison(run.stdout))
    if group in own[0] and group != "dataset":
        assert own[0][group] in (choice, [choice])


def comparison(output: str) -> list[str]:
    """The lines of the table of arms."""
    return output.partition("comparison of arms")[2].splitlines()


@pytest.mark.slow
def test_own_components_train_together_in_a_process_of_their_own(project: Path):
    run = process("seenet-train", project)(
        *("--config-dir", "my_conf", *QUICK, "output_dir=together", "dataset=synthetic_halves", "backbone=conv"),
        *("aug=[ebm,quieter]", "aux_task=loudness", "pooling=peak", "noise=[clean,telephone]"),
        PYTHONPATH=os.pathsep.join([".", *filter(None, [os.environ.get("PYTHONPATH")])]),
    )
    assert run.returncode == 0, run.stderr
    assert "backbone=conv aug=ebm+quieter aux_task=loudness" in run.stdout
    found = results(project / "together")
    assert {result["noise"] for result in found} == {"clean", "telephone"}
    for result in found:
        text = json.dumps(result["config"])
        assert all(name in text for name in ("conv.", "quieter.", "loudness.", "peak.", "halves."))
        assert result["n_folds"] == 2


def test_own_corpus_is_checked_and_trained_on(seenet_train, project: Path, recordings: Path):
    corpus = ("--config-dir", "my_conf", "dataset=studio", f"dataset.root={recordings}")
    check = script("seenet-data", project)("check", *corpus)
    assert check.returncode == 0, check.stdout + check.stderr
    assert "studio, 48 clips: OK" in check.stdout
    small = ("trainer.max_epochs=1", "data.batch_size=8", "fold=0", "output_dir=studio_outputs")
    run = seenet_train(*corpus, *small)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "\nstudio (" in run.stdout
    (result,) = results(project / "studio_outputs")
    assert (result["dataset"], result["n_folds"], result["synthetic"]) == ("studio", 5, False)


def test_own_checkpoint_needs_a_yaml_file_alone(seenet_train):
    run = seenet_train("--config-dir", "my_conf", "backbone=wavlm_plus", "--cfg", "job", "--resolve")
    assert run.returncode == 0, run.stderr
    cfg = yaml.safe_load(run.stdout)
    assert cfg["backbone"]["checkpoint"] == "microsoft/wavlm-base-plus"
    assert cfg["optim"]["lr"] == 1e-4


def test_own_experiment_is_planned(seenet_train, short_probes, project: Path):
    block = next(b for b in re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL) if "@package" in b)
    (project / "my_conf/experiment").mkdir(exist_ok=True)
    (project / "my_conf/experiment/poolings.yaml").write_text(block)
    run = seenet_train("--config-dir", "my_conf", "experiment=poolings", "sweep.dry=true", *SMALL)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "pooling=mean seed=2" in run.stdout
