"""A run from the configuration to its files: reuse, resume, identity, results, errors."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
import transformers
from lightning.fabric.utilities.warnings import PossibleUserWarning
from omegaconf import OmegaConf
from sklearn.metrics import recall_score

from seenet.core.errors import SeenetError
from seenet.corpora.synthetic.corpus import read
from seenet.models.lightning_module import EmotionModel
from seenet.training.experiment import Experiment
from seenet.training.fold_runner import FoldRunner
from seenet.training.optimizers import build_optimizer
from seenet.training.run import run_experiment
from support.console import HANG, SMALL, script
from support.forked import ForkedTraining

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(config, tmp_path: Path):
    """Train in this process and give the folders of the results."""

    def trained(*overrides: str) -> list[Path]:
        return run_experiment(config(*SMALL, f"output_dir={tmp_path}", *overrides))

    return trained


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One small run of all folds in a separate process, with drawn pictures, and its console output."""
    folder = tmp_path_factory.mktemp("shared")
    done = ForkedTraining(folder, tmp_path_factory.mktemp("logs"), *SMALL).finish()
    assert done.returncode == 0, done.stderr
    return next((folder / "outputs").glob("synthetic-*")), done.stdout


def test_a_sweep_over_folds_is_one_arm_and_reuses_them(shared):
    run = script("seenet-train", shared[0].parents[1])("-m", *SMALL, "fold=0,1,2", "sweep.report=false")
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("already complete, reusing results") == 3
    row = next(line for line in run.stdout.split("comparison of arms")[1].splitlines() if " all " in line)
    assert row.split()[-3:] == ["3", "1", "48"], "three folds, one seed, all clips"


def test_a_fold_without_its_weights_is_trained_again(config, run, tmp_path: Path, capsys):
    """And the plan knows it; the results that are there stay."""
    (clean,) = run("fold=0", "trainer.max_epochs=1")
    fold, before = clean.parent, (clean / "predictions.csv").read_bytes()
    (fold / "best.ckpt").unlink()
    settings = ("fold=0", "trainer.max_epochs=1", "noise=[clean,snr5]")
    assert len(Experiment.from_config(config(*SMALL, f"output_dir={tmp_path}", *settings)).folds_to_train()) == 1
    capsys.readouterr()
    _, noisy = run(*settings)
    printed = capsys.readouterr().out
    assert "best.ckpt is missing: it is trained again" in printed
    assert "fold 0, clean: already complete, reusing result" in printed
    assert all(path.is_file() for path in (noisy / "result.json", fold / "best.ckpt", fold / "dev_predictions.csv"))
    assert (clean / "predictions.csv").read_bytes() == before
    assert Experiment.from_config(config(*SMALL, f"output_dir={tmp_path}", *settings)).folds_to_train() == []


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_what_it_promises(shared):
    folder, printed = shared
    for fold in range(3):
        for name in ("best.ckpt", "curves.csv", "curves.png", "clean/confusion.png"):
            assert (folder / f"fold{fold}" / name).stat().st_size > 100
        assert not (folder / f"fold{fold}" / "last.ckpt").exists()
    assert (folder / "confusion-clean.png").is_file()
    for words in ("SYNTHETIC", "mean ± std", "UA %", "0 of 3", "2 of 3", "epoch 2/2", "protocol=strict"):
        assert words in printed


