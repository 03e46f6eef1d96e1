"""From a composed configuration to a corpus: its utterances, its classes, its folds."""

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
from seenet.corpora.joining import join
from seenet.corpora.manifest import OWN_PEOPLE, Manifest
from seenet.corpora.split_schemes import GivenSplit, Scheme
from seenet.corpora.vocabulary import EMOTIONS, resolve_classes

DATASET_SETTINGS = ("classes", "merge", "folds", "schemes", "known", "on_bad_file", "partner", "other_people")
"""Keys of a dataset's YAML that are not its parser's."""


def parse_corpus(cfg: DictConfig) -> Manifest:
    """The utterances of the corpus that a configuration names, with the corpus' own emotions.

    Raises:
        SeenetError: the corpus is not there, or is not what its parser expects.
    """
    given = {"labels": _labels(cfg)} if "labels" in cfg.dataset else {}
    manifest: Manifest = instantiate_checked(cfg.dataset, "dataset", skip=(*DATASET_SETTINGS, *given), **given)
    if cfg.dataset.name != manifest.parser:  # a name of the user's own
        manifest.name = cfg.dataset.name
    other_people = cfg.dataset.get("other_people", False)
    if not isinstance(other_people, bool):
        raise SeenetError(f"dataset.other_people={other_people}: expected true or false")
    if other_people:
        manifest.people = ""
    return manifest


def _labels(cfg: DictConfig) -> dict[Any, Any]:
    """Meanings of labels: words of the user's own among the classes stand for themselves, unless told otherwise."""
    labels = OmegaConf.to_container(cfg.dataset.labels) if OmegaConf.is_config(cfg.dataset.labels) else {}
    if not isinstance(labels, dict):
        raise SeenetError(f"dataset.labels={labels}: expected meanings by label, e.g. {{W: angry, noise: null}}")
    wanted = OmegaConf.to_container(cfg.classes) if OmegaConf.is_list(cfg.classes) else []
    return {**{str(c): str(c) for c in wanted if c not in EMOTIONS}, **labels}


def load_corpus(cfg: DictConfig) -> tuple[Manifest, tuple[str, ...], NDArray[np.int64]]:
    """The corpus that a configuration names, with its merges of emotions and its classes.

    With `test_dataset` it is joined with the corpora to test on, whose `split` is then `test_<name>`. Of joined corpora
    the classes are those of the wanted ones that every one has.

    Args:
        cfg: the composed configuration.

    Returns:
        The manifest, the classes in their order, and the rows that are of one of them, shape (clips,).

    Raises:
        SeenetError: a corpus is not there, or holds no clip of a class.
    """
    manifest = _merged(cfg)
    wanted = OmegaConf.to_object(cfg.classes) if OmegaConf.is_list(cfg.classes) else cfg.classes
    counts = manifest.counts()
    classes = resolve_classes(wanted, counts)
    if cfg.test_dataset is not None:
        tests = _named_corpora(cfg.test_dataset, "test_dataset", classes)
        for test in tests:
            if test.name == manifest.name and test.people == OWN_PEOPLE and test.digest() != manifest.digest():
                raise SeenetError(
                    f"test_dataset: it and the training corpus are both called {test.name}; tell two tables apart by "
                    "as, e.g. {name: csv, as: mine, …}"
                )
        tests = [test for test in tests if test.name != manifest.name]  # a sweep over dataset= may name it in a list
        if not tests:
            raise SeenetError(f"test_dataset={manifest.name} is the training corpus itself; leave test_dataset out")
        name = f"{manifest.name}_to_{'_'.join(test.name for test in tests)}"
        manifest = join(name, {"train": manifest, **{f"test_{test.name}": test for test in tests}})
        counts = manifest.counts()
    if manifest.parts:
        classes = resolve_classes([c for c in classes if all(c in part.counts() for part in manifest.parts)])
    missing = [c for c in classes if c not in counts]
    if missing:
        present = ", ".join(f"{emotion} {count}" for emotion, count in counts.items())
        raise SeenetError(f"class '{missing[0]}' has no clips in {manifest.name}, which holds {present}")
    return manifest, classes, np.flatnonzero(manifest.table["emotion"].isin(classes))


