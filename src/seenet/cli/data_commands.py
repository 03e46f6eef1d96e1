"""The commands of `seenet-data`: check, prepare, show and manifest."""

import csv
from collections import Counter
from pathlib import Path

from omegaconf import DictConfig, OmegaConf
from rich import box
from rich.markup import escape
from rich.table import Table

from seenet.core.atomic import atomic_path
from seenet.core.console import escape_unprintable, make_console, print_line
from seenet.core.errors import SeenetError
from seenet.corpora.bad_files import apply_bad_file_policy
from seenet.corpora.checks import Finding, find_problems
from seenet.corpora.folds import make_folds
from seenet.corpora.loading import build_scheme, load_corpus, parse_corpus, print_notes
from seenet.corpora.manifest import Manifest, write_manifest
from seenet.corpora.protocols import Paper
from seenet.corpora.waveform_store import open_store

MAX_SHOWN_FINDINGS = 20
"""Findings of one kind that the console shows; `findings.csv` has all."""


def _output_folder(cfg: DictConfig, manifest: Manifest) -> Path:
    return Path(cfg.output_dir) / manifest.name


def check(cfg: DictConfig) -> bool:
    """Print and write every problem of a corpus, then a verdict.

    Returns:
        Whether the corpus has no error.
    """
    manifest = parse_corpus(cfg)
    store = open_store(manifest, cfg.max_seconds)
    dataset = OmegaConf.to_container(cfg.dataset)
    known = dataset.get("known") if isinstance(dataset, dict) else None
    if not (known is None or isinstance(known, dict)) or not isinstance((known or {}).get("emotions", {}), dict):
        raise SeenetError(f"dataset.known={known}: expected e.g. {{clips: 10, emotions: {{sad: 5}}}}, or null")
    findings = find_problems(manifest, store, known)
    path = _output_folder(cfg, manifest) / "findings.csv"
    with atomic_path(path) as building, building.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["kind", "grave", "file", "detail"])
        writer.writerows([f.kind, f.severity == "error", f.file, f.detail] for f in findings)
    print_notes(manifest)
    _print_findings(findings)
    errors = sum(finding.severity == "error" for finding in findings)
    verdict = f"{errors} errors, {len(findings) - errors} warnings; see '{path}'" if findings else "no problems"
    print_line(f"{manifest.name}, {len(manifest)} clips: {'NOT OK' if errors else 'OK'} ({verdict})")
    return not errors


def _print_findings(findings: list[Finding]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("", "kind", "file", "detail"):
        table.add_column(column, overflow="fold")
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.kind] += 1
        if seen[finding.kind] <= MAX_SHOWN_FINDINGS:
            table.add_row(
                "!" if finding.severity == "error" else "",
                finding.kind,
                escape(escape_unprintable(finding.file)),
                escape(finding.detail),
            )
    for kind, count in seen.items():
        if count > MAX_SHOWN_FINDINGS:
            table.add_row("", kind, f"and {count - MAX_SHOWN_FINDINGS} more", "")
    if findings:
        make_console().print(table)


def prepare(cfg: DictConfig) -> bool:
    """Decode and resample a corpus into the store."""
    manifest = parse_corpus(cfg)
    store = open_store(manifest, cfg.max_seconds)
    apply_bad_file_policy(manifest, store, cfg.dataset.on_bad_file)
    hours = store.lengths.sum() / 16000 / 3600
    print_line(
        f"{manifest.name}: {len(manifest) - len(store.bad)} clips, {hours:.2f} hours at 16 kHz in '{store.folder}'"
    )
    return True


def show(cfg: DictConfig) -> bool:
    """Print and write the data card of a corpus."""
    from seenet.reporting.corpus_card import build_card, write_card  # imports matplotlib

    manifest, classes, indices = load_corpus(cfg)
    store = open_store(manifest, cfg.max_seconds)
    scheme = build_scheme(cfg)
    division = str(cfg.dataset.folds) if cfg.test_dataset is None else "trained on one corpus, tested on others"
    try:
        folds = list(make_folds(manifest, indices, scheme, Paper()).without(store.bad))
    except SeenetError as error:  # the card then states why the corpus has no folds
        folds, division = [], str(error)
    card = build_card(manifest, store, classes, folds, division)
    folder = _output_folder(cfg, manifest)
    write_card(card, folder)
    print_line(card.format_text())
    print_notes(manifest)
    print_line(f"data card: {folder / 'card.html'}")
    return True


def manifest(cfg: DictConfig) -> bool:
    """Write all clips with their labels as CSV."""
    corpus = parse_corpus(cfg)
    path = _output_folder(cfg, corpus) / "manifest.csv"
    write_manifest(corpus.table, path)
    print_notes(corpus)
    print_line(f"{len(corpus)} clips of {corpus.name}: '{path}' (paths are relative to '{corpus.root}')")
    return True
