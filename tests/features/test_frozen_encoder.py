"""`tune=none`: features are computed once, survive a kill, and give the predictions of the uncached model."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import seenet
from seenet.core.errors import SeenetError
from seenet.data.batch import Batch
from seenet.data.conditions.base import TestCondition
from seenet.features.extraction import FeatureExtractor
from seenet.features.feature_cache import FeatureCache
from seenet.training.experiment import Experiment
from seenet.training.run import run_experiment
from support.real_data import EMODB, WHISPER, needs_real_data

TINY = ("dataset.speakers=6", "dataset.clips=2", "backbone=wavlm_tiny", "tune=none")


@pytest.fixture
def composed(config, tmp_path: Path):
    return lambda *overrides: config(*TINY, f"output_dir={tmp_path / 'outputs'}", *overrides)


def rows_of(folder: Path) -> list[str]:
    return (folder / "predictions.csv").read_text().splitlines()


def test_second_run_computes_nothing_and_is_byte_identical(composed, tmp_path: Path, capsys, monkeypatch):
    first = run_experiment(composed())
    assert "computing features of 48 clips" in capsys.readouterr().out
    monkeypatch.setattr(FeatureExtractor, "_encode_rows", None)  # an encoder that runs would raise
    again = run_experiment(composed(f"output_dir={tmp_path / 'again'}"))
    assert "computing" not in capsys.readouterr().out
    assert [rows_of(folder) for folder in first] == [rows_of(folder) for folder in again]
    files = "predictions.csv", "embeddings.npy", "../dev_predictions.csv", "../model.safetensors"
    for one, other in zip(first, again, strict=True):
        assert all((one / name).read_bytes() == (other / name).read_bytes() for name in files)
    run_experiment(composed("head=svm"))
    run_experiment(composed("backbone.layers=[1]"))
    run_experiment(composed("fold=0", "seed=0", "head=majority"))
    assert "computing" not in capsys.readouterr().out, "heads, layers and folds read the same features"


def test_predictions_equal_those_of_the_model_on_disk(composed):
    """The bundle runs the encoder; the run read cached features."""
    (folder,) = run_experiment(composed("fold=0"))
    experiment = Experiment.from_config(composed("fold=0"))
    model = seenet.load(folder.parent)
    names = experiment.manifest.column("utterance").tolist()
    for row in rows_of(folder)[1:]:
        utterance, *_, a, b, c, d = row.split(",")
        predicted = model.predict_batch([experiment.store.waveform(names.index(utterance))])[0]
        np.testing.assert_allclose(predicted, [float(p) for p in (a, b, c, d)], atol=1e-3)
    result = json.loads((folder / "result.json").read_text())
    scores = result["fitted_head"]["selection_ua"]
    best = max(scores.values())
    assert result["fitted_head"]["c"] == min(float(c) for c, ua in scores.items() if ua == best)
    assert result["best_epoch"] is None


def test_speaker_normalisation_is_declared_and_needs_enrolled_recordings(composed):
    cfg = composed("fold=0", "head.normalize=speaker")
    (folder,) = run_experiment(cfg)
    result = json.loads((folder / "result.json").read_text())
    assert result["remark"].startswith("transductive:")
    experiment, model = Experiment.from_config(cfg), seenet.load(folder.parent)
    speaker = experiment.manifest.column("speaker")[experiment.fold(0).test[0]]
    own = [row for row in experiment.fold(0).test if experiment.manifest.column("speaker")[row] == speaker]
    clips = [experiment.store.waveform(row) for row in own]
    with pytest.raises(SeenetError, match="enroll"):
        model.predict_batch(clips)
    with pytest.raises(SeenetError, match="two or more"):
        model.enroll(clips[:1])
    model.enroll(clips)
    names = experiment.manifest.column("utterance")
    expected = {row.split(",")[0]: [float(p) for p in row.split(",")[5:]] for row in rows_of(folder)[1:]}
    np.testing.assert_allclose(model.predict_batch(clips), [expected[names[row]] for row in own], atol=1e-3)


def test_noise_has_features_of_its_own(composed, capsys):
    clean, noisy = run_experiment(composed("fold=0", "noise=[clean,snr0]"))
    assert "computing features" in capsys.readouterr().out
    assert rows_of(clean) != rows_of(noisy)
    again = run_experiment(composed("fold=0", "noise=snr0", "head=svm"))
    assert "computing" not in capsys.readouterr().out
    assert rows_of(again[0]) != rows_of(noisy)


@pytest.mark.parametrize(("source", "computed"), [("white", 1), ("babble", 3)])
def test_noise_is_computed_again_only_where_its_source_differs(composed, tmp_path: Path, capsys, source, computed):
    """White noise of a clip is the same in every fold, and so are its features; babble comes from other speakers."""
    run_experiment(composed("noise=snr0", f"noise.source={source}"))
    folders = [path for path in Path(os.environ["SEENET_CACHE"]).glob("features/*/about.json")]
    described = [json.loads(path.read_text()) for path in folders]
    of_source = [each for each in described if each.get("condition", {}).get("source") == source]
    assert len({json.dumps(each["sources"]) for each in of_source}) == computed
    capsys.readouterr()
    run_experiment(composed("noise=snr0", f"noise.source={source}", "head=majority"))
    assert "computing" not in capsys.readouterr().out


class Silence(TestCondition):
    """A condition of a user that has no settings."""

    def __init__(self, manifest, store):
        self.settings = {}

    def __call__(self, batch: Batch) -> Batch:
        return replace(batch, waveform=batch.waveform * 0)


def test_condition_without_settings_is_not_clean(composed):
    own = f"+noise.conditions.silence={{_target_: {__name__}.Silence}}"
    clean, silent = run_experiment(composed("fold=0", own))
    assert rows_of(clean) != rows_of(silent)
    probabilities = {row.split(",", 5)[5] for row in rows_of(silent)[1:]}
    assert len(probabilities) < len(rows_of(clean)) - 1, "silent clips of one length are alike"


def test_final_model_takes_the_median_c(composed, capsys):
    run_experiment(composed())
    assert run_experiment(composed("protocol=final")) == []
    folder = Experiment.from_config(composed("protocol=final")).fold_folder(0)
    training = seenet.load(folder).bundle.training
    assert training["cross_validation"]["c"] in (0.001, 0.003, 0.01, 0.03, 0.1)
    assert training["n_train"] == 48


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["tune=all", "head=logistic"], "take tune=none, or head=linear with tune=all"),
        (["aug=ebm"], "aug=ebm draws anew in each epoch; take aug.copies=5"),
        (["aux_task=see"], "aux_task=see needs gradients; take aux_task=none, or head=linear"),
        (["pooling=attention"], "pooling=attention is trained; take pooling=statistics"),
        (["backbone.combine=sum"], "take backbone.combine=concat, one layer, or head=linear"),
    ],
)
def test_components_that_a_fitted_head_excludes(composed, overrides: list[str], message: str):
    with pytest.raises(SeenetError) as raised:
        run_experiment(composed(*overrides))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_cache_keeps_rows_of_an_interrupted_process(tmp_path: Path):
    program = (
        "import os, signal, sys, numpy as np; from pathlib import Path\n"
        "from seenet.features.feature_cache import FeatureCache\n"
        "cache = FeatureCache(Path(sys.argv[1]), (6, 3), '{}')\n"
        "cache.write(np.array([4, 1]), np.ones((2, 3), np.float32))\n"
        "cache.rows[2] = 9\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "cache")])
    assert done.returncode == -signal.SIGKILL
    cache = FeatureCache(tmp_path / "cache", (6, 3), "{}")
    assert cache.missing(np.arange(6)).tolist() == [0, 2, 3, 5]
    assert (cache.rows[[4, 1]] == 1).all()


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: os.truncate(path, 7)])
def test_lost_rows_are_computed_again(tmp_path: Path, damage):
    """Marks of rows that are gone must not turn zeros into features."""
    FeatureCache(tmp_path / "cache", (6, 3), "{}").write(np.arange(6), np.ones((6, 3), np.float32))
    assert not len(FeatureCache(tmp_path / "cache", (6, 3), "{}").missing(np.arange(6)))
    damage(tmp_path / "cache/rows.f32")
    assert len(FeatureCache(tmp_path / "cache", (6, 3), "{}").missing(np.arange(6))) == 6


def test_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(SeenetError, match="No space left on device"):
        FeatureCache(tmp_path / "cache", (6, 3), "{}")


@needs_real_data
@pytest.mark.slow
def test_killed_extraction_resumes_on_real_speech(tmp_path: Path):
    """After kill -9 in the middle of the extraction the same command continues; results equal an undisturbed run's."""
    command = [
        *(sys.executable, "-m", "seenet.cli.train", "dataset=emodb", f"dataset.root={EMODB}", "tune=none", "fold=0"),
        *("dataset.on_bad_file=quarantine", "backbone=whisper_tiny", f"backbone.path={WHISPER}"),
    ]
    texts = {}
    for name in ("killed", "undisturbed"):
        environment = {**os.environ, "SEENET_CACHE": str(tmp_path / name), "SEENET_DATA": ""}
        started = [*command, f"output_dir={tmp_path / name / 'outputs'}"]
        if name == "killed":
            process = subprocess.Popen(started, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            marks = tmp_path / name / "features"
            while not any(np.fromfile(path, "u1").any() for path in marks.glob("*/finished.u8")):
                assert process.poll() is None
                time.sleep(0.05)
            process.kill()
            process.wait()
        done = subprocess.run(started, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert ("are done)" in done.stdout) == (name == "killed")
        (result,) = (tmp_path / name / "outputs").glob("*/fold0/clean/predictions.csv")
        texts[name] = result.read_bytes()
    assert texts["killed"] == texts["undisturbed"]
