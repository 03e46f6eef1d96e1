"""Result folders as runs leave them (docs/results.md), made up with numpy in a moment."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
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
"""How well each arm knows the emotion: larger is better."""


def nested(changes: Mapping[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with settings named as on the command line changed."""
    for name, value in changes.items():
        node = config
        *path, last = name.split(".")
        for key in path:
            node = node[key]
        node[last] = value
    return config


def configuration(aug: str, aux_task: str, seed: int, **changes: Any) -> dict[str, Any]:
    """What `seenet-train` resolves, as far as reports read it; `changes` with `__` for dots."""
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
    return nested({name.replace("__", "."): value for name, value in changes.items()}, config)


def draw(rng: np.random.Generator, labels: np.ndarray, ease: np.ndarray, classes: int) -> np.ndarray:
    """Probabilities that know the labels as well as `ease` says. Shape (clips, classes)."""
    logits = rng.normal(size=(len(labels), classes)) + ease[:, None] * np.eye(classes)[labels]
    logits *= 1.8  # too sure of itself, as networks are
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def write_table(
    path: Path, names: Sequence[str], speakers: Sequence[str], sessions: Sequence[str] | None, labels: Any, shares: Any,
    classes: Any,
):  # fmt: skip
    """Write a predictions.csv; one of an older version where `sessions` is None."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        told = {"utterance": names, "speaker": speakers} | ({} if sessions is None else {"session": sessions})
        writer.writerow([*told, "label", "prediction", *(f"p_{c}" for c in classes)])
        for *row, label, share in zip(*told.values(), labels, shares, strict=True):
            writer.writerow([*row, classes[label], classes[share.argmax()], *share])


def confusion_of(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def fabricate(
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
        outputs: where the runs' folders go.
        augs: one arm each.
        seeds: of every arm.
        snrs: test conditions beside `clean`, in dB.
        folds: those that were run.
        n_folds: those that there are; speaker k is tested in fold k modulo n_folds.
        n_speakers: of the corpus.
        clips: for each speaker and class.
        classes: the emotions.
        aux_task: of every arm.
        sounds: how many mistakes of a fold leave their sound.
        facts: fields of result.json that are other than usual.
        skill: added to the arms' own.
        condition: settings of the noise that are other than usual.
        sessions: whether two speakers of a fold share each session; None leaves them out, as older versions did.
        tests: corpora to test on instead, one fold each, all with the same speakers.
        changes: settings that are other than usual, with `__` for dots.

    Returns:
        The folders of the results.
    """
    written = []
    if tests:
        folds, n_folds = range(len(tests)), len(tests)
        facts = {"dataset": "synthetic_to_" + "_".join(tests), **facts}
        changes = {"test_dataset": list(tests), **changes}
    for aug in augs:
        for seed in seeds:
            config = configuration(aug, aux_task, seed, **changes)
            content = {"corpus": "c", "classes": list(classes), "weights": "random"}
            content["trainer"] = dict.fromkeys(TRAINER_SETTINGS, 1)
            base = {**training_identity(config, content), "facts": dict(facts)}
            name = f"synthetic-wavlm_tiny-{aug}-{aux_task}-strict-seed{seed}-{digest(base)}"
            for fold in folds:
                folder = outputs / name / f"fold{fold}"
                folder.mkdir(parents=True, exist_ok=True)  # another test of the same training
                voices = np.arange(n_speakers)
                tested = voices if tests else voices[voices % n_folds == fold]
                for noise in ("clean", *(f"snr{snr}" for snr in snrs)):
                    snr = None if noise == "clean" else int(noise[3:])
                    ease = SKILL[aug] + skill - (0 if snr is None else 1.2 / (1 + np.exp((snr - 8) / 4)))
                    made = {} if snr is None else {"snr_db": snr, "source": "white", "seed": 0, **condition}
                    written.append(folder / (noise if snr is None else f"{noise}-{digest(made)}"))
                    if written[-1].exists():
                        continue
                    _write_result(
                        written[-1],
                        tested, ease, clips, classes, seed, fold, sounds, noise,
                        None if sessions is None else [f"s{v % n_folds}{v // n_folds // 2}" * sessions for v in tested],
                        {
                            "run_id": digest({**base, "fold": fold}), "test_hash": f"{fold:012d}", "fold": fold,
                            "trained_fold": fold, "seed": seed,
                            "aug": aug, "aux_task": aux_task, "n_folds": n_folds, "config": config, "noise": noise,
                            "test_part": f"test_{tests[fold]}" if tests else "",
                            "condition": made,
                            **facts,
                        },
                    )  # fmt: skip
                _write_fold(folder, voices[voices % n_folds == (fold + 1) % n_folds], SKILL[aug] + skill, classes)
    return written


