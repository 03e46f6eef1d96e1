"""One job: a composed configuration checked against what is on this machine, and the run that it stands for."""

import hashlib
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.bad_files import apply_bad_file_policy
from seenet.corpora.folds import Fold, Folds, PlannedFold, choose_folds, make_folds
from seenet.corpora.loading import build_scheme, load_corpus
from seenet.corpora.manifest import Manifest
from seenet.corpora.protocols import Protocol
from seenet.corpora.waveform_store import WaveformStore, open_store
from seenet.models.backbones.pretrained_weights import Weights, resolve_weights
from seenet.runs.directory import RunDirectory
from seenet.runs.identity import digest
from seenet.runs.results import read_result, read_trained
from seenet.training.trainer import TrainerConfig

if TYPE_CHECKING:
    from seenet.data.augmentation.base import Augmentation
    from seenet.data.conditions.base import TestCondition


NAMED_GROUPS = ("dataset", "backbone", "pooling", "aux_task", "protocol", "trainer")
"""Groups whose choice has a name that results record."""


@dataclass(frozen=True)
class Experiment:
    """What is trained and tested, and where it goes.

    Attributes:
        cfg: the composed configuration (conf/train.yaml).
        config: the same, resolved.
        manifest: the utterances.
        store: their samples.
        classes: the emotions in their order.
        protocol: tells what selects the epoch.
        folds: all of the scheme, without files that cannot be used; each is made when it is asked for.
        chosen: the numbers of those to run.
        weights: of the backbone.
        plan: how to train.
        augmentation: of the training clips.
        conditions: how to test, by name.
    """

    cfg: DictConfig
    config: dict[str, Any]
    manifest: Manifest
    store: WaveformStore
    classes: tuple[str, ...]
    protocol: Protocol
    folds: Folds
    chosen: list[int]
    weights: Weights
    plan: TrainerConfig
    augmentation: "Augmentation"
    conditions: "dict[str, TestCondition]"

    @classmethod
    def of(cls, cfg: DictConfig) -> "Experiment":
        """Check a configuration against the machine; audio that is not yet decoded is.

        Raises:
            SeenetError: anything the user can put right.
        """
        _require_plain_settings(cfg)
        weights = _weights(cfg)
        manifest, classes, indices = load_corpus(cfg)
        # These bring torch, for which mistakes found above need not wait.
        from seenet.data.augmentation.chain import build_augmentation
        from seenet.data.conditions.base import build_conditions
        from seenet.training.components import check_components

        plan: TrainerConfig = instantiate_checked(cfg.trainer, "trainer")
        augmentation = build_augmentation(OmegaConf.select(cfg, "aug"))
        protocol: Protocol = instantiate_checked(cfg.protocol, "protocol")
        check_components(cfg, plan, augmentation)
        folds = make_folds(manifest, indices, build_scheme(cfg), protocol)
        chosen = choose_folds(OmegaConf.to_object(cfg.fold) if OmegaConf.is_list(cfg.fold) else cfg.fold, len(folds))
        store = open_store(manifest, cfg.data.max_seconds)
        apply_bad_file_policy(manifest, store, cfg.dataset.on_bad_file)
        folds = folds.without(store.bad)
        conditions = build_conditions(cfg.noise, manifest, store)
        for number in chosen:
            outline = folds.outline(number)
            _require_clips(manifest, outline, classes, ("test",))
            for condition in conditions.values():
                condition.for_fold(outline)
        return cls(
            cfg=cfg,
            config=_resolved(cfg, augmentation),
            manifest=manifest,
            store=store,
            classes=classes,
            protocol=protocol,
            folds=folds,
            chosen=chosen,
            weights=weights,
            plan=plan,
            augmentation=augmentation,
            conditions=conditions,
        )

    @property
    def training_corpus(self) -> Manifest:
        """The corpus that is trained on; with `test_dataset` it is the first of several."""
        return self.manifest if self.cfg.test_dataset is None else self.manifest.parts[0]

    @cached_property
    def run(self) -> RunDirectory:
        """The run's identity and folder. Test corpora and test conditions do not change them."""
        corpus = self.training_corpus
        content = {
            "corpus": self.content_hash(corpus, 0),
            "classes": self.classes,
            "weights": self.weights.fingerprint,
            "trainer": self.plan.learned(),
        }
        name = corpus.name if self.cfg.test_dataset is None else f"{corpus.name}_cross_corpus"
        return RunDirectory.of(Path(self.cfg.output_dir), name, self.config, content, self.protocol.selection)

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
        """The job with every batch in so many parts, whose gradients add up to one step of the optimiser."""
        clips, batches = -(-self.cfg.data.batch_size // parts), self.plan.accumulate_grad_batches * parts
        cfg, plan = self.cfg.copy(), replace(self.plan, accumulate_grad_batches=batches)
        cfg.data.batch_size, cfg.trainer.accumulate_grad_batches = clips, batches
        return replace(self, cfg=cfg, config=_resolved(cfg, self.augmentation), plan=plan)

    def has_checkpoints_or_results(self) -> bool:
        """Whether some fold of the run has left what there is to go on from, or its result."""
        folder = self.run.folder
        return any(folder.glob("fold*/*.ckpt")) or any(folder.glob("fold*/*/result.json"))

    def fold(self, number: int) -> Fold:
        """One fold, complete.

        Raises:
            SeenetError: a part that lacks clips, or speakers to hold out.
        """
        fold = self.folds[number]
        _require_clips(self.manifest, fold, self.classes, ("dev", "test"))
        return fold

    def tests(self, numbers: Iterable[int] | None = None) -> Iterator[tuple[PlannedFold, str, Path]]:
        """Every chosen fold, or some of them, under every condition, and the folder of its result."""
        for number in self.chosen if numbers is None else numbers:
            fold = self.folds.planned[number]
            for name, condition in self.conditions.items():
                yield fold, name, self.run.test_folder(fold, self.training_name(number), name, condition.settings)

    def count_missing_results(self) -> int:
        """How many results are missing."""
        return len(self.missing())

    def results(self, number: int) -> dict[str, dict[str, Any] | None]:
        """Read the results of a fold, by condition; None where there is none that can be reused."""
        run_id = self.run.run_id(self.training_name(number))
        return {
            name: read_result(folder, run_id, self.test_hash(fold), name) for fold, name, folder in self.tests([number])
        }

    def missing(self) -> list[PlannedFold]:
        """List the fold of each missing result: once for each condition."""
        results = ((self.folds.planned[number], self.results(number)) for number in self.chosen)
        return [fold for fold, of_fold in results for result in of_fold.values() if result is None]

    def is_trained(self, fold: Fold | PlannedFold) -> bool:
        """Whether a fold's training is finished and its weights are there to be tested."""
        folder = self.fold_folder(fold.number)
        return read_trained(folder) is not None and zipfile.is_zipfile(folder / "best.ckpt")

    def folds_to_train(self) -> list[PlannedFold]:
        """A fold for each training that is still to be done."""
        waiting = {fold.training: fold for fold in self.missing()}
        return [f for f in waiting.values() if not self.is_trained(f)]


def _resolved(cfg: DictConfig, augmentation: "Augmentation") -> dict[str, Any]:
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    if not augmentation.needs_partner:
        config["data"]["partner"] = None  # of no effect, so equal runs are equal however they set it
    return config


def find_missing_prerequisites(cfg: DictConfig) -> list[str]:
    """What keeps a job from starting: weights, corpora and hardware that are not there; empty where nothing does."""
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
    """Check the settings that no component has as its own."""
    for group in NAMED_GROUPS:
        if not isinstance(cfg[group].name, str) or not cfg[group].name:
            raise SeenetError(f"{group}.name={cfg[group].name}: expected text, the name of the choice in results")
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
