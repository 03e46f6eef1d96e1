"""What `seenet-data` does: check, prepare, show and list a corpus."""

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

SHOWN = 20  # findings of a kind that the console shows


def _folder(cfg: DictConfig, manifest: Manifest) -> Path:
    return Path(cfg.output_dir) / manifest.name


def check(cfg: DictConfig) -> bool:
    """Print and write down every problem of a corpus, and a verdict.

    Returns:
        Whether nothing grave was found.
    """
    manifest = parse_corpus(cfg)
    store = open_store(manifest, cfg.max_seconds)
    known = OmegaConf.to_container(cfg.dataset).get("known")
    if not (known is None or isinstance(known, dict)) or not isinstance((known or {}).get("emotions", {}), dict):
        raise SeenetError(f"dataset.known={known}: expected e.g. {{clips: 10, emotions: {{sad: 5}}}}, or null")
    findings = find_problems(manifest, store, known)
    path = _folder(cfg, manifest) / "findings.csv"
    with atomic_path(path) as building, building.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["kind", "grave", "file", "detail"])
        writer.writerows([f.kind, f.severity == "error", f.file, f.detail] for f in findings)
    print_notes(manifest)
    _print(findings)
    grave = sum(finding.severity == "error" for finding in findings)
    verdict = f"{grave} grave, {len(findings) - grave} to know of; all are in '{path}'" if findings else "nothing found"
    print_line(f"{manifest.name}, {len(manifest)} clips: {'NOT OK' if grave else 'OK'} ({verdict})")
    return not grave


def _print(findings: list[Finding]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("", "kind", "file", "detail"):
        table.add_column(column, overflow="fold")
    seen: Counter[str] = Counter()
    for finding in findings:
        seen[finding.kind] += 1
        if seen[finding.kind] <= SHOWN:
            table.add_row(
                "!" if finding.severity == "error" else "",
                finding.kind,
                escape(escape_unprintable(finding.file)),
                escape(finding.detail),
            )
    for kind, count in seen.items():
        if count > SHOWN:
            table.add_row("", kind, f"and {count - SHOWN} more", "")
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
    """Print and write the data card."""
    from seenet.reporting.corpus_card import build_card, write_card  # brings matplotlib

    manifest, classes, indices = load_corpus(cfg)
    store = open_store(manifest, cfg.max_seconds)
    scheme = build_scheme(cfg)
    dealt = str(cfg.dataset.folds) if cfg.test_dataset is None else "trained on one corpus, tested on others"
    try:
        folds = list(make_folds(manifest, indices, scheme, Paper()).without(store.bad))
    except SeenetError as error:  # a card is of use without folds too, and says why it has none
        folds, dealt = [], str(error)
    card = build_card(manifest, store, classes, folds, dealt)
    folder = _folder(cfg, manifest)
    write_card(card, folder)
    print_line(card.format_text())
    print_notes(manifest)
    print_line(f"data card: {folder / 'card.html'}")
    return True


def manifest(cfg: DictConfig) -> bool:
    """Write every clip with its labels as CSV."""
    corpus = parse_corpus(cfg)
    path = _folder(cfg, corpus) / "manifest.csv"
    write_manifest(corpus.table, path)
    print_notes(corpus)
    print_line(f"{len(corpus)} clips of {corpus.name}: '{path}' (paths start from '{corpus.root}')")
    return True
