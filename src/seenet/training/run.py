"""The recipe of `seenet-train`: corpus, folds, audit, training, test, table."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from seenet.core.atomic import explain_write_errors
from seenet.core.console import print_line, warn_on_failure
from seenet.core.imports import pause_garbage_collection
from seenet.core.locks import POLL_SECONDS, Lock
from seenet.core.processes import (
    adopt_srun_ranks,
    connect_processes,
    decide_on_rank_zero,
    is_global_rank_zero,
    kill_child_processes,
)
from seenet.core.signals import handle_stop_signals
from seenet.corpora.bad_files import BAD_FILES, write_bad_files
from seenet.corpora.folds import Fold
from seenet.corpora.leak_audit import audit_leaks
from seenet.corpora.loading import print_notes
from seenet.corpora.manifest import Manifest
from seenet.reporting.console_tables import print_conditions, print_run
from seenet.runs.bundle import MODEL_JSON
from seenet.runs.directory import names_of
from seenet.runs.environment import git_commit, versions
from seenet.runs.identity import IDENTITY_SCHEMA
from seenet.runs.results import SCHEMA
from seenet.training.experiment import Experiment

if TYPE_CHECKING:
    from seenet.training.runner import Runner

TRANSDUCTIVE = "transductive: features are standardised by the unlabelled clips of each test speaker"
"""Remark of results with `head.normalize=speaker`."""

FOLDS_SHOWN = 20
"""Number of test folds that the console lists."""


def run_experiment(cfg: DictConfig) -> list[Path]:
    """Train and test every chosen fold under every test condition; finished results are reused.

    Args:
        cfg: the composed configuration (conf/train.yaml).

    Returns:
        The folder with each result.

    Raises:
        SeenetError: anything the user can put right; finished folds stay finished.
    """
    adopt_srun_ranks(cfg.trainer.devices)
    try:
        with handle_stop_signals():
            return _train(cfg)
    except BaseException:
        kill_child_processes()
        raise


def _train(cfg: DictConfig) -> list[Path]:
    if cfg.data.batch_size == "auto":
        from seenet.training.auto_batch_size import resolve_batch_size  # imports Lightning and transformers

        experiment = resolve_batch_size(cfg)
    else:
        experiment = Experiment.from_config(cfg)
    if experiment.trainer.compile == "auto" and experiment.folds_to_train():
        from seenet.training.auto_compile import resolve_compile

        experiment = resolve_compile(experiment)
    _announce_corpora(experiment)
    verdicts = {str(_audit(experiment, experiment.folds.outline(number))["verdict"]) for number in experiment.chosen}
    _announce_folds(experiment, verdicts)
    run = experiment.run
    print_line(f"run {run.folder}")
    connect_processes(experiment.trainer.accelerator == "gpu")
    if not experiment.conditions:
        _train_final(experiment)
        return []
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in experiment.conditions}
    for position, number in enumerate(experiment.chosen, start=1):
        label = f"fold {number} ({position}/{len(experiment.chosen)})"
        for name, result in _test_fold(experiment, number, label).items():
            results[name].append(result)
    if is_global_rank_zero():
        from seenet.reporting.run_plots import plot_run_confusion, plot_run_curves

        with warn_on_failure("curves.png of the run"):
            of_epochs = [result for result in next(iter(results.values())) if result["best_epoch"] is not None]
            trainings = sorted({experiment.training_name(result["fold"]) for result in of_epochs})
            if trainings:
                plot_run_curves([run.folder / name for name in trainings], of_epochs)
        for name, of_condition in results.items():
            with warn_on_failure(f"the confusion matrix of {name}"):
                plot_run_confusion(run.folder, of_condition)
    if len(results) == 1:
        print_run(*results.values())
    else:
        print_conditions(list(results.values()))
    print_line(f"checkpoints, predictions and pictures: {run.folder}")
    return [folder for _, _, folder in experiment.tests()]


def _train_final(experiment: Experiment) -> None:
    """Train the model of `Final` and write its bundle, unless both are there."""
    folder, label = experiment.fold_folder(0), "final model"
    with _fold_lock(folder, label):
        trained = experiment.folds.planned[0]
        if decide_on_rank_zero(lambda: experiment.is_trained(trained) and (folder / MODEL_JSON).is_file()):
            print_line(f"{label}: already complete")
        else:
            fold_run, facts = _train_fold(experiment, experiment.fold(0), label)
            fold_run.save_model(facts)
    print_line(f"model: {folder}\nin Python: seenet.load('{folder}').predict_file('clip.wav')")


def _audit(experiment: Experiment, fold: Fold) -> dict[str, object]:
    return audit_leaks(experiment.manifest, experiment.store.digests, fold, experiment.protocol)


def _test_fold(experiment: Experiment, number: int, label: str) -> dict[str, dict[str, Any]]:
    """Return the results of one fold under every condition; train and test what is missing."""
    results = decide_on_rank_zero(lambda: experiment.results(number))
    if not all(results.values()):
        with _fold_lock(experiment.fold_folder(number), label):
            results = decide_on_rank_zero(lambda: experiment.results(number))
            if not all(results.values()):
                return _run_fold(experiment, number, label, results)
    print_line(f"fold {number}: already complete, reusing results")
    return {name: result for name, result in results.items() if result}


def _run_fold(
    experiment: Experiment, number: int, label: str, results: dict[str, dict[str, Any] | None]
) -> dict[str, dict[str, Any]]:
    """Train a fold unless it is trained, and test it under the conditions without a result."""
    fold_run, facts = _train_fold(experiment, experiment.fold(number), label)
    tested = {}
    for fold, name, folder in experiment.tests([number]):
        result = results[name]
        if result is None:
            if (folder / "result.json").exists():
                print_line(
                    f"! {label}: '{folder / 'result.json'}' is damaged or of another run; {name} is tested again"
                )
            condition = experiment.conditions[name]
            config = {**experiment.config, "noise": experiment.config["noise"] | {"conditions": {}}}
            config["noise"]["conditions"][name] = experiment.config["noise"]["conditions"][name]
            about = {"noise": name, "condition": condition.settings, "config": config}
            result = fold_run.test(folder, condition, {**facts, **about})
        else:
            print_line(f"fold {fold.number}, {name}: already complete, reusing result")
        tested[name] = result
    return tested


def _train_fold(experiment: Experiment, fold: Fold, label: str) -> tuple["Runner", dict[str, Any]]:
    """Train a fold unless it is trained; return its runner, and the fields of result.json known before a test."""
    with pause_garbage_collection():
        from seenet.training.components import is_fitted  # these import Lightning and transformers
        from seenet.training.fitted_runner import FittedRunner
        from seenet.training.fold_runner import FoldRunner

    if experiment.store.bad:
        path, manifest, bad = experiment.run.folder / BAD_FILES, experiment.manifest, experiment.store.bad
        decide_on_rank_zero(lambda: write_bad_files(path, manifest, bad))
    audited = _audit(experiment, fold)
    fold_run: Runner = FittedRunner(experiment, fold) if is_fitted(experiment.config) else FoldRunner(experiment, fold)
    made_with = {
        "versions": versions(),
        "git_commit": git_commit(),
        "device": experiment.trainer.device_name(),
        "precision": experiment.trainer.precision,
        "compiled": experiment.trainer.compile is True,
    }
    trained = decide_on_rank_zero(lambda: fold_run.read_trained(label)) or fold_run.train(label, made_with)
    return fold_run, {**_result_metadata(experiment, fold), "audit": audited, **trained}


def _result_metadata(experiment: Experiment, fold: Fold) -> dict[str, Any]:
    """Return the fields of result.json that are known before training."""
    manifest, protocol = experiment.manifest, experiment.protocol
    return {
        "schema": SCHEMA,
        "run_id": experiment.run.run_id(experiment.training_name(fold.number)),
        "test_hash": experiment.test_hash(experiment.folds.planned[fold.number]),
        "dataset": manifest.name,
        "synthetic": manifest.synthetic,
        **names_of(experiment.config),
        "selection": protocol.selection,
        "remark": "; ".join(filter(None, (protocol.remark, _transductive_remark(experiment.config)))),
        "fitted_head": None,
        "fold": fold.number,
        "test_part": fold.name,
        "trained_fold": fold.training,
        "n_folds": len(experiment.folds),
        "seed": experiment.seed,
        "classes": list(experiment.classes),
        **{f"n_{part}": len(getattr(fold, part)) for part in ("train", "dev", "test")},
        "bad_files": {"count": len(experiment.store.bad), "list": BAD_FILES if experiment.store.bad else None},
        "corpora": {part.name: _kept(part, experiment.classes) for part in manifest.parts or (manifest,)},
        "learned": {
            "schema": IDENTITY_SCHEMA,
            "weights": experiment.weights.fingerprint,
            "devices": experiment.trainer.devices,
            "corpora": _contents(experiment),
        },
    }


def _transductive_remark(config: Mapping[str, Any]) -> str:
    """Return the remark on results that use unlabelled clips of the test speakers; may be empty."""
    return TRANSDUCTIVE if config["head"].get("normalize") == "speaker" else ""


def _contents(experiment: Experiment) -> dict[str, str]:
    """Return a hash of labels, speakers and samples for each corpus."""
    found, row = {}, 0
    for part in experiment.manifest.parts or (experiment.manifest,):
        found[part.name] = experiment.content_hash(part, row)
        row += len(part)
    return found


def _kept(corpus: Manifest, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return the entry of a corpus in result.json: clips, merged emotions, dropped clips."""
    dropped = {label: count for label, count in corpus.counts().items() if label not in classes}
    merged = {"merged": corpus.merge, "merged_clips": corpus.merged_clips}
    return {"parser": corpus.parser, "clips": len(corpus), **merged, "dropped": dropped}


