"""The prediction of one clip."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Prediction:
    """The prediction of one clip.

    Attributes:
        index: its row in the manifest.
        probabilities: of each class.
        embedding: its pooled vector, float16. Shape (dim,).
    """

    index: int
    probabilities: list[float]
    embedding: NDArray[np.float16]
