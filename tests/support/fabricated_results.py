"""Fabricated result folders in the format of docs/results.md."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile

from seenet.runs.identity import IDENTITY_SCHEMA, TRAINER_SETTINGS, digest, training_identity
from seenet.runs.results import SCHEMA

FOUR = ("happy", "neutral", "sad", "angry")
AUGMENTATIONS = {
    "none": {},
    "ebm": {"ebm": {"_target_": "seenet.data.augmentation.ebm.EnergyBasedMixup", "ratio_db": [-5, 5]}},
    "mixup": {"mixup": {"_target_": "seenet.data.augmentation.mixup.Mixup", "alpha": 0.2}},
}
AUGMENTATIONS |= {
    "ebm+mixup": AUGMENTATIONS["ebm"] | AUGMENTATIONS["mixup"],
    "mixup+ebm": AUGMENTATIONS["mixup"] | AUGMENTATIONS["ebm"],
}
SKILL = {"none": 1.0, "mixup": 1.2, "ebm": 1.6, "ebm+mixup": 1.7, "mixup+ebm": 1.8}
"""Margin of the true class in the logits of each arm; larger is better."""

RATE = 16000


def apply_changes(changes: Mapping[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Change settings of a configuration by their dotted names."""
    for name, value in changes.items():
        node = config
        *path, last = name.split(".")
        for key in path:
            node = node[key]
        node[last] = value
    return config


def make_configuration(aug: str, aux_task: str, seed: int, **changes: Any) -> dict[str, Any]:
    """Return the settings that reports read; `changes` has `__` for dots."""
    config = {
        "dataset": {
            "_target_": "seenet.corpora.synthetic.corpus.read", "name": "synthetic", "classes": "four",
            "folds": "speakers3", "merge": None, "root": None, "schemes": {},
        },
        "backbone": {"name": "wavlm_tiny", "family": "wavlm", "path": None, "recipe": {"lr": 1e-3}},
        "pooling": {"name": "attention"},
        "aug": AUGMENTATIONS[aug] or {"none": {}},
        "aux_task": {"name": aux_task} | ({"weight": 0.01} if aux_task == "see" else {}),
        "noise": {"source": "white", "seed": 0, "conditions": {}},
        "protocol": {"_target_": "seenet.corpora.protocols.Strict", "name": "strict", "dev_share": 0.2},
        "optim": {"name": "adamw", "lr": 1e-3},
        "trainer": {
            "_target_": "seenet.training.trainer.TrainerConfig", "name": "auto", "max_epochs": 6, "precision": "auto",
        },
        "logger": {"name": "none"},
        "data": {"batch_size": 32, "num_workers": 0},
        "seed": seed, "fold": "all", "classes": "four", "test_dataset": None, "output_dir": "outputs",
    }  # fmt: skip
    return apply_changes({name.replace("__", "."): value for name, value in changes.items()}, config)


