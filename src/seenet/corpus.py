"""From a composed configuration to a corpus: its utterances, its classes, its folds."""

import numpy as np
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from seenet.build import build
from seenet.emotions import resolve_classes
from seenet.errors import SeenetError
from seenet.folds import Scheme
from seenet.manifest import Manifest

DATASET_SETTINGS = ("classes", "merge", "folds", "schemes", "known", "on_bad_file")
"""Keys of a dataset's YAML that are not its parser's."""


def parse_corpus(cfg: DictConfig) -> Manifest:
    """The utterances of the corpus that a configuration names, with the corpus' own emotions.

    Raises:
        SeenetError: the corpus is not there, or is not what its parser expects.
    """
    return build(cfg.dataset, "dataset", skip=DATASET_SETTINGS)


def load_corpus(cfg: DictConfig) -> tuple[Manifest, tuple[str, ...], NDArray[np.int64]]:
    """The corpus that a configuration names, with its merges of emotions and its classes.

    Args:
        cfg: the composed configuration.

    Returns:
        The manifest, the classes in their order, and the rows that are of one of them, shape (clips,).

    Raises:
        SeenetError: the corpus is not there, or holds no clip of a class.
    """
    if cfg.dataset.merge is not None and not OmegaConf.is_dict(cfg.dataset.merge):
        raise SeenetError(f"dataset.merge={cfg.dataset.merge}: expected e.g. {{calm: neutral}}, or null")
    manifest = parse_corpus(cfg).merged(cfg.dataset.merge or {})
    wanted = OmegaConf.to_object(cfg.classes) if OmegaConf.is_list(cfg.classes) else cfg.classes
    counts = manifest.counts()
    classes = resolve_classes(wanted, counts)
    missing = [c for c in classes if c not in counts]
    if missing:
        present = ", ".join(f"{emotion} {count}" for emotion, count in counts.items())
        raise SeenetError(f"class '{missing[0]}' has no clips in {manifest.name}, which holds {present}")
    return manifest, classes, np.flatnonzero(manifest.table["emotion"].isin(classes))


def scheme_of(cfg: DictConfig) -> Scheme:
    """The way of dividing the corpus into folds that a configuration names.

    Raises:
        SeenetError: the dataset has no scheme of that name.
    """
    schemes = cfg.dataset.schemes
    if cfg.dataset.folds not in schemes:
        raise SeenetError(f"dataset.folds={cfg.dataset.folds}: expected one of {', '.join(schemes)}")
    return build(schemes[cfg.dataset.folds], f"dataset.schemes.{cfg.dataset.folds}")
