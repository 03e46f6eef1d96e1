"""SeeNet: speech emotion recognition experiments that Hydra composes and Lightning runs."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seenet.inference.predictor import Predictor

__version__ = "0.1.0"


def load(folder: str | Path, device: str = "cpu") -> "Predictor":
    """Load the model of a trained fold, without its corpus, the network or the original checkpoint.

    Args:
        folder: of a trained fold, e.g. `outputs/<run>/fold0`; only its model.json and model.safetensors are read.
        device: where it runs, e.g. `cpu` or `cuda`.

    Raises:
        SeenetError: the folder holds no model, or a damaged one.
    """
    from seenet.inference.predictor import Predictor  # imports torch

    return Predictor.load(folder, device)