def _write_result(
    folder: Path, voices: np.ndarray, ease: float, clips: int, classes: Sequence[str], seed: int, fold: int,
    sounds: int, noise: str, sessions: Sequence[str] | None, facts: dict[str, Any],
) -> None:  # fmt: skip
    folder.mkdir()
    k = len(classes)
    speakers = np.repeat(voices, k * clips)
    labels = np.tile(np.repeat(np.arange(k), clips), len(voices))
    names = [
        f"speaker{s:02d}_{classes[c]}_{n % clips:02d}" for n, (s, c) in enumerate(zip(speakers, labels, strict=True))
    ]
    rng = np.random.default_rng([7, seed, fold, len(facts["aug"]), len(noise)])
    temper = np.random.default_rng(3).normal(0, 0.5, size=1000)[speakers]  # some speakers are hard for everyone
    shares = draw(rng, labels, np.maximum(ease + temper, 0), k)
    met = None if sessions is None else np.repeat(sessions, k * clips)
    write_table(folder / "predictions.csv", names, [f"{s:02d}" for s in speakers], met, labels, shares, classes)
    centres = np.random.default_rng(fold).normal(size=(k, 32))
    np.save(folder / "embeddings.npy", (ease * centres[labels] + rng.normal(size=(len(labels), 32))).astype(np.float16))
    predicted = shares.argmax(1)
    wrong = np.flatnonzero(predicted != labels)
    if noise == "clean":
        (folder / "mistakes").mkdir()
        for row in wrong[np.argsort(-shares[wrong].max(1))][:sounds]:
            tone = 0.2 * np.sin(2 * np.pi * 220 * np.arange(8000) / 16000)
            soundfile.write(folder / "mistakes" / f"{row}.mp3", tone, 16000)
    confusion = confusion_of(labels, predicted, k)
    recall = np.diag(confusion) / confusion.sum(1)
    f1 = 2 * np.diag(confusion) / (confusion.sum(0) + confusion.sum(1))
    metrics = {"ua": recall.mean(), "wa": (predicted == labels).mean(), "macro_f1": f1.mean()}
    metrics |= {"recall": dict(zip(classes, recall, strict=True)), "confusion": confusion.tolist()}
    result = {
        "schema": SCHEMA, "dataset": "synthetic", "synthetic": True, "backbone": "wavlm_tiny", "pooling": "attention",
        "protocol": "strict", "selection": "dev", "remark": "", "classes": list(classes),
        "n_train": 520, "n_dev": 120, "n_test": len(labels), "bad_files": {"count": 0, "list": None},
        "corpora": {"synthetic": {"parser": "synthetic", "clips": 960, "merged": {}, "dropped": {}}},
        "learned": {
            "schema": IDENTITY_SCHEMA, "weights": "random", "devices": 1,
            "corpora": {"synthetic": "5a", "b": "5b", "c": "5c"},
        },
        "audit": {"verdict": "clean", "speaker": 0, "session": "unknown", "file": 0, "waveform": 0},
        "versions": {"seenet": "0.1.0", "torch": "2.11.0", "numpy": "2.4.6"}, "git_commit": None, "device": "cpu",
        "precision": "32-true", "best_epoch": 4 + fold % 2, "epochs": 6, "seconds": 61.5, "metrics": metrics, **facts,
    }  # fmt: skip
    (folder / "result.json").write_text(json.dumps(result, default=float))


def _write_fold(folder: Path, voices: np.ndarray, ease: float, classes: Sequence[str]) -> None:
    k = len(classes)
    rng = np.random.default_rng([len(voices), k, int(10 * ease)])
    labels = rng.integers(k, size=120)
    speakers = [f"{s:02d}" for s in rng.choice(voices, size=120)]
    names = [f"dev{n:03d}" for n in range(120)]
    shares = draw(rng, labels, np.full(120, ease), k)
    write_table(folder / "dev_predictions.csv", names, speakers, [""] * 120, labels, shares, classes)
    with (folder / "curves.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        scores = ("dev_loss", "dev_ua", "dev_wa", "dev_macro_f1")
        writer.writerow(["epoch", "fit_loss", "fit_auxiliary", "fit_ua", "fit_wa", *scores, "seconds"])
        for epoch in range(1, 7):
            ua = 0.25 + 0.12 * ease * np.sqrt(epoch) + 0.02 * rng.normal()
            writer.writerow([epoch, 2 - ua, 0.5, ua + 0.05, ua + 0.05, 1.7 - ua, ua, ua, ua, 10])
    (folder / "trained.json").write_text(json.dumps({"best_epoch": 4, "epochs": 6}))


def sweep(folder: Path, jobs: Mapping[str, tuple[Sequence[Path], str | None]]) -> Path:
    """Write the notes of a sweep: by the overrides of each job its results and its error."""
    for number, (overrides, (results, error)) in enumerate(jobs.items()):
        (folder / str(number)).mkdir(parents=True)
        note = {"number": number, "overrides": overrides.split(), "results": list(map(str, results)), "error": error}
        (folder / str(number) / "arm.json").write_text(json.dumps(note))
    return folder
