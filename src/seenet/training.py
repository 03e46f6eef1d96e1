"""The recipe of `seenet-train`: corpus, folds, audit, training, test, table."""

import json
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from omegaconf import DictConfig, OmegaConf

from seenet.backbone.weights import find_weights
from seenet.build import build
from seenet.console import is_main_process, say
from seenet.corpus import load_corpus, scheme_of
from seenet.decoding import BAD_FILES, write_bad_files
from seenet.errors import SeenetError
from seenet.folds import Fold, Protocol, audit, choose_folds, make_folds
from seenet.manifest import Manifest
from seenet.report.tables import print_run
from seenet.runs import SCHEMA, Run, git_commit, read_result, versions
from seenet.store import prepare, refuse_bad_files
from seenet.trainer import TrainerPlan


def train(cfg: DictConfig) -> list[Path]:
    """Train and test every fold that the configuration asks for; what is finished is reused.

    Args:
        cfg: the composed configuration (conf/train.yaml).

    Returns:
        The folder with the result of each fold.

    Raises:
        SeenetError: anything the user can put right; finished folds stay finished.
    """
    if not isinstance(cfg.seed, int) or cfg.seed < 0:
        raise SeenetError(f"seed={cfg.seed}: expected a whole number, 0 or more")
    weights = find_weights(cfg.backbone.family, cfg.backbone.checkpoint, cfg.backbone.revision, cfg.backbone.path)
    manifest, classes, indices = load_corpus(cfg)
    plan: TrainerPlan = build(cfg.trainer, "trainer")  # after the corpus, whose mistakes need not wait for torch
    protocol: Protocol = build(cfg.protocol, "protocol")
    folds = make_folds(manifest, indices, scheme_of(cfg), protocol)
    chosen = choose_folds(OmegaConf.to_object(cfg.fold) if OmegaConf.is_list(cfg.fold) else cfg.fold, len(folds))
    store = prepare(manifest, cfg.data.max_seconds)
    refuse_bad_files(manifest, store, cfg.dataset.on_bad_file)
    folds = [fold.without(store.bad) for fold in folds]
    for number in chosen:
        _require_clips(manifest, folds[number], classes)
    audits = {number: audit(manifest, store.digests, folds[number], protocol) for number in chosen}
    _announce(manifest, classes, folds, protocol, {str(found["verdict"]) for found in audits.values()})

    config: Any = OmegaConf.to_container(cfg, resolve=True)
    learned = {
        "corpus": manifest.digest(),
        "classes": classes,
        "audio": store.key,
        "weights": weights.fingerprint,
        "trainer": plan.learned(),
    }
    run = Run.of(Path(cfg.output_dir), manifest.name, config, learned)
    say(f"run {run.folder}")
    if store.bad and is_main_process():
        write_bad_files(run.folder / BAD_FILES, manifest, store.bad)
    common = {
        "schema": SCHEMA,
        "dataset": manifest.name,
        "synthetic": manifest.synthetic,
        **{group: cfg[group].name for group in ("backbone", "aug", "aux_task", "noise", "protocol")},
        "selection": protocol.selection,
        "remark": protocol.remark,
        "n_folds": len(folds),
        "seed": cfg.seed,
        "classes": list(classes),
        "bad_files": {"count": len(store.bad), "list": BAD_FILES if store.bad else None},
        "corpora": {part.name: _kept(part, classes) for part in manifest.parts or (manifest,)},
        "config": config,
    }
    made_with = {
        "versions": versions(),
        "git_commit": git_commit(),
        "device": plan.device_name(),
        "precision": plan.precision,
    }
    results, folders = [], []
    for position, number in enumerate(chosen, start=1):
        fold = folds[number]
        folder, tested = run.fold_folder(fold), run.test_folder(fold, config["noise"])
        with _alone(folder):
            result = read_result(tested)
            if result is None:
                from seenet.fit import Corpus, FoldRun  # brings Lightning and transformers

                label = f"fold {number} ({position}/{len(chosen)})"
                fold_run = FoldRun(cfg, Corpus(manifest, store, classes), fold, weights, plan, folder, protocol)
                done = folder / "trained.json"
                trained = json.loads(done.read_text()) if done.is_file() else fold_run.train(label, made_with)
                sizes = {f"n_{part}": len(getattr(fold, part)) for part in ("train", "dev", "test")}
                facts = {"run_id": run.run_id(number), "fold": number, "audit": audits[number], **sizes}
                facts |= {"test_part": fold.name, "trained_fold": fold.training}
                result = fold_run.test(tested, {**common, **facts, **trained})
            else:
                say(f"fold {number}: finished before, reused")
        results.append(result)
        folders.append(tested)
    if is_main_process():
        from seenet.report.summary import draw_run

        draw_run(run.folder, results, folders[0].name)
    print_run(results)
    say(f"checkpoints, predictions and pictures: {run.folder}")
    return folders


def _kept(corpus: Manifest, classes: tuple[str, ...]) -> dict[str, Any]:
    """What result.json says of a corpus: its clips, the emotions merged into others, and the clips left out."""
    dropped = {label: count for label, count in corpus.counts().items() if label not in classes}
    return {"clips": len(corpus), "merged": corpus.merge, "dropped": dropped}


def _require_clips(manifest: Manifest, fold: Fold, classes: tuple[str, ...]) -> None:
    for part in ("dev", "test"):
        if len(getattr(fold, part)) == 0:
            raise SeenetError(f"fold {fold.number} has no clip in its {part} part; choose other folds")
    present = set(manifest.column("emotion")[fold.train])
    absent = [c for c in classes if c not in present]
    if absent:
        raise SeenetError(f"fold {fold.number} has no clip of class '{absent[0]}' to train on; choose other folds")


def _announce(
    manifest: Manifest,
    classes: tuple[str, ...],
    folds: list[Fold],
    protocol: Protocol,
    verdicts: set[str],
) -> None:
    for corpus in manifest.parts or (manifest,):
        kept, counts = _kept(corpus, classes), corpus.counts()
        used = corpus.table[corpus.table["emotion"].isin(classes)]
        say(
            f"{'SYNTHETIC corpus' if corpus.synthetic else 'corpus'} {corpus.name}: {len(used)} clips, "
            f"{len(set(used['speaker']) - {''})} speakers, "
            + ", ".join(f"{c} {counts[c]}" for c in classes if c in counts)
            + "".join(f"; {old} counted as {new}" for old, new in kept["merged"].items())
            + "".join(f"; {label} {count} left out" for label, count in kept["dropped"].items())
        )
    tests = ", ".join(f"{fold.name} {len(fold.test)}".strip() for fold in folds)
    say(f"test folds: {tests} clips; audit: {', '.join(sorted(verdicts))}")
    if protocol.remark:
        say(f"! {protocol.remark}")


def _alone(folder: Path) -> AbstractContextManager[object]:
    """One run at a time in a fold's folder; the helpers of a distributed run belong to it."""
    if not is_main_process():
        return nullcontext()
    locks = folder.parents[1] / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"{folder.parent.name}-{folder.name}.lock")