def test_results_hold_together(shared):
    """Figures in result.json are those of predictions.csv; the parts are those of the fold."""
    folder, printed = shared
    tested = []
    for fold in range(3):
        result = json.loads((folder / f"fold{fold}/clean/result.json").read_text())
        rows = read_csv(folder / f"fold{fold}/clean/predictions.csv")
        labels, predicted = [r["label"] for r in rows], [r["prediction"] for r in rows]
        recall = recall_score(labels, predicted, average=None, labels=result["classes"], zero_division=0)
        assert result["metrics"]["ua"] == pytest.approx(recall.mean())
        assert list(result["metrics"]["recall"].values()) == pytest.approx(recall.tolist())
        assert result["metrics"]["wa"] == pytest.approx(np.mean(np.array(labels) == np.array(predicted)))
        assert f"{100 * result['metrics']['ua']:.1f}" in printed
        for row in rows:
            shares = [float(row[f"p_{c}"]) for c in result["classes"]]
            assert sum(shares) == pytest.approx(1, abs=1e-5)
            assert result["classes"][int(np.argmax(shares))] == row["prediction"]
        assert len(rows) == result["n_test"] == 16
        assert result["n_train"] + result["n_dev"] + result["n_test"] == 48
        assert result["audit"] == {"verdict": "clean", "speaker": 0, "session": "unknown", "file": 0, "waveform": 0}
        assert result["synthetic"] is True
        assert result["selection"] == "dev"
        curves = read_csv(folder / f"fold{fold}/curves.csv")
        best = max(curves, key=lambda row: float(row["dev_ua"]))
        assert (len(curves), result["best_epoch"]) == (2, int(best["epoch"]))
        tested += [row["utterance"] for row in rows]
    assert len(set(tested)) == 48, "every clip is tested once"


def keys(text: str) -> set[str]:
    """The names in the first column of a Markdown table."""
    return set(re.findall(r"^\| `([a-z_0-9]+)", text, re.MULTILINE))


def test_the_schemas_are_documented(shared):
    folder, _ = shared
    text = (ROOT / "docs/results.md").read_text(encoding="utf-8")
    result = json.loads((folder / "fold0/clean/result.json").read_text())
    assert keys(text.split("## result.json")[1].split("## ")[0]) == set(result)
    assert f"schema {result['schema']}" in text
    curves = read_csv(folder / "fold0/curves.csv")[0]
    assert keys(text.split("## curves.csv")[1].split("## ")[0]) == set(curves)
    columns = set(read_csv(folder / "fold0/clean/predictions.csv")[0])
    documented = keys(text.split("## predictions.csv")[1].split("## ")[0])
    assert columns - {f"p_{c}" for c in result["classes"]} == documented - {"p_"}


def test_the_same_command_reuses_and_a_changed_setting_does_not(run, capsys, tmp_path: Path):
    first = run("fold=0")
    before = (first[0] / "result.json").read_text()
    table = capsys.readouterr().out.split("reused")[-1].split("backbone=")[1]
    again = run("fold=0", "output_dir=" + str(tmp_path), "data.num_workers=0", "logger=csv")
    printed = capsys.readouterr().out
    assert "already complete" in printed
    assert "epoch 1/" not in printed
    assert printed.split("backbone=")[1] == table, "the same table"
    assert (again[0] / "result.json").read_text() == before
    changed = run("fold=0", "optim.lr=3e-3")
    assert "epoch 1/" in capsys.readouterr().out
    assert changed[0].parents[1] != first[0].parents[1]


def test_the_identity_knows_what_is_learned(config, tmp_path: Path):
    from seenet.runs.directory import RunDirectory
    from seenet.runs.identity import TRAINER_SETTINGS

    def name(*overrides: str, **learned) -> str:
        resolved = OmegaConf.to_container(config(*overrides), resolve=True)
        trainer = {name: resolved["trainer"][name] for name in TRAINER_SETTINGS} | learned.pop("trainer", {})
        content = {"corpus": "a", "weights": "b", "classes": ["sad"], "trainer": trainer, **learned}
        return RunDirectory.of(tmp_path, "x", resolved, content, "dev").run_id("fold0")

    same = [
        *("noise=all", "noise.source=babble", "sweep.report=false"),
        *("fold=1", "logger=csv", "output_dir=/x", "data.num_workers=3", "trainer=cpu", "trainer.checkpoint_minutes=1"),
        *("backbone.attention=sdpa", "backbone.fast_layers=false", "backbone.checkpointing=true"),
        *("data.max_seconds=6", "classes=[sad,happy,angry,neutral]"),  # other ways of saying the same
    ]
    base = name()
    for override in same:
        assert name(override) == base, override
    other = [
        *("seed=1", "aug=mixup", "aug=[ebm,mixup]", "aug.ebm.ratio_db=[0,0]", "aux_task.weight=0.5", "protocol=paper"),
        *("optim.lr=1", "data.batch_size=1", "data.partner=class_first", "data.bucketed=false"),
        "backbone.final_dropout=0.5",
        "dataset.folds=leave_one_speaker_out",
    ]
    for override in other:
        assert name(override) != base, override
    different = ({"weights": "c"}, {"corpus": "c"}, {"classes": ["sad", "happy"]}, {"trainer": {"precision": "x"}})
    for learned in different:
        assert name(**learned) != base, learned
    assert name("aug=[speed,ebm]") != name("aug=[ebm,speed]"), "one after the other, in this order"