def read_joined_corpora(corpora: list[str | dict[str, Any]], emotions: str | list[str] = "four") -> Manifest:
    """Several corpora as one, each a part of its own (`split`), for leaving one corpus out.

    Args:
        corpora: names of conf/dataset, or settings that go before those of the file, e.g. `{name: esd, root: /x}`;
            `as` gives a corpus another name.
        emotions: what a corpus that is made to order shall hold.

    Raises:
        SeenetError: fewer than two corpora, or one that is not there.
    """
    if len(corpora) < 2:
        raise SeenetError(f"dataset.corpora={corpora}: expected two or more, e.g. dataset.corpora=[iemocap,msp_improv]")
    parts = _named_corpora(corpora, "dataset.corpora", emotions)
    return join("_".join(part.name for part in parts), {part.name: part for part in parts})


def say_notes(manifest: Manifest) -> None:
    """Print which spellings of speakers and sessions were merged or taken for unknown, a line each."""
    for part in manifest.parts:
        say_notes(part)
    for note in manifest.notes:
        print_line(f"{manifest.name}: {note}")


def _merged(cfg: DictConfig) -> Manifest:
    merge = cfg.dataset.get("merge")
    if merge is not None and not OmegaConf.is_dict(merge):
        raise SeenetError(f"dataset.merge={merge}: expected e.g. {{calm: neutral}}, or null")
    return parse_corpus(cfg).merged(merge or {})


def _named_corpora(named: Any, where: str, classes: str | Sequence[str]) -> list[Manifest]:
    """The corpora of a name, of settings with a name, or of a list of these; each merged as its YAML says."""
    named = OmegaConf.to_container(named) if OmegaConf.is_config(named) else named
    manifests = []
    for item in named if isinstance(named, list) else [named]:
        settings = {"name": item} if isinstance(item, str) else dict(item) if isinstance(item, dict) else {}
        called = settings.pop("as", settings.get("name"))
        files = {path.stem: path for folder in _folders() for path in sorted(folder.glob("dataset/*.yaml"))}
        if settings.get("name") not in files:
            raise SeenetError(f"{where}={item}: expected some of {', '.join(sorted(files))}, or {{name: …, root: …}}")
        node = OmegaConf.merge(OmegaConf.load(files[settings["name"]]), settings, {"name": called})
        if "defaults" in node:
            raise SeenetError(
                f"{where}={item}: '{files[settings['name']]}' has a defaults list, which does not go here"
            )
        manifests.append(_merged(OmegaConf.create({"classes": classes, "dataset": node})))
    names = [manifest.name for manifest in manifests]
    if not names:
        raise SeenetError(f"{where}=[]: expected at least one corpus")
    if len(set(names)) < len(names):
        raise SeenetError(
            f"{where}={named}: a corpus is named twice; {{name: csv, as: mine, …}} tells two tables apart"
        )
    return manifests


def _folders() -> list[Path]:
    """The folders of configuration: seenet's own, and what the user added by --config-dir."""
    sources = HydraConfig.get().runtime.config_sources if HydraConfig.initialized() else []
    return [conf_dir(), *(Path(source.path) for source in sources if source.schema == "file")]


def scheme_of(cfg: DictConfig) -> Scheme:
    """The way of dividing the corpus into folds that a configuration names.

    Raises:
        SeenetError: the dataset has no scheme of that name.
    """
    if cfg.test_dataset is not None:
        return GivenSplit()
    schemes = cfg.dataset.schemes
    if not OmegaConf.is_dict(schemes) or cfg.dataset.folds not in schemes:
        raise SeenetError(f"dataset.folds={cfg.dataset.folds}: expected one of {', '.join(schemes or [])}")
    return instantiate_checked(schemes[cfg.dataset.folds], f"dataset.schemes.{cfg.dataset.folds}")
