"""Data card of a corpus: its content as text, as figures and as one HTML page."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from seenet.audio.reading import RATE
from seenet.core.atomic import atomic_write_text
from seenet.corpora.folds import Fold
from seenet.corpora.manifest import Manifest
from seenet.corpora.waveform_store import WaveformStore
from seenet.reporting.page_templates import load_template
from seenet.reporting.run_plots import plot_durations, plot_fold_labels, plot_label_counts, plot_speaker_counts

MAX_CONSOLE_ROWS = 30
"""Rows of a table that the console shows."""

SPEAKER_HEADING = "By speaker"
FOLD_HEADING = "Test folds"


@dataclass(frozen=True)
class CorpusCard:
    """A data card.

    Attributes:
        name: the name of the corpus.
        warning: the first paragraph; may be empty.
        facts: one fact per row.
        tables: by heading.
        manifest: the corpus.
        store: its waveforms.
        rows: the utterances that belong to a class. Shape (clips,).
        classes: the class names in their order.
        folds: may be empty.
        scheme_note: the split scheme, or the reason for having no folds.
    """

    name: str
    warning: str
    facts: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    manifest: Manifest
    store: WaveformStore
    rows: np.ndarray
    classes: tuple[str, ...]
    folds: Sequence[Fold]
    scheme_note: str

    @property
    def title(self) -> str:
        """Title of the page and of its figures."""
        return f"{self.name}{' (SYNTHETIC)' if self.manifest.synthetic else ''}"

    def format_text(self) -> str:
        """Return the card for a terminal, with the first rows of long tables."""
        parts = [f"\n{self.name}", *([f"! {self.warning}"] if self.warning else []), self.facts.to_string(header=False)]
        for heading, table in self.tables.items():
            hidden = len(table) - MAX_CONSOLE_ROWS
            rest = f"\n… and {hidden} more rows" if hidden > 0 else ""
            parts.append(f"\n{heading}\n{table.head(MAX_CONSOLE_ROWS).to_string()}{rest}")
        return "\n".join(parts) + "\n"


def build_card(
    manifest: Manifest, store: WaveformStore, classes: tuple[str, ...], folds: Sequence[Fold], scheme_note: str
) -> CorpusCard:
    """Collect the content of a data card.

    Args:
        manifest: the corpus.
        store: its waveforms.
        classes: the class names in their order.
        folds: the folds over them; may be empty.
        scheme_note: the split scheme, or the reason for having no folds.
    """
    usable = np.flatnonzero(store.lengths > 0)
    rows = usable[np.isin(manifest.column("emotion")[usable], classes)]
    tables = {"Labels": _table_labels(manifest, classes)}
    for field, heading in (("gender", "By gender"), ("session", "By session"), ("language", "By language")):
        if len(manifest.table[field].cat.categories) > 1:
            tables[heading] = _cross_tabulate(manifest, rows, field, classes)
    if set(manifest.column("speaker")) - {""}:
        tables[SPEAKER_HEADING] = _cross_tabulate(manifest, rows, "speaker", classes)
    if folds:
        tables[f"{FOLD_HEADING} ({scheme_note})"] = _table_folds(manifest, classes, folds)
    warning = "SYNTHETIC corpus: computer-generated clips; results on them do not apply to real speech"
    return CorpusCard(
        name=manifest.name,
        warning=warning if manifest.synthetic else "",
        facts=pd.DataFrame({"": _collect_facts(manifest, store, usable, len(rows))}),
        tables=tables,
        manifest=manifest,
        store=store,
        rows=rows,
        classes=classes,
        folds=folds,
        scheme_note=scheme_note,
    )


def _collect_facts(manifest: Manifest, store: WaveformStore, usable: np.ndarray, n_class_clips: int) -> dict[str, str]:
    """Return the facts about all usable clips by their names."""
    index = store.index[usable]
    seconds = index["seconds"]
    rates = pd.Series(index["rate"]).value_counts().sort_index()
    channels = pd.Series(index["channels"]).value_counts().sort_index()
    kept_seconds = store.lengths.sum() / RATE
    low, median, high = np.quantile(seconds, [0, 0.5, 1])
    facts = {
        "clips": f"{len(manifest)}" + (f", of which {len(store.bad)} cannot be used" if store.bad else ""),
        "clips of the classes below": str(n_class_clips),
        "speakers": str(len(set(manifest.column("speaker")) - {""}) or "unknown"),
        "hours": f"{seconds.sum() / 3600:.2f} ({kept_seconds / 3600:.2f} kept after the crop)",
        "seconds per clip": f"{low:.2f} to {high:.2f}, median {median:.2f}, mean {seconds.mean():.2f}",
        "sampling rates": ", ".join(f"{rate} Hz ({count})" for rate, count in rates.items()),
        "channels": ", ".join(f"{number} ({count})" for number, count in channels.items()),
        "silent clips": str(int(index["silent"].sum())),
    }
    if manifest.merge:
        facts["merged"] = ", ".join(
            f"{old} {manifest.merged_clips[old]} counted as {new}" for old, new in manifest.merge.items()
        )
    return facts


def _table_labels(manifest: Manifest, classes: Sequence[str]) -> pd.DataFrame:
    """Tabulate clips and share of each label, and whether the label is a class."""
    labels = pd.DataFrame({"clips": manifest.counts()})
    labels["share"] = [f"{100 * count / len(manifest):.1f} %" for count in labels["clips"]]
    labels["class"] = ["yes" if label in classes else "left out" for label in labels.index]
    return labels


def _cross_tabulate(manifest: Manifest, rows: np.ndarray, field: str, classes: Sequence[str]) -> pd.DataFrame:
    """Count clips by value of a field and class; an unknown value reads `(unknown)`."""
    table = manifest.table.iloc[rows]
    values = table[field].astype(str).replace("", "(unknown)")
    counts = pd.crosstab(values, table["emotion"].astype(str)).reindex(columns=list(classes), fill_value=0)
    order = sorted(counts.index, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))
    return counts.loc[order].assign(all=lambda t: t.sum(axis=1)).rename_axis(index=field, columns=None)


def _table_folds(manifest: Manifest, classes: Sequence[str], folds: Sequence[Fold]) -> pd.DataFrame:
    """Count test clips by fold and class, and the speakers of each fold."""
    emotions, speakers = manifest.column("emotion"), manifest.column("speaker")
    tests = {
        f"test fold {fold.number}: {fold.name}".removesuffix(": "): pd.Series(emotions[fold.test]).value_counts()
        for fold in folds
    }
    counts = pd.DataFrame(tests).T.reindex(columns=list(classes)).fillna(0).astype(int)
    counts["all"] = counts.sum(axis=1)
    counts["speakers"] = [len(set(speakers[fold.test]) - {""}) for fold in folds]
    return counts


def write_card(card: CorpusCard, folder: Path) -> None:
    """Write the self-contained card.html and each figure as PNG."""
    emotions = card.manifest.column("emotion")[card.rows]
    seconds = card.store.index["seconds"][card.rows]
    headings = {"labels.png": "Clips by label", "durations.png": "Durations"}
    plot_label_counts(card.manifest.counts(), card.classes, card.title, folder / "labels.png")
    plot_durations({c: seconds[emotions == c] for c in card.classes}, card.title, folder / "durations.png")
    if SPEAKER_HEADING in card.tables:
        headings["speakers.png"] = "Clips by speaker and class"
        plot_speaker_counts(card.tables[SPEAKER_HEADING].drop(columns="all"), card.title, folder / "speakers.png")
    if card.folds:
        headings["folds.png"] = f"Labels of each test fold ({card.scheme_note})"
        counts = next(table for heading, table in card.tables.items() if heading.startswith(FOLD_HEADING))
        plot_fold_labels(counts[list(card.classes)], card.title, folder / "folds.png")
    pictures = [
        (heading, base64.b64encode((folder / name).read_bytes()).decode()) for name, heading in headings.items()
    ]
    page = load_template("corpus_card.html.j2").render(card=card, pictures=pictures)
    atomic_write_text(folder / "card.html", page)
