"""Load the corpus of a composed configuration: utterances, classes and split scheme."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from seenet.core.console import print_line
from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.core.paths import conf_dir
from seenet.corpora.joining import join_corpora
from seenet.corpora.manifest import OWN_PEOPLE, Manifest
from seenet.corpora.split_schemes import GivenSplit, Scheme
from seenet.corpora.vocabulary import EMOTIONS, resolve_classes

DATASET_SETTINGS = ("classes", "merge", "folds", "schemes", "known", "on_bad_file", "partner", "other_people")
"""Keys of a dataset's YAML that are not arguments of its parser."""


def parse_corpus(cfg: DictConfig) -> Manifest:
    """Parse the corpus of a configuration, without merged emotions.

    Raises:
        SeenetError: the corpus does not exist, or its parser cannot read it.
    """
    given = {"labels": _read_labels(cfg)} if "labels" in cfg.dataset else {}
    manifest: Manifest = instantiate_checked(cfg.dataset, "dataset", skip=(*DATASET_SETTINGS, *given), **given)
    if cfg.dataset.name != manifest.parser:  # a name that the user chose
        manifest.name = cfg.dataset.name
    other_people = cfg.dataset.get("other_people", False)
    if not isinstance(other_people, bool):
        raise SeenetError(f"dataset.other_people={other_people}: expected true or false")
    if other_people:
        manifest.people = ""
    return manifest


def _read_labels(cfg: DictConfig) -> dict[Any, Any]:
    """Return meanings of labels; by default a class outside the vocabulary is its own meaning."""
    labels = OmegaConf.to_container(cfg.dataset.labels) if OmegaConf.is_config(cfg.dataset.labels) else {}
    if not isinstance(labels, dict):
        raise SeenetError(f"dataset.labels={labels}: expected meanings by label, e.g. {{W: angry, noise: null}}")
    wanted = OmegaConf.to_container(cfg.classes) if OmegaConf.is_list(cfg.classes) else []
    own = [str(c) for c in wanted if c not in EMOTIONS] if isinstance(wanted, list) else []
    return {**{name: name for name in own}, **labels}


def load_corpus(cfg: DictConfig) -> tuple[Manifest, tuple[str, ...], NDArray[np.int64]]:
    """Load the corpus of a configuration with merged emotions and its classes.

    `test_dataset` joins the corpus with the test corpora; their `split` is `test_<name>`. The classes of joined corpora
    are the requested ones that every corpus has.

    Args:
        cfg: the composed configuration.

    Returns:
        The manifest, the classes in their order, and the rows of these classes, shape (clips,).

    Raises:
        SeenetError: a corpus does not exist, or has no clip of a class.
    """
    manifest = _parse_and_merge(cfg)
    wanted = OmegaConf.to_object(cfg.classes) if OmegaConf.is_list(cfg.classes) else cfg.classes
    counts = manifest.counts()
    classes = resolve_classes(wanted, counts)
    if cfg.test_dataset is not None:
        tests = _load_named_corpora(cfg.test_dataset, "test_dataset", classes)
        for test in tests:
            if test.name == manifest.name and test.people == OWN_PEOPLE and test.digest() != manifest.digest():
                raise SeenetError(
                    f"test_dataset and the training corpus are both named {test.name}; name one of them with the "
                    "key as, e.g. {name: csv, as: mine, …}"
                )
        tests = [test for test in tests if test.name != manifest.name]  # a sweep over dataset= may list it too
        if not tests:
            raise SeenetError(f"test_dataset={manifest.name} is the training corpus itself; remove test_dataset")
        name = f"{manifest.name}_to_{'_'.join(test.name for test in tests)}"
        manifest = join_corpora(name, {"train": manifest, **{f"test_{test.name}": test for test in tests}})
        counts = manifest.counts()
    if manifest.parts:
        classes = resolve_classes([c for c in classes if all(c in part.counts() for part in manifest.parts)])
    missing = [c for c in classes if c not in counts]
    if missing:
        present = ", ".join(f"{emotion} {count}" for emotion, count in counts.items())
        raise SeenetError(f"class '{missing[0]}' has no clips in {manifest.name}, which contains {present}")
    return manifest, classes, np.flatnonzero(manifest.table["emotion"].isin(classes))