def test_partners_matter_where_an_augmentation_asks_for_them(config):
    def job(*overrides: str) -> Experiment:
        return Experiment.from_config(config(*SMALL, *overrides))

    same = job("aug=none"), job("aug=none", "data.partner=class_first")
    assert same[0].run == same[1].run
    assert same[0].config == same[1].config, "reports see one arm, whichever experiment trained it"
    assert job("aug=ebm").run.folder != job("aug=ebm", "data.partner=class_first").run.folder


def test_a_fold_leaves_what_a_report_needs(shared):
    """The development part's predictions are those of the selected epoch; vectors and sounds belong to the clips."""
    folder = shared[0] / "fold0"
    result = json.loads((folder / "clean/result.json").read_text())
    dev, rows = read_csv(folder / "dev_predictions.csv"), read_csv(folder / "clean/predictions.csv")
    assert len(dev) == result["n_dev"]
    assert not {r["speaker"] for r in dev} & {r["speaker"] for r in rows}
    best = read_csv(folder / "curves.csv")[result["best_epoch"] - 1]
    ua = recall_score([r["label"] for r in dev], [r["prediction"] for r in dev], average="macro")
    assert ua == pytest.approx(float(best["dev_ua"]), abs=1e-6)
    embeddings = np.load(folder / "clean/embeddings.npy")
    assert (embeddings.dtype, embeddings.shape) == (np.float16, (len(rows), 64))
    assert len(np.unique(embeddings, axis=0)) > 1
    wrong = {k: float(r[f"p_{r['prediction']}"]) for k, r in enumerate(rows) if r["label"] != r["prediction"]}
    written = sorted(int(path.stem) for path in (folder / "clean/mistakes").iterdir())
    assert written == sorted(sorted(wrong, key=lambda k: -wrong[k])[:8])
    manifest = read(speakers=6, clips=2)
    row = manifest.column("utterance").tolist().index(rows[written[0]]["utterance"])
    clip = soundfile.read(manifest.audio_path(row))[0]
    sound, rate = soundfile.read(folder / f"clean/mistakes/{written[0]}.mp3")
    assert rate == 16000
    assert len(sound) == pytest.approx(len(clip), rel=0.1)
    size = min(len(sound), len(clip))
    assert np.abs(np.correlate(sound[:size], clip[:size], "full")).max() > 0.8 * (clip**2).sum()


def test_noise_tests_again_and_trains_nothing(run, capsys, monkeypatch: pytest.MonkeyPatch):
    clean = run("fold=0")
    checkpoint = (clean[0].parent / "best.ckpt").stat().st_mtime_ns
    capsys.readouterr()
    with monkeypatch.context() as patch:  # a later test on another machine must not sign for the training
        patch.setattr("seenet.training.run.versions", lambda: {"torch": "another"})
        noisy = run("fold=0", "noise=snr0")
    assert json.loads((noisy[0] / "result.json").read_text())["versions"]["torch"].startswith("2.")
    printed = capsys.readouterr().out
    assert "epoch 1/" not in printed
    assert noisy[0].parent == clean[0].parent
    assert noisy != clean
    assert (clean[0].parent / "best.ckpt").stat().st_mtime_ns == checkpoint
    first, second = (read_csv(folder[0] / "predictions.csv") for folder in (clean, noisy))
    assert [r["utterance"] for r in first] == [r["utterance"] for r in second]
    assert [r["p_sad"] for r in first] != [r["p_sad"] for r in second]


def test_same_seed_same_predictions(run, shared):
    expected = (shared[0] / "fold0/clean/predictions.csv").read_bytes()
    assert (run("fold=0")[0] / "predictions.csv").read_bytes() == expected
    assert (run("fold=0", "seed=1")[0] / "predictions.csv").read_bytes() != expected


INTERRUPTS = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
"""Signals and the exit codes that they give."""


