"""Independent streams of random numbers out of one seed."""

import numpy as np

INITIALISATION, TRAINING, AUGMENTATION, AUXILIARY = range(4)
"""What a stream is for: the first number mixed into it."""


def derive_seed(seed: int, *stream: int) -> int:
    """A 63-bit seed for one stream; different streams are statistically independent.

    Args:
        seed: the run's seed, 0 or more.
        stream: whole numbers that name the stream, e.g. purpose, epoch, step, process.
    """
    return int(np.random.SeedSequence([seed, *stream]).generate_state(1, np.uint64)[0] >> 1)
