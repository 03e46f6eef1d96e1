"""The recipe of `seenet-train`: corpus, folds, audit, training, test, table."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from seenet.core.atomic import explain_write_errors
from seenet.core.console import print_line, warn_on_failure
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
from seenet.runs.directory import names_of
from seenet.runs.environment import git_commit, versions
from seenet.runs.identity import IDENTITY_SCHEMA
from seenet.runs.results import SCHEMA
from seenet.training.experiment import Experiment

FOLDS_SHOWN = 20
"""How many test folds the console names."""


def run_experiment(cfg: DictConfig) -> list[Path]:
    """Train every fold that the configuration asks for, and test it under every condition; what is finished is reused.

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
        from seenet.training.auto_batch_size import resolve_batch_size  # brings Lightning and transformers

        job = resolve_batch_size(cfg)
    else:
        job = Experiment.of(cfg)
    if job.plan.compile == "auto" and job.folds_to_train():
        from seenet.training.auto_compile import resolve_compile

        job = resolve_compile(job)
    _announce_corpora(job)
    verdicts = {str(_audit(job, job.folds.outline(number))["verdict"]) for number in job.chosen}
    _announce_folds(job, verdicts)
    run = job.run
    print_line(f"run {run.folder}")
    connect_processes(job.plan.accelerator == "gpu")
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in job.conditions}
    for position, number in enumerate(job.chosen, start=1):
        label = f"fold {number} ({position}/{len(job.chosen)})"
        for name, result in _test_fold(job, number, label).items():
            results[name].append(result)
    if is_global_rank_zero():
        from seenet.reporting.run_plots import plot_run_confusion, plot_run_curves

        with warn_on_failure("curves.png of the run"):
            trainings = sorted({job.training_name(number) for number in job.chosen})
            plot_run_curves([run.folder / name for name in trainings], next(iter(results.values())))
        for name, of_condition in results.items():
            with warn_on_failure(f"the confusion matrix of {name}"):
                plot_run_confusion(run.folder, of_condition)
    if len(results) == 1:
        print_run(*results.values())
    else:
        print_conditions(list(results.values()))
    print_line(f"checkpoints, predictions and pictures: {run.folder}")
    return [folder for _, _, folder in job.tests()]


def _audit(job: Experiment, fold: Fold) -> dict[str, object]:
    return audit_leaks(job.manifest, job.store.digests, fold, job.protocol)


def _test_fold(job: Experiment, number: int, label: str) -> dict[str, dict[str, Any]]:
    """The results of one fold under every condition, after training it where that is still to be done."""
    results = decide_on_rank_zero(lambda: job.results(number))
    if not all(results.values()):
        with _fold_lock(job.fold_folder(number), label):
            results = decide_on_rank_zero(lambda: job.results(number))
            if not all(results.values()):
                return _run_fold(job, number, label, results)
    print_line(f"fold {number}: finished before, reused")
    return {name: result for name, result in results.items() if result}


def _run_fold(
    job: Experiment, number: int, label: str, results: dict[str, dict[str, Any] | None]
) -> dict[str, dict[str, Any]]:
    """Train a fold where that is still to be done, and test it under the conditions that have no result."""
    from seenet.training.fold_runner import FoldRunner  # brings Lightning and transformers

    if job.store.bad:
        decide_on_rank_zero(lambda: write_bad_files(job.run.folder / BAD_FILES, job.manifest, job.store.bad))
    fold = job.fold(number)
    audited = _audit(job, fold)
    fold_run = FoldRunner(job, fold)
    made_with = {
        "versions": versions(),
        "git_commit": git_commit(),
        "device": job.plan.device_name(),
        "precision": job.plan.precision,
        "compiled": job.plan.compile is True,
    }
    trained = decide_on_rank_zero(lambda: fold_run.read_trained(label)) or fold_run.train(label, made_with)
    facts = {**_result_metadata(job, fold), "audit": audited, **trained}
    tested = {}
    for _, name, folder in job.tests([number]):
        result = results[name]
        if result is None:
            if (folder / "result.json").exists():
                print_line(
                    f"! {label}: '{folder / 'result.json'}' is damaged or of another run; {name} is tested again"
                )
            condition = job.conditions[name]
            config = {**job.config, "noise": job.config["noise"] | {"conditions": {}}}
            config["noise"]["conditions"][name] = job.config["noise"]["conditions"][name]
            about = {"noise": name, "condition": condition.settings, "config": config}
            result = fold_run.test(folder, condition, {**facts, **about})
        else:
            print_line(f"fold {fold.number}, {name}: tested before, reused")
        tested[name] = result
    return tested