@pytest.mark.parametrize(("sent", "code"), INTERRUPTS)
def test_an_interrupted_run_does_not_look_finished(start_training, tmp_path: Path, sent: signal.Signals, code: int):
    running = start_training(*SMALL, "fold=0", "trainer.max_epochs=500")
    running.wait_for_output("epoch 2/")
    running.send(sent)
    done = running.finish()
    assert done.returncode == code, done.stderr
    assert list(tmp_path.rglob("last.ckpt"))
    if sent == signal.SIGINT:
        assert "rerun the same command to resume" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "code"), INTERRUPTS)
def test_an_interrupted_interpreter_ends(tmp_path: Path, sent: signal.Signals, code: int):
    """As above with the installed console script, whose interpreter waits for its threads at the end."""
    running = subprocess.Popen(
        [str(Path(sys.executable).with_name("seenet-train")), *SMALL, "fold=0", "trainer.max_epochs=500"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        # A shell's background job, as CI may be, hands SIGINT on as ignored; at a terminal it is not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    next((line for line in running.stdout if "epoch 2/" in line), None)
    running.send_signal(sent)
    _, errors = running.communicate(timeout=HANG)
    assert running.returncode == code, errors
    assert "Traceback" not in errors


def test_every_epoch_draws_its_own_clips(run, monkeypatch: pytest.MonkeyPatch):
    seen: dict[int, list[int]] = {}
    step = EmotionModel.training_step

    def watched(self, batch, index):
        seen.setdefault(self.current_epoch, []).extend(batch.indices.tolist())
        return step(self, batch, index)

    monkeypatch.setattr(EmotionModel, "training_step", watched)
    run("fold=0")
    assert len(seen[0]) == len(seen[1]) > 8
    assert seen[0] != seen[1]


def test_hints_of_libraries_do_not_reach_the_console(tmp_path: Path, monkeypatch):
    """Lightning recommends srun wherever it is installed, at every trainer that is made."""
    srun = tmp_path / "bin/srun"
    srun.parent.mkdir()
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", f"{srun.parent}{os.pathsep}{os.environ['PATH']}")
    settings = (
        *SMALL[:2],
        "trainer=cpu",
        "trainer.max_epochs=1",
        "fold=0",
        "data.batch_size=8",
        "data.num_workers=1",
    )
    done = script("seenet-train", tmp_path)(*settings)
    assert done.returncode == 0
    assert not [line for line in done.stderr.splitlines() if "━" not in line], "nothing but progress bars"


def test_warnings_that_are_no_hints_are_shown(config):
    job = Experiment.from_config(config(*SMALL))
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        FoldRunner(job, job.folds[0])
        warnings.warn("use more workers", PossibleUserWarning, stacklevel=1)
        warnings.warn("gradients are lost", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in shown] == ["gradients are lost"]


def test_paper_protocol_says_so_everywhere(run, capsys):
    folder = run("fold=0", "protocol=paper")[0]
    assert capsys.readouterr().out.count("selected on the test fold") >= 2
    result = json.loads((folder / "result.json").read_text())
    assert result["selection"] == "test"
    assert "test fold" in result["remark"]
    assert result["n_dev"] == result["n_test"]
    best = read_csv(folder.parent / "curves.csv")[result["best_epoch"] - 1]
    assert float(best["dev_ua"]) == pytest.approx(result["metrics"]["ua"])


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["fold=7"], "fold=7: expected all, or numbers from 0 to 2"),
        (["fold=null"], "fold=None: expected all, or numbers from 0 to 2"),
        (["data.max_seconds=nan"], "max_seconds=nan"),
        (["dataset.schemes=null"], "dataset.folds=speakers3"),
        (["classes=[happy,bored]", "dataset.emotions=four"], "class 'bored' has no clips"),
        (["dataset.folds=luna5"], "expected one of speakers3, leave_one_speaker_out"),
        (["data.batch_size=0"], "data.batch_size=0"),
        (["data.partner=nobody"], "expected one of uniform, class_first"),
        (["data.max_seconds=0"], "max_seconds=0"),
        (["data.max_seconds=long"], "max_seconds=long: expected a number"),
        (["optim.lr=-1"], "optim.lr=-1"),
        (["optim.lr=fast"], "optim.lr=fast"),
        (["noise=snr0", "noise.source=violet"], "noise.source='violet'"),
        (["dataset.merge=calm"], "dataset.merge=calm"),
        (["backbone.checkpoint=a/b/c"], "backbone.checkpoint='a/b/c'"),
        (["backbone.path=123"], "backbone.path='123'"),
        (["backbone.architecture.hidden_size=wide"], "backbone.architecture="),
        (["+backbone.architecture.hiden_size=64"], "backbone.architecture.hiden_size"),
        (["logger=tensorboard"], "tensorboard"),
        (["seed=-1"], "seed=-1"),
        (["trainer.devices=0"], "trainer.devices=0"),
        (["trainer.checkpoint_minutes=0"], "trainer.checkpoint_minutes=0"),
        (["trainer=cpu", "trainer.precision=16-mixed"], "trainer.precision=16-mixed"),
        (["backbone.path=/nowhere"], "save_pretrained"),
    ],
)
def test_mistakes(run, tmp_path: Path, overrides: list[str], words: str):
    with pytest.raises(SeenetError, match=re.escape(words)):
        run(*overrides)
    assert not list(tmp_path.glob("synthetic-*")), "a run that cannot start creates no folder"