def read_joined_corpora(corpora: list[str | dict[str, Any]], emotions: str | list[str] = "four") -> Manifest:
    """Read several corpora as one, for leave-one-corpus-out folds.

    The field `split` contains the corpus of each clip.

    Args:
        corpora: names of conf/dataset, or settings that override those of the file, e.g. `{name: esd, root: /x}`;
            the key `as` renames a corpus.
        emotions: emotions of a generated corpus.

    Raises:
        SeenetError: fewer than two corpora, or a corpus that does not exist.
    """
    if len(corpora) < 2:
        raise SeenetError(f"dataset.corpora={corpora}: expected two or more, e.g. dataset.corpora=[iemocap,msp_improv]")
    parts = _load_named_corpora(corpora, "dataset.corpora", emotions)
    return join_corpora("_".join(part.name for part in parts), {part.name: part for part in parts})


def print_notes(manifest: Manifest) -> None:
    """Print merged and unknown spellings of speakers and sessions, one line each."""
    for part in manifest.parts:
        print_notes(part)
    for note in manifest.notes:
        print_line(f"{manifest.name}: {note}")


def _parse_and_merge(cfg: DictConfig) -> Manifest:
    merge = cfg.dataset.get("merge")
    if merge is not None and not OmegaConf.is_dict(merge):
        raise SeenetError(f"dataset.merge={merge}: expected e.g. {{calm: neutral}}, or null")
    return parse_corpus(cfg).merge_labels(merge or {})


def _load_named_corpora(named: Any, key: str, classes: str | Sequence[str]) -> list[Manifest]:
    """Load corpora from a name, from settings with a name, or from a list of these."""
    named = OmegaConf.to_container(named) if OmegaConf.is_config(named) else named
    manifests = []
    for item in named if isinstance(named, list) else [named]:
        settings = {"name": item} if isinstance(item, str) else dict(item) if isinstance(item, dict) else {}
        name = settings.pop("as", settings.get("name"))
        files = {path.stem: path for folder in _list_config_folders() for path in sorted(folder.glob("dataset/*.yaml"))}
        if settings.get("name") not in files:
            raise SeenetError(f"{key}={item}: expected some of {', '.join(sorted(files))}, or {{name: …, root: …}}")
        node = OmegaConf.merge(OmegaConf.load(files[settings["name"]]), settings, {"name": name})
        if "defaults" in node:
            raise SeenetError(
                f"{key}={item}: '{files[settings['name']]}' has a defaults list, which is not supported here"
            )
        manifests.append(_parse_and_merge(OmegaConf.create({"classes": classes, "dataset": node})))
    names = [manifest.name for manifest in manifests]
    if not names:
        raise SeenetError(f"{key}=[]: expected at least one corpus")
    if len(set(names)) < len(names):
        raise SeenetError(
            f"{key}={named}: a corpus is named twice; distinguish two tables by {{name: csv, as: mine, …}}"
        )
    return manifests


def _list_config_folders() -> list[Path]:
    """Return the configuration folders: that of seenet and those of --config-dir."""
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else []
    return [conf_dir(), *(Path(source.path) for source in sources if source.schema == "file")]


def build_scheme(cfg: DictConfig) -> Scheme:
    """Build the split scheme of a configuration.

    Raises:
        SeenetError: the dataset has no scheme of this name.
    """
    if cfg.test_dataset is not None:
        return GivenSplit()
    schemes = cfg.dataset.schemes
    if not OmegaConf.is_dict(schemes) or cfg.dataset.folds not in schemes:
        raise SeenetError(f"dataset.folds={cfg.dataset.folds}: expected one of {', '.join(schemes or [])}")
    scheme: Scheme = instantiate_checked(schemes[cfg.dataset.folds], f"dataset.schemes.{cfg.dataset.folds}")
    return scheme