def _announce_corpora(experiment: Experiment) -> None:
    for corpus in experiment.manifest.parts or (experiment.manifest,):
        kept, counts = _kept(corpus, experiment.classes), corpus.counts()
        used = corpus.table[corpus.table["emotion"].isin(experiment.classes)]
        print_line(
            f"{'SYNTHETIC corpus' if corpus.synthetic else 'corpus'} {corpus.name}: {len(used)} clips, "
            f"{len(set(used['speaker']) - {''})} speakers, "
            + ", ".join(f"{c} {counts[c]}" for c in experiment.classes if c in counts)
            + "".join(f"; {old} {kept['merged_clips'][old]} counted as {new}" for old, new in kept["merged"].items())
            + "".join(f"; {label} {count} left out" for label, count in kept["dropped"].items())
        )
    print_notes(experiment.manifest)


def _announce_folds(experiment: Experiment, verdicts: set[str]) -> None:
    planned = experiment.folds.planned
    if not experiment.conditions:
        print_line(
            f"trains on all {len(experiment.folds[0].train)} clips, and tests none; audit: {', '.join(verdicts)}"
        )
        return
    tests = ", ".join(f"{fold.name} {len(fold.test)}".strip() for fold in planned[:FOLDS_SHOWN])
    more = f" and {len(planned) - FOLDS_SHOWN} more folds" if len(planned) > FOLDS_SHOWN else ""
    print_line(f"test folds: {tests} clips{more}; audit: {', '.join(sorted(verdicts))}")
    if experiment.protocol.remark:
        print_line(f"! {experiment.protocol.remark}")


@contextmanager
def _fold_lock(folder: Path, label: str) -> Iterator[None]:
    """Lock the folder of a fold for one run; the first process of a distributed run holds the lock for all."""
    locks = folder.parents[1] / ".locks"
    lock = Lock(locks / f"{folder.parent.name}-{folder.name}.lock", label)

    def try_acquire() -> bool:
        if not is_global_rank_zero():  # Lightning started it from the process that holds the lock
            return True
        with explain_write_errors(locks):
            locks.mkdir(parents=True, exist_ok=True)
            return lock.try_acquire()

    try:
        while not decide_on_rank_zero(try_acquire):
            time.sleep(POLL_SECONDS)
        yield
    finally:
        lock.release()
