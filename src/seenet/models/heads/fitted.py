"""Heads that are fitted to pooled vectors, without gradients through the backbone."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from seenet.core.errors import SeenetError

MIN_SCALE = 1e-6
"""Standard deviation below which a component counts as constant; its scale is 1."""

MIN_SHARE = 1e-10
"""Share of the largest variance below which a direction counts as empty."""

ABSENT_CLASS = -30.0
"""Logit offset of a class without training clips."""

Solution = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Weights, shape (classes, dim), and biases, shape (classes,), for standardised vectors."""


Normalization = Literal["corpus", "speaker"]


class FittedHead(nn.Module, ABC):
    """A linear map of standardised vectors: W (x - mean) / scale + b.

    Args:
        dim: width of a pooled vector.
        num_classes: number of emotions.
        c: values of C, the inverse strength of regularisation, from which the development speakers select.
        refit: whether to fit the selected head again on training and development part together.
        by_layer: whether to fit one classifier for each layer and to average their logits.
        normalize: `speaker` expects vectors that `standardize_speakers` has standardised. This is transductive: it
            needs several clips of a speaker, without labels.

    Raises:
        SeenetError: `c` is empty or holds a number that is not positive.
    """

    calibrates = False
    """Whether the temperature of the development part scales the scores, which are no log probabilities."""

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        dim: int,
        num_classes: int,
        c: Sequence[float] = (1.0,),
        refit: bool = False,
        by_layer: bool = False,
        normalize: Normalization = "corpus",
    ):
        super().__init__()
        if not c or not all(0 < value < float("inf") for value in c):
            raise SeenetError(f"head.c={list(c)}: expected one or more numbers above 0")
        self.c, self.refit, self.by_layer, self.normalize = sorted(c), refit, by_layer, normalize
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self.register_buffer("weight", torch.zeros(num_classes, dim))
        self.register_buffer("bias", torch.zeros(num_classes))

    def forward(self, pooled: Tensor) -> Tensor:
        """Return logits. Shape (batch, dim) to (batch, classes)."""
        return nn.functional.linear((pooled - self.mean) / self.scale, self.weight, self.bias)

    def fit(
        self,
        pooled: NDArray[np.float32],
        labels: NDArray[np.int64],
        c: Sequence[float],
        layout: tuple[int, int, int] | None = None,
    ) -> Iterator[float]:
        """Fit the head once for each C, in ascending order; yield C after each fit.

        Args:
            pooled: shape (clips, dim).
            labels: class numbers. Shape (clips,).
            c: values of C.
            layout: numbers of statistics, of layers and of components of a layer, in the order of a pooled vector; None
                for vectors without layers.
        """
        mean, scale = measure(pooled)
        standardised = (pooled - mean) / scale
        dim = pooled.shape[1]
        blocks = [np.arange(dim)]
        if self.by_layer and layout is not None:
            blocks = list(np.arange(dim).reshape(layout).transpose(1, 0, 2).reshape(layout[1], -1))
        with threadpool_limits(1):  # products with few columns take longer on several threads
            paths = [list(self._solve_block(standardised[:, block], labels, c)) for block in blocks]
        for value, *solutions in zip(c, *paths, strict=True):
            weight = np.zeros((len(self.bias), dim))
            for block, (own, _) in zip(blocks, solutions, strict=True):
                weight[:, block] = own / len(blocks)
            bias = np.mean([own for _, own in solutions], 0)
            for name, values in {"mean": mean, "scale": scale, "weight": weight, "bias": bias}.items():
                getattr(self, name).copy_(torch.from_numpy(values))
            yield value

    def _solve_block(
        self, vectors: NDArray[np.float64], labels: NDArray[np.int64], c: Sequence[float]
    ) -> Iterator[Solution]:
        """Yield the solution for each C of standardised vectors."""
        if len(vectors) >= vectors.shape[1]:
            yield from self.solve(vectors, labels, c)
            return
        rotated, basis = _rotate(vectors)
        for weight, bias in self.solve(rotated, labels, c):
            yield weight @ basis, bias

    def divide(self, temperature: float) -> None:
        """Divide the logits by a temperature."""
        self.weight /= temperature
        self.bias /= temperature

    @abstractmethod
    def solve(self, vectors: NDArray[np.float64], labels: NDArray[np.int64], c: Sequence[float]) -> Iterator[Solution]:
        """Yield the solution for each C.

        Args:
            vectors: standardised, possibly rotated. Shape (clips, dim).
            labels: class numbers. Shape (clips,).
            c: values of C.
        """

    def _fill(self, found: NDArray[np.float64], present: NDArray[np.int64], missing: float) -> NDArray[np.float64]:
        """Return an array with a row for each class; classes without clips get `missing`."""
        filled = np.full((len(self.bias), *found.shape[1:]), missing)
        filled[present] = found
        return filled


def standardize_speakers(pooled: NDArray[np.float32], speakers: NDArray[np.int64]) -> NDArray[np.float32]:
    """Standardise vectors by the mean and the deviation of the clips of the same speaker.

    Args:
        pooled: shape (clips, dim).
        speakers: a number for each speaker. Shape (clips,).
    """
    standardised = np.empty_like(pooled)
    for speaker in np.unique(speakers):
        own = speakers == speaker
        mean, scale = measure(pooled[own])
        standardised[own] = (pooled[own] - mean) / scale
    return standardised


def measure(pooled: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and scale of each component. Shape (clips, dim) to (dim,) each."""
    deviation = pooled.std(0, dtype=np.float64)
    return pooled.mean(0, dtype=np.float64), np.where(deviation > MIN_SCALE, deviation, 1.0)


def _rotate(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the coordinates of fewer vectors than dimensions in a basis of their span, and the basis.

    An L2 penalty does not depend on the rotation, and the solution is in the span. The basis comes from the Gram
    matrix, which takes a tenth of the time of a singular value decomposition.

    Args:
        vectors: shape (clips, dim).

    Returns:
        Shapes (clips, rank) and (rank, dim).
    """
    squares, left = scipy.linalg.eigh(vectors @ vectors.T)
    kept = squares > MIN_SHARE * squares[-1]
    sizes = np.sqrt(squares[kept])
    return left[:, kept] * sizes, (left[:, kept] / sizes).T @ vectors
