"""The experiment: a composed configuration, resolved and checked against this machine, and the run it identifies."""

import copy
import hashlib
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from seenet.core.errors import SeenetError
from seenet.core.imports import pause_garbage_collection
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.bad_files import apply_bad_file_policy
from seenet.corpora.folds import Fold, Folds, PlannedFold, choose_folds, make_folds
from seenet.corpora.loading import build_scheme, load_corpus
from seenet.corpora.manifest import Manifest
from seenet.corpora.protocols import Final, Protocol
from seenet.corpora.waveform_store import WaveformStore, open_store
from seenet.models.backbones.pretrained_weights import Weights, resolve_weights
from seenet.runs.bundle import MODEL_JSON
from seenet.runs.directory import RunDirectory
from seenet.runs.identity import digest
from seenet.runs.results import read_result, read_trained
from seenet.training.cross_validation import CrossValidation, resolve_epochs
from seenet.training.trainer import TrainerConfig

if TYPE_CHECKING:
    from seenet.data.augmentation.base import Augmentation
    from seenet.data.conditions.base import TestCondition


NAMED_GROUPS = ("dataset", "backbone", "pooling", "aux_task", "head", "tune", "loss", "schedule", "protocol", "trainer")
"""Groups whose choice has a name that results record."""


@dataclass(frozen=True)
class Experiment:
    """Everything that a run needs, made once from the composed configuration.

    Attributes:
        config: the resolved configuration (conf/train.yaml); component groups are nodes with `_target_`.
        seed: of the run.
        output_dir: holds the folders of all runs.
        batch_size: clips per batch and process.
        is_cross_corpus: whether the test corpora are others than the training corpus (`test_dataset`).
        manifest: the utterances.
        store: their samples.
        classes: the emotions in their order.
        protocol: tells what selects the epoch.
        folds: all of the scheme, without unusable files; each is made on access.
        chosen: the numbers of the folds to run.
        weights: of the backbone.
        trainer: how to train.
        augmentation: of the training clips.
        conditions: the test conditions, by name; none under `Final`.
        epochs: number of epochs to train.
        cross_validation: chose the number of epochs under `Final`.
    """

    config: dict[str, Any]
    seed: int
    output_dir: Path
    batch_size: int
    is_cross_corpus: bool
    manifest: Manifest
    store: WaveformStore
    classes: tuple[str, ...]
    protocol: Protocol
    folds: Folds
    chosen: list[int]
    weights: Weights
    trainer: TrainerConfig
    augmentation: "Augmentation"
    conditions: "dict[str, TestCondition]"
    epochs: int
    cross_validation: CrossValidation | None = None

    @classmethod
    def from_config(cls, cfg: DictConfig) -> "Experiment":
        """Resolve a composed configuration and check it against the machine. Audio is decoded where it is not yet.

        Raises:
            SeenetError: anything the user can put right.
        """
        _require_plain_settings(cfg)
        weights = _weights(cfg)
        protocol: Protocol = instantiate_checked(cfg.protocol, "protocol")
        if isinstance(protocol, Final) and cfg.test_dataset is not None:
            raise SeenetError("protocol=final trains on every clip and tests none; remove test_dataset")
        manifest, classes, indices = load_corpus(cfg)
        with pause_garbage_collection():  # torch and Lightning; the checks above do not wait for them
            from seenet.data.augmentation.chain import build_augmentation
            from seenet.data.conditions.base import build_conditions
            from seenet.training.components import check_components

        trainer: TrainerConfig = instantiate_checked(cfg.trainer, "trainer")
        augmentation = build_augmentation(OmegaConf.select(cfg, "aug"))
        config = _resolve(cfg, augmentation)
        with pause_garbage_collection():  # transformers
            check_components(config, classes, trainer, augmentation)
        scheme = build_scheme(cfg)
        folds = make_folds(manifest, indices, scheme, protocol)
        chosen = choose_folds(OmegaConf.to_object(cfg.fold) if OmegaConf.is_list(cfg.fold) else cfg.fold, len(folds))
        store = open_store(manifest, cfg.data.max_seconds)
        apply_bad_file_policy(manifest, store, cfg.dataset.on_bad_file)
        folds = folds.without(store.bad)
        conditions = build_conditions(cfg.noise, manifest, store)
        for number in chosen:
            outline = folds.outline(number)
            _require_clips(manifest, outline, classes, () if isinstance(protocol, Final) else ("test",))
            for condition in conditions.values():
                condition.for_fold(outline)
        experiment = cls(
            config=config,
            seed=cfg.seed,
            output_dir=Path(cfg.output_dir),
            batch_size=cfg.data.batch_size,
            is_cross_corpus=cfg.test_dataset is not None,
            manifest=manifest,
            store=store,
            classes=classes,
            protocol=protocol,
            folds=folds,
            chosen=chosen,
            weights=weights,
            trainer=trainer,
            augmentation=augmentation,
            conditions=conditions,
            epochs=trainer.max_epochs,
        )
        if not isinstance(protocol, Final):
            return experiment
        validated = make_folds(manifest, indices, scheme, protocol.cross_validation)
        return resolve_epochs(experiment, protocol, validated.without(store.bad))

    @property
    def training_corpus(self) -> Manifest:
        """The training corpus; a cross-corpus experiment has test corpora after it."""
        return self.manifest.parts[0] if self.is_cross_corpus else self.manifest

    @cached_property
    def run(self) -> RunDirectory:
        """The run's identity and folder. Test corpora and test conditions do not change them."""
        corpus = self.training_corpus
        content = {
            "corpus": self.content_hash(corpus, 0),
            "classes": self.classes,
            "weights": self.weights.fingerprint,
            "trainer": self.trainer.learned(),
        }
        name = f"{corpus.name}_cross_corpus" if self.is_cross_corpus else corpus.name
        return RunDirectory.of(self.output_dir, name, self.config, content, self.protocol.selection)

    def content_hash(self, corpus: Manifest, first_row: int) -> str:
        """Return a hash of a corpus' labels, speakers and samples.

        Args:
            corpus: the manifest, or a part of it.
            first_row: of the corpus in the manifest.
        """
        samples = self.store.index["samples"][first_row : first_row + len(corpus)]
        return digest([corpus.digest(), hashlib.blake2b(samples.tobytes()).hexdigest()])

    @cached_property
    def _test_hashes(self) -> dict[int, str]:
        """A hash of the names, labels, speakers and samples of each fold's test clips."""
        samples = self.store.index["samples"]
        tests = {fold.number: fold.test for fold in self.folds.planned if fold.shared or fold.number in self.chosen}
        return {
            number: digest([self.manifest.digest(test), hashlib.blake2b(samples[test].tobytes()).hexdigest()])
            for number, test in tests.items()
        }

    def test_hash(self, fold: PlannedFold) -> str:
        """Return a hash of what a chosen fold tests."""
        return self._test_hashes[fold.number]

    def training_name(self, number: int) -> str:
        """Return the name of a fold's training, which is its folder in the run."""
        fold = self.folds.planned[number]
        return self.run.training_name(fold, self.test_hash(fold))

    def fold_folder(self, number: int) -> Path:
        """Return the folder of a fold's training."""
        return self.run.folder / self.training_name(number)

    def in_parts(self, parts: int) -> "Experiment":
        """Return the experiment with every batch in equal parts, whose gradients accumulate to one optimiser step."""
        clips, batches = -(-self.batch_size // parts), self.trainer.accumulate_grad_batches * parts
        config, trainer = copy.deepcopy(self.config), replace(self.trainer, accumulate_grad_batches=batches)
        config["data"]["batch_size"], config["trainer"]["accumulate_grad_batches"] = clips, batches
        return replace(self, config=config, batch_size=clips, trainer=trainer)

    def has_checkpoints_or_results(self) -> bool:
        """Return whether some fold of the run has a checkpoint to resume from, or a result."""
        return any(any(self.run.folder.glob(name)) for name in ("fold*/*.ckpt", "fold*/*/result.json"))

    def fold(self, number: int) -> Fold:
        """Return one fold with its development part.

        Raises:
            SeenetError: a part that lacks clips, or speakers to hold out.
        """
        fold = self.folds[number]
        _require_clips(self.manifest, fold, self.classes, ("dev", "test") if self.conditions else ())
        return fold

    def tests(self, numbers: Iterable[int] | None = None) -> Iterator[tuple[PlannedFold, str, Path]]:
        """Yield each chosen (or given) fold, the name of each test condition and the folder of the result."""
        for number in self.chosen if numbers is None else numbers:
            fold = self.folds.planned[number]
            for name, condition in self.conditions.items():
                yield fold, name, self.run.test_folder(fold, self.training_name(number), name, condition.settings)

    def results(self, number: int) -> dict[str, dict[str, Any] | None]:
        """Read the results of a fold by condition; None if there is no result to reuse."""
        run_id = self.run.run_id(self.training_name(number))
        return {
            name: read_result(folder, run_id, self.test_hash(fold), name) for fold, name, folder in self.tests([number])
        }

    def missing(self) -> list[PlannedFold]:
        """Return the fold of each missing result, once per condition."""
        results = ((self.folds.planned[number], self.results(number)) for number in self.chosen)
        return [fold for fold, of_fold in results for result in of_fold.values() if result is None]

    def is_trained(self, fold: Fold | PlannedFold) -> bool:
        """Return whether the training of a fold is finished and its checkpoint exists."""
        folder = self.fold_folder(fold.number)
        trained = read_trained(folder)
        if trained is None or "fitted_head" in trained:
            return trained is not None and (folder / MODEL_JSON).is_file()
        return zipfile.is_zipfile(folder / "best.ckpt")

    def folds_to_train(self) -> list[PlannedFold]:
        """Return one fold for each training that is not finished."""
        waiting = {fold.training: fold for fold in (self.missing() if self.conditions else self.folds.planned)}
        return [f for f in waiting.values() if not self.is_trained(f)]


def _resolve(cfg: DictConfig, augmentation: "Augmentation") -> dict[str, Any]:
    resolved: Any = OmegaConf.to_container(cfg, resolve=True)
    config: dict[str, Any] = resolved
    if not augmentation.needs_partner:
        config["data"]["partner"] = None  # it has no effect, and equal runs must be equal
    return config


def find_missing_prerequisites(cfg: DictConfig) -> list[str]:
    """Return what prevents an experiment from starting: missing weights, corpora and hardware."""
    found = []
    for look in (
        _require_plain_settings,
        _weights,
        load_corpus,
        lambda cfg: instantiate_checked(cfg.trainer, "trainer"),
    ):
        try:
            look(cfg)
        except SeenetError as error:
            found.append(str(error))
    return found


def _require_plain_settings(cfg: DictConfig) -> None:
    """Check the settings that belong to no component."""
    for group in NAMED_GROUPS:
        if not isinstance(cfg[group].name, str) or not cfg[group].name:
            raise SeenetError(f"{group}.name={cfg[group].name}: expected text, the name of the choice in results")
    for group in ("data", "optim", "logger"):
        cfg[group]  # a group that the command line deleted raises here, with its name
    if isinstance(cfg.seed, bool) or not isinstance(cfg.seed, int) or cfg.seed < 0:
        raise SeenetError(f"seed={cfg.seed}: expected a whole number, 0 or more")
    size = cfg.data.batch_size
    if size != "auto" and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise SeenetError(f"data.batch_size={size}: expected a whole number, 1 or more, or auto")
    if not isinstance(cfg.output_dir, str) or not cfg.output_dir:
        raise SeenetError(f"output_dir={cfg.output_dir}: expected text, the name of a folder")
    for name in ("report", "check", "dry"):
        if not isinstance(cfg.sweep[name], bool):
            raise SeenetError(f"sweep.{name}={cfg.sweep[name]}: expected true or false")


def _weights(cfg: DictConfig) -> Weights:
    backbone = cfg.backbone
    return resolve_weights(backbone.family, backbone.checkpoint, backbone.revision, backbone.path)


def _require_clips(manifest: Manifest, fold: Fold, classes: tuple[str, ...], parts: tuple[str, ...]) -> None:
    for part in parts:
        if len(getattr(fold, part)) == 0:
            raise SeenetError(f"fold {fold.number} has no clip in its {part} part; choose other folds")
    present = set(manifest.column("emotion")[fold.train])
    absent = [c for c in classes if c not in present]
    if absent:
        raise SeenetError(f"fold {fold.number} has no clip of class '{absent[0]}' to train on; choose other folds")