def test_a_loss_that_is_not_finite_stops_the_fold(run, tmp_path: Path):
    with pytest.raises(SeenetError, match="the loss became nan in epoch 1; lower optim.lr"):
        run("fold=0", "optim.lr=1e30")
    assert not list(tmp_path.rglob("result.json"))
    assert not list(tmp_path.rglob("last.ckpt")), "nothing to resume from a broken model"


def test_a_full_gpu_is_one_line(run, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(EmotionModel, "training_step", full)
    with pytest.raises(SeenetError, match=r"data.batch_size=8: take data.batch_size=4 .*accumulate_grad_batches=2"):
        run("fold=0")
    with pytest.raises(SeenetError, match="data.batch_size=1: shorten data.max_seconds"):
        run("fold=0", "data.batch_size=1")


@pytest.mark.parametrize("precision", ["16-mixed", "bf16-mixed"])
def test_fused_optimisers_cannot_clip_in_mixed_precision(config, precision: str):
    plan = SimpleNamespace(precision=precision, gradient_clip_val=1.0)
    with pytest.raises(SeenetError, match=r"take optim\.fused=false"):
        build_optimizer(config().optim, plan)
    build_optimizer(config("optim.fused=false").optim, plan)


@pytest.mark.parametrize("settings", [("trainer.precision=bf16-mixed", "optim.fused=false"), ()])
def test_gradients_are_clipped(run, monkeypatch: pytest.MonkeyPatch, settings: tuple[str, ...]):
    norms, clip = [], torch.nn.utils.clip_grad_norm_
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda p, norm: (norms.append(norm), clip(p, norm)))
    run("fold=0", "trainer.max_epochs=1", "trainer.gradient_clip_val=0.5", *settings)
    assert set(norms) == {0.5}


def test_finished_folds_stay_finished(run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys):
    step = EmotionModel.training_step

    def breaks_in_fold_1(self, batch, index):
        if "fold1" in str(self.trainer.default_root_dir):
            raise SeenetError("planted")
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(EmotionModel, "training_step", breaks_in_fold_1)
        with pytest.raises(SeenetError, match="planted"):
            run("trainer.max_epochs=1")
    assert len(list(tmp_path.rglob("result.json"))) == 1
    capsys.readouterr()
    run("trainer.max_epochs=1")
    printed = capsys.readouterr().out
    assert "fold 0: already complete, reusing results" in printed
    assert "fold 1 (2/3) epoch 1" in printed


def test_half_precision_and_loader_processes(run, shared):
    """bf16-mixed (on the CPU here): finite losses, probabilities that sum to 1. Workers change nothing."""
    folder = run("fold=0", "trainer.precision=bf16-mixed", "trainer.max_epochs=1")[0]
    assert json.loads((folder / "result.json").read_text())["precision"] == "bf16-mixed"
    for row in read_csv(folder / "predictions.csv"):
        assert sum(float(row[f"p_{c}"]) for c in ("happy", "neutral", "sad", "angry")) == pytest.approx(1, abs=1e-3)
    workers = run("fold=0", "data.num_workers=2")[0]
    assert (workers / "predictions.csv").read_bytes() == (shared[0] / "fold0/clean/predictions.csv").read_bytes()