def _result_metadata(job: Experiment, fold: Fold) -> dict[str, Any]:
    """What result.json says of a fold whatever was trained and tested."""
    manifest, protocol = job.manifest, job.protocol
    return {
        "schema": SCHEMA,
        "run_id": job.run.run_id(job.training_name(fold.number)),
        "test_hash": job.test_hash(job.folds.planned[fold.number]),
        "dataset": manifest.name,
        "synthetic": manifest.synthetic,
        **names_of(job.config),
        "selection": protocol.selection,
        "remark": protocol.remark,
        "fold": fold.number,
        "test_part": fold.name,
        "trained_fold": fold.training,
        "n_folds": len(job.folds),
        "seed": job.cfg.seed,
        "classes": list(job.classes),
        **{f"n_{part}": len(getattr(fold, part)) for part in ("train", "dev", "test")},
        "bad_files": {"count": len(job.store.bad), "list": BAD_FILES if job.store.bad else None},
        "corpora": {part.name: _kept(part, job.classes) for part in manifest.parts or (manifest,)},
        "learned": {
            "schema": IDENTITY_SCHEMA,
            "weights": job.weights.fingerprint,
            "devices": job.plan.devices,
            "corpora": _contents(job),
        },
    }


def _contents(job: Experiment) -> dict[str, str]:
    """For each corpus a hash of its labels, its speakers and its clips' samples."""
    found, row = {}, 0
    for part in job.manifest.parts or (job.manifest,):
        found[part.name] = job.content_hash(part, row)
        row += len(part)
    return found


def _kept(corpus: Manifest, classes: tuple[str, ...]) -> dict[str, Any]:
    """What result.json says of a corpus: its clips, the emotions merged into others, and the clips left out."""
    dropped = {label: count for label, count in corpus.counts().items() if label not in classes}
    merged = {"merged": corpus.merge, "merged_clips": corpus.merged_clips}
    return {"parser": corpus.parser, "clips": len(corpus), **merged, "dropped": dropped}


def _announce_corpora(job: Experiment) -> None:
    for corpus in job.manifest.parts or (job.manifest,):
        kept, counts = _kept(corpus, job.classes), corpus.counts()
        used = corpus.table[corpus.table["emotion"].isin(job.classes)]
        print_line(
            f"{'SYNTHETIC corpus' if corpus.synthetic else 'corpus'} {corpus.name}: {len(used)} clips, "
            f"{len(set(used['speaker']) - {''})} speakers, "
            + ", ".join(f"{c} {counts[c]}" for c in job.classes if c in counts)
            + "".join(f"; {old} {kept['merged_clips'][old]} counted as {new}" for old, new in kept["merged"].items())
            + "".join(f"; {label} {count} left out" for label, count in kept["dropped"].items())
        )
    print_notes(job.manifest)


def _announce_folds(job: Experiment, verdicts: set[str]) -> None:
    planned = job.folds.planned
    tests = ", ".join(f"{fold.name} {len(fold.test)}".strip() for fold in planned[:FOLDS_SHOWN])
    more = f" and {len(planned) - FOLDS_SHOWN} more folds" if len(planned) > FOLDS_SHOWN else ""
    print_line(f"test folds: {tests} clips{more}; audit: {', '.join(sorted(verdicts))}")
    if job.protocol.remark:
        print_line(f"! {job.protocol.remark}")


@contextmanager
def _fold_lock(folder: Path, label: str) -> Iterator[None]:
    """Let one run at a time work in a fold's folder; all processes of a distributed run hold the lock of the first."""
    locks = folder.parents[1] / ".locks"
    lock = Lock(locks / f"{folder.parent.name}-{folder.name}.lock", label)

    def try_acquire() -> bool:
        if not is_global_rank_zero():  # started by Lightning from the process that holds it
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
