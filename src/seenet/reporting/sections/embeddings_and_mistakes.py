"""Single clips: where they lie among the others, and the worst mistakes to listen to."""

import base64
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seenet.reporting import report_plots
from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section, Sound
from seenet.reporting.result_loader import LoadedResult, codes

SHOWN = 1000  # points of an embedding
SOUNDS = 8
PERPLEXITY = 30.0


def _plane(result: LoadedResult, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """Places of a fold's clips in the plane, and their classes; None where a file is missing or clips are few."""
    from sklearn.manifold import TSNE

    vectors, rows = result.embeddings, result.predictions
    if vectors is None or rows is None or len(rows) < 8:
        return None
    chosen = np.random.default_rng(0).permutation(len(rows))[:SHOWN]
    perplexity = min(PERPLEXITY, (len(chosen) - 1) / 3)
    places = TSNE(perplexity=perplexity, random_state=0).fit_transform(vectors[chosen])
    return places, codes(rows["label"], classes)[chosen]


def embedding_section(best: ArmMetrics, baseline: ArmMetrics, folder: Path, prefix: str) -> Section:
    """t-SNE of the pooled vectors of one fold: another fold's model has another space."""
    heading = "Pooled vectors"
    parts = {r.part: r for r in best.results}
    shared = next((r for r in baseline.results if r.part in parts), None)
    pairs = {best.arm.name: parts[shared.part] if shared else best.results[0]}
    if shared and baseline is not best:
        pairs[baseline.arm.name] = shared
    planes = {name: _plane(result, best.classes) for name, result in pairs.items()}
    found = {name: plane for name, plane in planes.items() if plane is not None}
    if not found:
        return Section(heading, ["No embeddings.npy beside predictions.csv, or fewer than 8 clips."])
    fold, seed = pairs[best.arm.name].part
    caption = f"t-SNE of the pooled vectors of test fold {fold}, seed {seed}: the best arm and the baseline."
    picture = report_plots.save_figure(
        report_plots.embedding(found, best.classes),
        folder,
        f"{prefix}embedding",
        caption,
        "Clips in the plane, by emotion",
    )
    return Section(heading, ["Distances between groups mean little in t-SNE."], [picture])


def mistakes_section(best: ArmMetrics, audio: bool) -> Section:
    """The most confident wrong predictions of an arm, with their sound."""
    heading = "The worst mistakes"
    if not audio:
        return Section(heading, ["Left out: --no-audio."])
    found = []
    for result in best.results:
        rows = result.predictions
        if rows is None:
            continue
        for row in np.flatnonzero(rows["label"] != rows["prediction"]):
            if sound := result.sound(int(row)):
                clip = rows.iloc[row]
                found.append((clip[f"p_{clip['prediction']}"], clip, result.part, sound))
    found.sort(key=lambda item: -item[0])
    if not found:
        return Section(heading, ["No run left the sound of a mistake (mistakes/ beside predictions.csv)."])
    sounds = [
        Sound(
            f"{clip['utterance']}: {clip['label']}, taken for {clip['prediction']} ({100 * share:.0f} %); "
            f"speaker {clip['speaker'] or 'unknown'}, fold {fold}, seed {seed}",
            "data:audio/mpeg;base64," + base64.b64encode(sound.read_bytes()).decode(),
        )
        for share, clip, (fold, seed), sound in found[:SOUNDS]
    ]
    notes = [
        f"The most confident wrong predictions of {best.arm.name}.",
        "This page holds these clips. Audio of a licensed corpus must not be passed on: make the page with --no-audio "
        "before you do.",
    ]
    return Section(heading, notes, sounds=sounds)
