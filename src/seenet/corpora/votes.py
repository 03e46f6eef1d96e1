"""Distributions of raters' votes over classes."""

from collections.abc import Sequence


def vote_distribution(votes: str, classes: Sequence[str]) -> list[float]:
    """Return the share of votes for each class; all zero if no vote is for one of the classes.

    Args:
        votes: votes in the syntax of a manifest, e.g. `angry:2 sad:1`.
        classes: the classes in their order.
    """
    counts = dict(vote.split(":") for vote in votes.split())
    chosen = [float(counts.get(c, 0)) for c in classes]
    total = sum(chosen)
    return [count / total if total else 0.0 for count in chosen]
