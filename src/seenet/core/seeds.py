"""Derived seeds for independent random streams."""

import numpy as np

INITIALISATION, TRAINING, AUGMENTATION, AUXILIARY = range(4)
"""Purposes of random streams: the first stream number of a derived seed."""


def derive_seed(seed: int, *stream_ids: int) -> int:
    """Derive a 63-bit seed for one stream; different streams are statistically independent.

    Args:
        seed: the seed of the run, 0 or more.
        stream_ids: integers that identify the stream, e.g. purpose, epoch, step, process.
    """
    return int(np.random.SeedSequence([seed, *stream_ids]).generate_state(1, np.uint64)[0] >> 1)
