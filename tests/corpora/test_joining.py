"""Cross-corpus tests and leave-one-corpus-out folds."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seenet.core.errors import SeenetError
from seenet.corpora.folds import make_folds
from seenet.corpora.leak_audit import audit_leaks
from seenet.corpora.loading import build_scheme, load_corpus
from seenet.corpora.protocols import Paper, Strict
from seenet.corpora.waveform_store import open_store
from seenet.reporting.result_loader import load_results as load_results
from seenet.training.run import run_experiment
from support.console import SMALL

SYNTHETIC = "{name: synthetic, speakers: 6, clips: 2}"


@pytest.fixture
def ravdess(tmp_path: Path) -> Path:
    """Four actors of RAVDESS, two clips of each emotion."""
    folder = tmp_path / "RAVDESS"
    rng = np.random.default_rng(0)
    for actor in (1, 2, 3, 4):
        for emotion in range(1, 9):
            for statement in (1, 2):
                path = folder / f"Actor_{actor:02d}" / f"03-01-{emotion:02d}-01-{statement:02d}-01-{actor:02d}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, rng.normal(0, 0.1, 4800), 48000)
    return folder


@pytest.fixture
def savee(tmp_path: Path) -> Path:
    """Two speakers of SAVEE with three emotions."""
    folder = tmp_path / "SAVEE" / "AudioData"
    rng = np.random.default_rng(1)
    for speaker in ("DC", "JE"):
        for code in ("a", "h", "sa"):
            for number in (1, 2, 3):
                path = folder / speaker / f"{code}{number:02d}.wav"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, rng.normal(0, 0.1, 4410), 44100)
    return folder.parent


def test_run_tests_on_another_corpus(config, ravdess: Path, tmp_path: Path, capsys):
    test = f"test_dataset={{name: ravdess, root: {ravdess}, merge: {{calm: neutral}}}}"
    folders = run_experiment(config(*SMALL, test, f"output_dir={tmp_path}"))
    result = json.loads((folders[0] / "result.json").read_text())
    assert len(folders) == 1
    assert result["dataset"] == "synthetic_to_ravdess"
    assert (result["test_part"], result["n_folds"]) == ("test_ravdess", 1)
    assert result["n_train"] + result["n_dev"] == 48
    assert result["n_test"] == 4 * 2 * 5, "happy, sad, angry, neutral, and calm counted as neutral"
    assert result["corpora"]["ravdess"] == {
        "parser": "ravdess",
        "clips": 64,
        "merged": {"calm": "neutral"},
        "merged_clips": {"calm": 8},
        "dropped": {"disgust": 8, "fearful": 8, "surprised": 8},
    }
    assert result["audit"]["verdict"] == "clean"
    printed = capsys.readouterr().out
    assert "calm 8 counted as neutral" in printed
    assert "! ravdess: calm is counted as neutral (8 clips)" in printed
    assert "surprised 8 left out" in printed
    speakers = {line.split(",")[1] for line in (folders[0] / "predictions.csv").read_text().splitlines()[1:]}
    assert speakers == {f"ravdess/{actor}" for actor in (1, 2, 3, 4)}


def test_run_trains_once_for_several_test_corpora(config, ravdess: Path, savee: Path, tmp_path: Path, capsys):
    tests = f"test_dataset=[{{name: ravdess, root: {ravdess}}},{{name: savee, root: {savee}}}]"
    folders = run_experiment(config(*SMALL, tests, f"output_dir={tmp_path}"))
    printed = capsys.readouterr().out
    assert printed.count("epoch 1/") == 1
    results = [json.loads((folder / "result.json").read_text()) for folder in folders]
    assert [r["test_part"] for r in results] == ["test_ravdess", "test_savee"]
    assert [r["classes"] for r in results] == [["happy", "sad", "angry"]] * 2, "the classes of all three corpora"
    assert [r["n_test"] for r in results] == [24, 18]
    assert {r["trained_fold"] for r in results} == {0}
    assert (folders[0].parents[1] / "curves.png").is_file()
    run_experiment(config(*SMALL, tests, f"output_dir={tmp_path}", "fold=1"))
    assert "epoch 1/" not in capsys.readouterr().out


@pytest.mark.parametrize("protocol", ["strict", pytest.param("paper", marks=pytest.mark.slow)])
def test_run_computes_only_new_results_when_a_test_corpus_is_added(
    config, ravdess: Path, savee: Path, tmp_path: Path, capsys, protocol: str
):
    three = ("classes=[happy,sad,angry]", f"protocol={protocol}", f"output_dir={tmp_path}")
    first, second = f"{{name: ravdess, root: {ravdess}}}", f"{{name: savee, root: {savee}}}"

    def run(*corpora: str) -> dict[str, Path]:
        folders = run_experiment(config(*SMALL, *three, f"test_dataset=[{','.join(corpora)}]"))
        return {json.loads((f / "result.json").read_text())["test_part"]: f for f in folders}

    [alone] = run(first).values()
    before = (alone / "result.json").read_text()
    capsys.readouterr()
    both = run(second, first)
    assert capsys.readouterr().out.count("epoch 1/") == (0 if protocol == "strict" else 1)
    assert both["test_ravdess"] == alone
    assert (alone / "result.json").read_text() == before
    assert run(second) == {"test_savee": both["test_savee"]}
    assert "epoch 1/" not in capsys.readouterr().out
    assert len(load_results([tmp_path]).results) == 2, "one result per test corpus, although each was fold 0 once"


def test_run_tests_again_when_a_test_corpus_changes(config, ravdess: Path, tmp_path: Path, capsys):
    command = (*SMALL, f"test_dataset={{name: ravdess, root: {ravdess}}}", f"output_dir={tmp_path}")
    [before] = run_experiment(config(*command))
    capsys.readouterr()
    next(iter(sorted(ravdess.rglob("*.wav")))).unlink()
    [after] = run_experiment(config(*command))
    assert after == before
    assert "epoch 1/" not in capsys.readouterr().out
    assert json.loads((after / "result.json").read_text())["corpora"]["ravdess"]["clips"] == 63


@pytest.mark.parametrize("protocol", [Strict(), Paper()])
def test_training_part_does_not_depend_on_test_corpora(config, ravdess: Path, savee: Path, protocol):
    first, second = f"{{name: ravdess, root: {ravdess}}}", f"{{name: savee, root: {savee}}}"
    parts = []
    for corpora in (second, f"{first},{second}"):
        manifest, _, indices = load_corpus(config(*SMALL, "classes=[happy,sad,angry]", f"test_dataset=[{corpora}]"))
        fold = make_folds(manifest, indices, build_scheme(config("test_dataset=x")), protocol)[-1]
        dev = [] if protocol.selection == "test" else fold.dev.tolist()
        parts.append((fold.name, fold.train.tolist(), dev, manifest.column("speaker")[fold.train].tolist()))
    assert parts[0] == parts[1]


def test_joined_store_contains_the_samples_of_each_corpus(config, ravdess: Path):
    """A joined corpus uses the stores of its parts, in the right order."""
    manifest, _, indices = load_corpus(config(*SMALL, f"test_dataset={{name: ravdess, root: {ravdess}}}"))
    store = open_store(manifest, 6.0)
    parts = [open_store(part, 6.0) for part in manifest.parts]
    clips = [part.waveform(k) for part in parts for k in range(len(part.lengths))]
    assert len(clips) == len(manifest)
    for k in (0, 47, 48, 111):
        np.testing.assert_array_equal(store.waveform(k), clips[k])
    mixed = store.padded([111, 0, 48])
    assert [int(np.flatnonzero(row)[-1]) + 1 for row in mixed] == [len(clips[k]) for k in (111, 0, 48)]
    for protocol in (Strict(), Paper()):
        fold = make_folds(manifest, indices, build_scheme(config("test_dataset=ravdess")), protocol)[0]
        assert audit_leaks(manifest, store.digests, fold, protocol)["verdict"] == "clean"
        assert {manifest[i].speaker.split("/")[0] for i in fold.test} == {"ravdess"}
        if protocol.selection == "dev":
            assert {manifest[i].speaker.split("/")[0] for i in np.concatenate([fold.train, fold.dev])} == {"synthetic"}


def test_leave_one_corpus_out_tests_each_corpus_once(config, ravdess: Path, savee: Path):
    corpora = f"dataset.corpora=[{{name: ravdess, root: {ravdess}}},{{name: savee, root: {savee}}},{SYNTHETIC}]"
    cfg = config("dataset=joined", corpora, "classes=[happy,sad,angry]")
    manifest, classes, indices = load_corpus(cfg)
    assert classes == ("happy", "sad", "angry")
    folds = make_folds(manifest, indices, build_scheme(cfg), Strict())
    assert [fold.name for fold in folds] == ["ravdess", "savee", "synthetic"]
    for fold in folds:
        assert {manifest[i].utterance.split("/")[0] for i in fold.test} == {fold.name}
        assert fold.name not in {manifest[i].utterance.split("/")[0] for i in fold.train}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["test_dataset=nowhere"], "test_dataset=nowhere: expected some of"),
        (
            ["test_dataset={name: synthetic, speakers: 2, clips: 1}"],
            "is the training corpus itself",
        ),
        (["test_dataset=[ravdess,ravdess]"], "SEENET_DATA"),
        (["test_dataset=[]"], "expected at least one corpus"),
        (["classes=null"], "=None: expected"),
        (["dataset=joined"], "dataset.corpora=.*two or more"),
        (["dataset=joined", f"dataset.corpora=[{SYNTHETIC},{SYNTHETIC}]"], "named twice"),
        (["dataset=joined", f"dataset.corpora=[{SYNTHETIC},7]"], r"dataset.corpora=.*7"),
    ],
)
def test_load_corpus_rejects_invalid_settings(config, overrides: list[str], words: str):
    with pytest.raises(SeenetError, match=words):
        load_corpus(config(*SMALL[:2], *overrides) if "dataset=joined" not in overrides else config(*overrides))


def write_table(path: Path, emotions: str, seed: int) -> Path:
    """Write a table with one clip of six speakers per emotion."""
    rng, lines = np.random.default_rng(seed), ["path,emotion,speaker"]
    path.parent.mkdir(parents=True, exist_ok=True)
    for speaker in range(6):
        for emotion in emotions.split():
            name = f"{path.stem}-{speaker}-{emotion}.wav"
            soundfile.write(path.parent / name, rng.normal(0, 0.1, 1600), 16000)
            lines.append(f"{name},{emotion},s{speaker}")
    path.write_text("\n".join(lines))
    return path


def test_tables_have_names_of_the_user(config, tmp_path: Path):
    """Two tables have the same stem; a class that one corpus lacks is removed; merges apply to all parts."""
    paths = [
        write_table(tmp_path / f"{k}" / "train.csv", e, k)
        for k, e in enumerate(["happy sad angry calm", "happy sad calm"])
    ]
    corpora = ",".join(
        f"{{name: csv, as: {name}, table: {path}}}" for name, path in zip(("train", "test"), paths, strict=True)
    )
    cfg = config("dataset=joined", f"dataset.corpora=[{corpora}]", "classes=all", "dataset.merge={calm: neutral}")
    manifest, classes, indices = load_corpus(cfg)
    assert classes == ("happy", "neutral", "sad"), "angry is not in both"
    assert [part.merge for part in manifest.parts] == [{"calm": "neutral"}] * 2
    assert [part.counts()["neutral"] for part in manifest.parts] == [6, 6]
    folds = make_folds(manifest, indices, build_scheme(cfg), Paper())
    assert [(fold.name, len(fold.train), len(fold.test)) for fold in folds] == [("test", 18, 18), ("train", 18, 18)]
    called = config("dataset=csv", f"dataset.table={paths[0]}", "dataset.name=mine")
    assert load_corpus(called)[0].name == "mine"


def test_run_reuses_results_when_a_test_corpus_moves(config, tmp_path: Path, capsys):
    first = write_table(tmp_path / "a" / "other.csv", "happy sad angry neutral", 0)
    (tmp_path / "a").rename(tmp_path / "b")
    second = tmp_path / "b" / "other.csv"
    output = f"output_dir={tmp_path / 'out'}"
    run_experiment(config(*SMALL, f"test_dataset={{name: csv, table: {second}}}", output))
    capsys.readouterr()
    (tmp_path / "b").rename(tmp_path / "a")
    run_experiment(config(*SMALL, f"test_dataset=[{{name: csv, table: {first}, root: {first.parent}}}]", output))
    assert "epoch 1/" not in capsys.readouterr().out


@pytest.mark.parametrize("declared", [False, True])
def test_audit_finds_speakers_shared_with_a_test_table_unless_declared(config, tmp_path: Path, declared: bool):
    train_table, test_table = (write_table(tmp_path / f"{k}" / "t.csv", "happy sad", k) for k in (0, 1))
    cfg = config(
        "dataset=csv",
        f"dataset.table={train_table}",
        f"test_dataset={{name: csv, as: other, table: {test_table}, other_people: {str(declared).lower()}}}",
    )
    manifest, _, indices = load_corpus(cfg)
    fold = make_folds(manifest, indices, build_scheme(cfg), Strict())[0]
    if declared:
        assert audit_leaks(manifest, open_store(manifest, 6.0).digests, fold, Strict())["verdict"] == "clean"
    else:
        with pytest.raises(SeenetError, match=r"speaker\(s\) in both train and test.*'t\+other/s0'"):
            audit_leaks(manifest, open_store(manifest, 6.0).digests, fold, Strict())


def test_load_corpus_rejects_another_table_with_the_training_name(config, tmp_path: Path):
    """A table with the name of the training corpus must not be dropped silently."""
    first, second = (
        write_table(tmp_path / f"{k}" / "t.csv", e, k) for k, e in enumerate(("happy sad", "happy sad calm"))
    )
    tests = f"test_dataset=[{{name: csv, table: {second}}},{SYNTHETIC}]"
    with pytest.raises(SeenetError, match="both named t; name one of them with the key as"):
        load_corpus(config("dataset=csv", f"dataset.table={first}", tests))
    tests = f"test_dataset=[{{name: csv, table: {first}}},{SYNTHETIC}]"
    manifest, _, _ = load_corpus(config("dataset=csv", f"dataset.table={first}", tests))
    assert [part.name for part in manifest.parts] == ["t", "synthetic"]


def test_other_people_must_be_boolean(config, tmp_path: Path):
    path = write_table(tmp_path / "t.csv", "happy sad", 0)
    with pytest.raises(SeenetError, match="dataset.other_people=perhaps: expected true or false"):
        load_corpus(config("dataset=csv", f"dataset.table={path}", "dataset.other_people=perhaps"))


def test_synthetic_corpora_of_different_seeds_have_different_speakers(config):
    manifest, _, _ = load_corpus(
        config(*SMALL[:2], "test_dataset={name: synthetic, as: b, speakers: 6, clips: 2, seed: 1}")
    )
    speakers = [set(manifest.column("speaker")[rows]) for rows in (slice(0, 48), slice(48, 96))]
    assert not speakers[0] & speakers[1]