def draw_probabilities(rng: np.random.Generator, labels: np.ndarray, skill: np.ndarray, classes: int) -> np.ndarray:
    """Draw class probabilities that favour the labels by `skill`. Shape (clips, classes)."""
    logits = rng.normal(size=(len(labels), classes)) + skill[:, None] * np.eye(classes)[labels]
    logits *= 1.8  # overconfident, like networks
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def write_predictions(
    path: Path, names: Sequence[str], speakers: Sequence[str], sessions: Sequence[str] | None, labels: Any, shares: Any,
    classes: Any,
):  # fmt: skip
    """Write a predictions.csv; None as `sessions` gives the format of an older version."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = {"utterance": names, "speaker": speakers} | ({} if sessions is None else {"session": sessions})
        writer.writerow([*columns, "label", "prediction", *(f"p_{c}" for c in classes)])
        for *row, label, share in zip(*columns.values(), labels, shares, strict=True):
            writer.writerow([*row, classes[label], classes[share.argmax()], *share])


def count_confusion(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def fabricate_results(
    outputs: Path,
    augs: Sequence[str] = ("none", "mixup", "ebm"),
    seeds: Sequence[int] = (0,),
    snrs: Sequence[int] = (),
    folds: Sequence[int] = (0, 1, 2),
    n_folds: int = 3,
    n_speakers: int = 24,
    clips: int = 10,
    classes: Sequence[str] = FOUR,
    aux_task: str = "see",
    sounds: int = 3,
    facts: Mapping[str, Any] = {},
    skill: float = 0.0,
    tests: Sequence[str] = (),
    condition: Mapping[str, Any] = {},
    sessions: bool | None = False,
    **changes: Any,
) -> list[Path]:
    """Write the results of a sweep over augmentations and seeds.

    Args:
        outputs: the folder for the folders of the runs.
        augs: the augmentation of each arm.
        seeds: the seeds of every arm.
        snrs: test conditions in addition to `clean`, in dB.
        folds: the folds with results.
        n_folds: the number of folds; fold k modulo n_folds tests speaker k.
        n_speakers: the number of speakers.
        clips: the number of clips for each speaker and class.
        classes: the emotions.
        aux_task: the auxiliary task of every arm.
        sounds: the number of misclassified clips of a fold with audio.
        facts: fields of result.json that replace the defaults.
        skill: added to the skill of every arm.
        tests: test corpora that replace the folds; all have the same speakers.
        condition: settings of the noise that replace the defaults.
        sessions: whether two speakers of a fold share each session; None omits sessions, as older versions did.
        changes: settings that replace the defaults, with `__` for dots.

    Returns:
        The folders of the results.
    """
    if tests:
        folds, n_folds = range(len(tests)), len(tests)
        facts = {"dataset": "synthetic_to_" + "_".join(tests), **facts}
        changes = {"test_dataset": list(tests), **changes}
    speakers = np.arange(n_speakers)
    written = []
    for aug, seed in ((aug, seed) for aug in augs for seed in seeds):
        config = make_configuration(aug, aux_task, seed, **changes)
        content = {"corpus": "c", "classes": list(classes), "weights": "random"}
        content["trainer"] = dict.fromkeys(TRAINER_SETTINGS, 1)
        base = {**training_identity(config, content), "facts": dict(facts)}
        name = f"synthetic-wavlm_tiny-{aug}-{aux_task}-strict-seed{seed}-{digest(base)}"
        for fold in folds:
            folder = outputs / name / f"fold{fold}"
            folder.mkdir(parents=True, exist_ok=True)  # exists if another call tested the same training
            tested = speakers if tests else speakers[speakers % n_folds == fold]
            of_fold = {
                "run_id": digest({**base, "fold": fold}), "test_hash": f"{fold:012d}", "fold": fold,
                "trained_fold": fold, "seed": seed, "aug": aug, "aux_task": aux_task, "n_folds": n_folds,
                "config": config, "test_part": f"test_{tests[fold]}" if tests else "",
            }  # fmt: skip
            names = None if sessions is None else [f"s{s % n_folds}{s // n_folds // 2}" * sessions for s in tested]
            for snr in (None, *snrs):
                noise = "clean" if snr is None else f"snr{snr}"
                penalty = 0 if snr is None else 1.2 / (1 + np.exp((snr - 8) / 4))
                settings = {} if snr is None else {"snr_db": snr, "source": "white", "seed": 0, **condition}
                written.append(folder / (noise if snr is None else f"{noise}-{digest(settings)}"))
                if not written[-1].exists():
                    of_test = {**of_fold, "noise": noise, "condition": settings, **facts}
                    test = FabricatedTest(tested, names, SKILL[aug] + skill - penalty, clips, classes, sounds)
                    test.write(written[-1], of_test, seed, fold)
            _write_fold(folder, speakers[speakers % n_folds == (fold + 1) % n_folds], SKILL[aug] + skill, classes)
    return written


@dataclass(frozen=True)
class FabricatedTest:
    """The test of one fold under one condition.

    Attributes:
        speakers: the numbers of the tested speakers.
        sessions: the session of each speaker; None omits sessions.
        skill: the margin of the true class in the logits.
        clips: the number of clips for each speaker and class.
        classes: the emotions.
        sounds: the number of misclassified clips with audio.
    """

    speakers: np.ndarray
    sessions: Sequence[str] | None
    skill: float
    clips: int
    classes: Sequence[str]
    sounds: int

    def write(self, folder: Path, facts: Mapping[str, Any], seed: int, fold: int) -> None:
        """Write predictions.csv, embeddings.npy, audio and result.json."""
        folder.mkdir()
        k, clips, classes = len(self.classes), self.clips, self.classes
        speakers = np.repeat(self.speakers, k * clips)
        labels = np.tile(np.repeat(np.arange(k), clips), len(self.speakers))
        names = [
            f"speaker{s:02d}_{classes[c]}_{n % clips:02d}"
            for n, (s, c) in enumerate(zip(speakers, labels, strict=True))
        ]
        rng = np.random.default_rng([7, seed, fold, len(facts["aug"]), len(facts["noise"])])
        difficulty = np.random.default_rng(3).normal(0, 0.5, size=1000)[speakers]  # equal for all arms
        shares = draw_probabilities(rng, labels, np.maximum(self.skill + difficulty, 0), k)
        sessions = None if self.sessions is None else np.repeat(self.sessions, k * clips)
        speaker_names = [f"{s:02d}" for s in speakers]
        write_predictions(folder / "predictions.csv", names, speaker_names, sessions, labels, shares, classes)
        centres = np.random.default_rng(fold).normal(size=(k, 32))
        vectors = self.skill * centres[labels] + rng.normal(size=(len(labels), 32))
        np.save(folder / "embeddings.npy", vectors.astype(np.float16))
        if facts["noise"] == "clean":
            self._write_audio(folder / "mistakes", labels, shares)
        result = {
            **DEFAULT_FACTS, "classes": list(classes), "n_test": len(labels), "best_epoch": 4 + fold % 2,
            "metrics": self._compute_metrics(labels, shares.argmax(1)), **facts,
        }  # fmt: skip
        (folder / "result.json").write_text(json.dumps(result, default=float))

    def _write_audio(self, folder: Path, labels: np.ndarray, shares: np.ndarray) -> None:
        """Write a tone for each of the most confident wrong predictions."""
        folder.mkdir()
        wrong = np.flatnonzero(shares.argmax(1) != labels)
        for row in wrong[np.argsort(-shares[wrong].max(1))][: self.sounds]:
            tone = 0.2 * np.sin(2 * np.pi * 220 * np.arange(RATE // 2) / RATE)
            soundfile.write(folder / f"{row}.mp3", tone, RATE)

    def _compute_metrics(self, labels: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
        confusion = count_confusion(labels, predicted, len(self.classes))
        recall = np.diag(confusion) / confusion.sum(1)
        f1 = 2 * np.diag(confusion) / (confusion.sum(0) + confusion.sum(1))
        metrics = {"ua": recall.mean(), "wa": (predicted == labels).mean(), "macro_f1": f1.mean()}
        return metrics | {"recall": dict(zip(self.classes, recall, strict=True)), "confusion": confusion.tolist()}


DEFAULT_FACTS = {
    "schema": SCHEMA, "dataset": "synthetic", "synthetic": True, "backbone": "wavlm_tiny", "pooling": "attention",
    "protocol": "strict", "selection": "dev", "remark": "", "n_train": 520, "n_dev": 120,
    "bad_files": {"count": 0, "list": None},
    "corpora": {"synthetic": {"parser": "synthetic", "clips": 960, "merged": {}, "dropped": {}}},
    "learned": {
        "schema": IDENTITY_SCHEMA, "weights": "random", "devices": 1,
        "corpora": {"synthetic": "5a", "b": "5b", "c": "5c"},
    },
    "audit": {"verdict": "clean", "speaker": 0, "session": "unknown", "file": 0, "waveform": 0},
    "versions": {"seenet": "0.1.0", "torch": "2.11.0", "numpy": "2.4.6"}, "git_commit": None, "device": "cpu",
    "precision": "32-true", "epochs": 6, "seconds": 61.5,
}  # fmt: skip
"""Fields of result.json that are equal for all results."""


def _write_fold(folder: Path, speakers: np.ndarray, skill: float, classes: Sequence[str]) -> None:
    """Write dev_predictions.csv, curves.csv and trained.json of a fold."""
    k = len(classes)
    rng = np.random.default_rng([len(speakers), k, int(10 * skill)])
    labels = rng.integers(k, size=120)
    speaker_names = [f"{s:02d}" for s in rng.choice(speakers, size=120)]
    names = [f"dev{n:03d}" for n in range(120)]
    shares = draw_probabilities(rng, labels, np.full(120, skill), k)
    write_predictions(folder / "dev_predictions.csv", names, speaker_names, [""] * 120, labels, shares, classes)
    with (folder / "curves.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        scores = ("dev_loss", "dev_ua", "dev_wa", "dev_macro_f1")
        writer.writerow(["epoch", "fit_loss", "fit_auxiliary", "fit_ua", "fit_wa", *scores, "seconds"])
        for epoch in range(1, 7):
            ua = 0.25 + 0.12 * skill * np.sqrt(epoch) + 0.02 * rng.normal()
            writer.writerow([epoch, 2 - ua, 0.5, ua + 0.05, ua + 0.05, 1.7 - ua, ua, ua, ua, 10])
    (folder / "trained.json").write_text(json.dumps({"best_epoch": 4, "epochs": 6}))


def write_sweep_records(folder: Path, jobs: Mapping[str, tuple[Sequence[Path], str | None]]) -> Path:
    """Write the job records of a sweep.

    Args:
        folder: the folder of the sweep.
        jobs: results and error of each job by its overrides.
    """
    for number, (overrides, (results, error)) in enumerate(jobs.items()):
        (folder / str(number)).mkdir(parents=True)
        record = {"number": number, "overrides": overrides.split(), "results": list(map(str, results)), "error": error}
        (folder / str(number) / "arm.json").write_text(json.dumps(record))
    return folder


def read_report_table(report: Path, name: str) -> pd.DataFrame:
    """Return a CSV table of a report, indexed by arm."""
    return pd.read_csv(report / "tables" / f"{name}.csv").set_index("arm")
