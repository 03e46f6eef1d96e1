"""Stratified division of groups, equal to that of scikit-learn without the second that its import takes."""

import numpy as np
from numpy.typing import NDArray


def divide_groups(
    parts: int, seed: int, labels: NDArray[np.int64], groups: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Divide groups into parts with similar label distributions.

    This is the greedy algorithm of scikit-learn's StratifiedGroupKFold with shuffling, and gives the same parts.

    Args:
        parts: number of parts, at most the number of groups.
        seed: seed of the order in which groups with equal label variance are assigned.
        labels: class number of each clip. Shape (clips,).
        groups: group number of each clip. Shape (clips,).

    Returns:
        The group numbers of each part.
    """
    classes = np.unique(labels, return_inverse=True)[1]
    names, members = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), classes.max() + 1))
    np.add.at(counts, (members, classes), 1)
    order = np.arange(len(names))
    np.random.RandomState(seed).shuffle(order)  # the generator of scikit-learn
    order = order[np.argsort(-counts[order].std(axis=1), kind="stable")]
    assigned = np.zeros((parts, counts.shape[1]))  # clips of each class in each part
    part_of = np.empty(len(names), np.int64)
    for group in order:
        part = _choose_part(assigned, counts[group], counts.sum(axis=0))
        part_of[group] = part
        assigned[part] += counts[group]
    return [names[part_of == part] for part in range(parts)]


def _choose_part(assigned: NDArray[np.float64], counts: NDArray[np.float64], total: NDArray[np.float64]) -> int:
    """Return the part for which adding a group gives the most even distribution; the smaller part if equal."""
    best, least, fewest = 0, np.inf, np.inf
    for part in range(len(assigned)):
        trial = assigned.copy()
        trial[part] += counts
        imbalance, clips = np.std(trial / total, axis=0).mean(), assigned[part].sum()
        if imbalance < least or (np.isclose(imbalance, least) and clips < fewest):
            best, least, fewest = part, imbalance, clips
    return best
