"""Seeds derived from the seed of a run."""

from seenet.core.seeds import derive_seed


def test_derive_seed_gives_distinct_streams():
    seeds = {derive_seed(seed, purpose, epoch) for seed in range(3) for purpose in range(4) for epoch in range(20)}
    assert len(seeds) == 3 * 4 * 20
    assert derive_seed(1, 2, 3) == derive_seed(1, 2, 3)
    assert all(0 <= s < 2**63 for s in seeds)
