"""Raters' votes."""

from collections.abc import Sequence


def vote_distribution(votes: str, classes: Sequence[str]) -> list[float]:
    """The share of raters' votes for each class; all zero where nobody voted for any of them.

    Args:
        votes: e.g. `angry:2 sad:1`.
        classes: their order.
    """
    counts = dict(vote.split(":") for vote in votes.split())
    chosen = [float(counts.get(c, 0)) for c in classes]
    total = sum(chosen)
    return [count / total if total else 0.0 for count in chosen]
