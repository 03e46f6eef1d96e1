"""The data card of a corpus: what it holds, as text, as figures and as one HTML page."""

import base64
import html
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
from seenet.reporting.run_plots import counts_figure, durations_figure, folds_figure, speakers_figure

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #ccc; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: .2rem .8rem; text-align: right; }
td:first-child, th:first-child { text-align: left; } thead th { border-bottom: 2px solid #555; }
tbody tr:nth-child(even) { background: #f4f4f4; } img { max-width: 100%; } .note { color: #a33; font-weight: 600; }
.wide { overflow-x: auto; }
"""


@dataclass(frozen=True)
class Card:
    """A data card.

    Attributes:
        name: the corpus.
        note: what every reader must know first; may be empty.
        facts: one row a fact.
        tables: by heading.
        manifest: the corpus.
        store: its waveforms.
        rows: the utterances of the classes. Shape (clips,).
        classes: their order.
        folds: may be empty.
        dealt: how the folds were made, or why there are none.
    """

    name: str
    note: str
    facts: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    manifest: Manifest
    store: WaveformStore
    rows: np.ndarray
    classes: tuple[str, ...]
    folds: Sequence[Fold]
    dealt: str

    def text(self) -> str:
        """The card for a terminal; of long tables the first rows."""
        parts = [f"\n{self.name}", *([f"! {self.note}"] if self.note else []), self.facts.to_string(header=False)]
        for heading, table in self.tables.items():
            rest = f"\n… and {len(table) - 30} more rows" if len(table) > 30 else ""
            parts.append(f"\n{heading}\n{table.head(30).to_string()}{rest}")
        return "\n".join(parts) + "\n"


def _counted(manifest: Manifest, rows: np.ndarray, field: str, classes: Sequence[str]) -> pd.DataFrame:
    """Clips by value of a field and class; unknown values are named so."""
    table = manifest.table.iloc[rows]
    values = table[field].astype(str).replace("", "(unknown)")
    counts = pd.crosstab(values, table["emotion"].astype(str)).reindex(columns=list(classes), fill_value=0)
    order = sorted(counts.index, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name))
    return counts.loc[order].assign(all=lambda t: t.sum(axis=1)).rename_axis(index=field, columns=None)


def describe(
    manifest: Manifest, store: WaveformStore, classes: tuple[str, ...], folds: Sequence[Fold], dealt: str
) -> Card:
    """Gather what a card shows.

    Args:
        manifest: the corpus.
        store: its waveforms.
        classes: the classes that are shown, in their order.
        folds: the folds over them; may be empty.
        dealt: how they were made, or why there are none.
    """
    usable = np.flatnonzero(store.lengths > 0)
    index = store.index[usable]
    seconds = index["seconds"]
    rates = pd.Series(index["rate"]).value_counts().sort_index()
    channels = pd.Series(index["channels"]).value_counts().sort_index()
    speakers = set(manifest.column("speaker")) - {""}
    rows = usable[np.isin(manifest.column("emotion")[usable], classes)]
    kept = store.lengths.sum() / RATE
    low, median, high = np.quantile(seconds, [0, 0.5, 1])
    facts = {
        "clips": f"{len(manifest)}" + (f", of which {len(store.bad)} cannot be used" if store.bad else ""),
        "clips of the classes below": str(len(rows)),
        "speakers": str(len(speakers) or "unknown"),
        "hours": f"{seconds.sum() / 3600:.2f} ({kept / 3600:.2f} kept after the crop)",
        "seconds a clip": f"{low:.2f} to {high:.2f}, median {median:.2f}, mean {seconds.mean():.2f}",
        "sampling rates": ", ".join(f"{rate} Hz ({count})" for rate, count in rates.items()),
        "channels": ", ".join(f"{number} ({count})" for number, count in channels.items()),
        "silent clips": str(int(index["silent"].sum())),
    }
    if manifest.merge:
        facts["merged"] = ", ".join(
            f"{old} {manifest.merged_clips[old]} counted as {new}" for old, new in manifest.merge.items()
        )
    labels = pd.DataFrame({"clips": manifest.counts()})
    labels["share"] = [f"{100 * count / len(manifest):.1f} %" for count in labels["clips"]]
    labels["class"] = ["yes" if label in classes else "left out" for label in labels.index]
    tables = {"Labels": labels}
    for field, heading in (("gender", "By gender"), ("session", "By session"), ("language", "By language")):
        if len(manifest.table[field].cat.categories) > 1:
            tables[heading] = _counted(manifest, rows, field, classes)
    if speakers:
        tables["By speaker"] = _counted(manifest, rows, "speaker", classes)
    if folds:
        emotions = manifest.column("emotion")
        tests = {
            f"test fold {fold.number}: {fold.name}".removesuffix(": "): pd.Series(emotions[fold.test]).value_counts()
            for fold in folds
        }
        counts = pd.DataFrame(tests).T.reindex(columns=list(classes)).fillna(0).astype(int)
        counts["all"] = counts.sum(axis=1)
        voices = manifest.column("speaker")
        counts["speakers"] = [len(set(voices[fold.test]) - {""}) for fold in folds]
        tables[f"Test folds ({dealt})"] = counts
    note = "SYNTHETIC corpus: a program spoke these clips; no result on them says anything about speech"
    return Card(
        manifest.name,
        note if manifest.synthetic else "",
        pd.DataFrame({"": facts}),
        tables,
        manifest,
        store,
        rows,
        classes,
        folds,
        dealt,
    )


def write_card(card: Card, folder: Path) -> None:
    """Write card.html, which holds all of it, and each figure as PNG."""
    manifest, rows = card.manifest, card.rows
    emotions = manifest.column("emotion")[rows]
    seconds = card.store.index["seconds"][rows]
    title = f"{card.name}{' (SYNTHETIC)' if manifest.synthetic else ''}"
    figures = {"labels.png": "Clips by label", "durations.png": "Durations"}
    counts_figure(manifest.counts(), card.classes, title, folder / "labels.png")
    durations_figure({c: seconds[emotions == c] for c in card.classes}, title, folder / "durations.png")
    if "By speaker" in card.tables:
        figures["speakers.png"] = "Clips by speaker and class"
        speakers_figure(card.tables["By speaker"].drop(columns="all"), title, folder / "speakers.png")
    if card.folds:
        figures["folds.png"] = f"Labels of each test fold ({card.dealt})"
        shares = next(table for heading, table in card.tables.items() if heading.startswith("Test folds"))
        folds_figure(shares[list(card.classes)], title, folder / "folds.png")
    atomic_write_text(folder / "card.html", _page(card, title, figures, folder))


def _page(card: Card, title: str, figures: dict[str, str], folder: Path) -> str:
    parts = [f"<h1>{html.escape(title)}</h1>", "<p>data card</p>"]
    if card.note:
        parts.append(f'<p class="note">{html.escape(card.note)}</p>')
    parts.append(card.facts.to_html(header=False, border=0))
    if not card.folds:
        parts.append(f'<p class="note">No folds: {html.escape(card.dealt)}</p>')
    for name, heading in figures.items():
        data = base64.b64encode((folder / name).read_bytes()).decode()
        parts.append(
            f'<h2>{html.escape(heading)}</h2><img alt="{html.escape(heading)}" src="data:image/png;base64,{data}">'
        )
    for heading, table in card.tables.items():
        parts.append(f'<h2>{html.escape(heading)}</h2><div class="wide">{table.to_html(border=0)}</div>')
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}: data card</title>'
        f"<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n"
    )