@pytest.mark.parametrize("backbone", ["wav2vec2_tiny", "hubert_tiny", "data2vec_tiny"])
def test_the_other_families_train(run, backbone: str):
    folder = run("fold=0", f"backbone={backbone}", "trainer.max_epochs=1", "pooling=mean")[0]
    assert json.loads((folder / "result.json").read_text())["backbone"] == backbone


def test_what_learns_gets_a_gradient(config, tmp_path: Path):
    """And nothing else: a frozen convolution stays as it was, everything else moves."""
    folders = run_experiment(
        config(*SMALL, f"output_dir={tmp_path}", "fold=0", "backbone.freeze_feature_encoder=true", "logger=csv")
    )
    torch.manual_seed(0)
    weights = torch.load(folders[0].parent / "best.ckpt", weights_only=True)["state_dict"]
    frozen_run = run_experiment(
        config(*SMALL, f"output_dir={tmp_path}", "fold=0", "backbone.freeze_feature_encoder=true", "optim.lr=0.0")
    )
    untrained = torch.load(frozen_run[0].parent / "best.ckpt", weights_only=True)["state_dict"]
    moved = {name for name in weights if not torch.equal(weights[name], untrained[name])}
    assert not any("feature_extractor" in name for name in moved)
    for part in ("head.weight", "pooling.weight", "auxiliary.embed.weight", "auxiliary.score_weight"):
        assert part in moved
    assert list(folders[0].parent.rglob("metrics.csv")), "logger=csv writes its log to the folder of the fold"


def test_bad_files_stop_or_are_left_out_and_counted(run, capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A corpus with three damaged clips: by default a list of them; under quarantine every result counts them."""
    monkeypatch.setenv("SEENET_CACHE", str(tmp_path / "cache"))
    manifest = read(speakers=6, clips=2)
    for k in (3, 40, 41):
        manifest.audio_path(k).write_bytes(b"RIFF")
    with pytest.raises(SeenetError, match=r"3 of 48 audio files.*bad_files.csv.*on_bad_file=quarantine"):
        run("dataset.clips=2", "fold=0")
    assert not list(tmp_path.glob("synthetic-*"))
    folder = run("dataset.clips=2", "fold=0", "dataset.on_bad_file=quarantine")[0]
    printed = capsys.readouterr().out
    assert printed.count("3 of 48 audio files of synthetic cannot be used") == 1
    assert "! 3 audio files could not be used (bad_files.csv)" in printed.split("mean ± std")[1]
    result = json.loads((folder / "result.json").read_text())
    assert result["bad_files"] == {"count": 3, "list": "bad_files.csv"}
    assert result["n_train"] + result["n_dev"] + result["n_test"] == 45
    listed = (folder.parents[1] / "bad_files.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in listed[1:]] == ["3", "40", "41"]
    with pytest.raises(SeenetError, match="expected stop or quarantine"):
        run("dataset.clips=2", "fold=0", "dataset.on_bad_file=ignore")


def test_result_records_the_checkpoint_and_how_much_of_it_was_loaded(run, tmp_path: Path):
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 32, "num_hidden_layers": 1}
    sizes |= {"conv_dim": [16] * 7, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4}
    encoder = transformers.WavLMModel(transformers.WavLMConfig(**sizes))
    encoder.save_pretrained(tmp_path / "encoder")
    settings = ("fold=0", "trainer.max_epochs=1", "backbone=wavlm_base", "aux_task=none", "pooling=attention")
    (folder,) = run(*settings, f"backbone.path={tmp_path / 'encoder'}")
    weights = json.loads((folder / "result.json").read_text())["weights"]
    assert weights["checkpoint"] == str(tmp_path / "encoder")
    assert len(weights["hash"]) == 32
    assert weights["loaded_tensors"] == sum(1 for _ in encoder.parameters())
    assert weights["new_tensors"] == 3, "the pooling vector, the head's weight and its bias"
