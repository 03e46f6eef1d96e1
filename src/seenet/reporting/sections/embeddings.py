"""Section on embeddings: t-SNE of the pooled vectors of one test fold."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seenet.reporting.arm_metrics import ArmMetrics
from seenet.reporting.document import Section
from seenet.reporting.figure_export import save_figure
from seenet.reporting.report_plots import plot_embeddings
from seenet.reporting.result_loader import LoadedResult, encode_classes

MAX_POINTS = 1000
MIN_POINTS = 8
PERPLEXITY = 30.0
HEADING = "Embeddings"


def build_embedding_section(best: ArmMetrics, baseline: ArmMetrics, folder: Path, prefix: str) -> Section:
    """Build the t-SNE figure of one fold.

    Models of different folds have different embedding spaces.
    """
    best_results = {result.fold_and_seed: result for result in best.results}
    shared = next((result for result in baseline.results if result.fold_and_seed in best_results), None)
    results = {best.arm.name: best_results[shared.fold_and_seed] if shared else best.results[0]}
    if shared and baseline is not best:
        results[baseline.arm.name] = shared
    projections = {name: _project_to_plane(result, best.classes) for name, result in results.items()}
    available = {name: projection for name, projection in projections.items() if projection is not None}
    if not available:
        return Section(HEADING, [f"The results lack embeddings.npy or have fewer than {MIN_POINTS} clips."])
    fold, seed = results[best.arm.name].fold_and_seed
    picture = save_figure(
        plot_embeddings(available, best.classes),
        folder,
        f"{prefix}embedding",
        f"t-SNE of the pooled vectors of test fold {fold}, seed {seed}: the best arm and the baseline.",
        "Clips in the plane, by emotion",
    )
    return Section(HEADING, ["Distances between groups mean little in t-SNE."], [picture])


def _project_to_plane(result: LoadedResult, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray] | None:
    """Project a random sample of clips to the plane.

    Returns:
        Coordinates, shape (clips, 2), and class indices, shape (clips,); None if a file is missing or there are fewer
        than `MIN_POINTS` clips.
    """
    from sklearn.manifold import TSNE

    vectors, rows = result.embeddings, result.predictions
    if vectors is None or rows is None or len(rows) < MIN_POINTS:
        return None
    chosen = np.random.default_rng(0).permutation(len(rows))[:MAX_POINTS]
    perplexity = min(PERPLEXITY, (len(chosen) - 1) / 3)
    coordinates = TSNE(perplexity=perplexity, random_state=0).fit_transform(vectors[chosen])
    return coordinates, encode_classes(rows["label"], classes)[chosen]
