"""Extraction of pooled vectors of every layer of a frozen encoder."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seenet.core.atomic import explain_write_errors
from seenet.core.console import print_line, track_progress
from seenet.core.locks import hold_lock
from seenet.core.paths import cache_dir
from seenet.corpora.folds import Fold
from seenet.corpora.waveform_store import WaveformStore
from seenet.data.batch import Batch
from seenet.data.conditions.base import TestCondition
from seenet.data.conditions.clean import Clean
from seenet.features.clip_keys import hash_source, key_clips
from seenet.features.feature_cache import FeatureCache
from seenet.models.classifier import EmotionClassifier
from seenet.runs.identity import describe_component, digest

FORMAT = 2
"""Raised where equal settings give other features than before."""

BATCH_SECONDS = 30
"""Duration of a batch in seconds, padding included. Longer batches are no faster on a CPU."""

BLOCK_BATCHES = 8
"""Batches between writes; an interruption loses at most as many."""

LAYER_SETTINGS = ("layers", "combine", "freeze")
"""Settings of a backbone that do not change its hidden states."""


class FeatureExtractor:
    """Computes the pooled vector of every layer once per clip and reads the layers of a run from the cache.

    Args:
        classifier: its backbone is frozen, and concatenates layers or takes one.
        backbone: the group `backbone` of the configuration.
        pooling: the group `pooling` of the configuration.
        weights: hash of the weights of the backbone.
        store: the waveforms.
        corpus: name of the corpus, for messages.
        names: of the clips of the store. Shape (clips,).
        device: where the encoder runs.
    """

    def __init__(
        self,
        classifier: EmotionClassifier,
        backbone: Mapping[str, Any],
        pooling: Mapping[str, Any],
        weights: str,
        store: WaveformStore,
        corpus: str,
        names: Sequence[str],
        device: torch.device,
    ):
        self._classifier, self._store, self._corpus, self._device = classifier, store, corpus, device
        self._names = list(names)
        described = describe_component(backbone)
        self._content = {
            "format": FORMAT,
            "weights": weights,
            "backbone": {name: value for name, value in described.items() if name not in LAYER_SETTINGS},
            "pooling": describe_component(pooling),
            "clips": digest([store.index["samples"].tolist(), store.index["length"].tolist()]),
        }
        self._caches: dict[str, FeatureCache] = {}

    def pooled(self, rows: NDArray[np.int64], condition: TestCondition, fold: Fold) -> NDArray[np.float32]:
        """Return the pooled vectors of clips for the layers of the run; compute those that the cache lacks.

        Args:
            rows: of the manifest. Shape (clips,).
            condition: what is done to the clips, for the fold.
            fold: of the clips; noise may come from its other clips.

        Returns:
            Shape (clips, dim).

        Raises:
            SeenetError: the cache cannot be written.
        """
        content = {**self._content, **self._describe(condition, fold)}
        key = digest(content)
        folder = cache_dir() / "features" / f"{self._corpus}-{key}"
        if key not in self._caches or len(self._caches[key].missing(rows)):
            self._caches[key] = self._fill(folder, content, rows, condition)
        chosen = self._caches[key].rows[rows][:, :, self._numbers()]
        return np.ascontiguousarray(chosen.reshape(len(rows), -1))

    def _describe(self, condition: TestCondition, fold: Fold) -> dict[str, Any]:
        """Return what determines a change of the clips; nothing for clean ones."""
        if isinstance(condition, Clean):
            return {}
        kind, sources = type(condition), condition.find_source_clips(fold)
        return {
            "condition": {"class": f"{kind.__module__}.{kind.__qualname__}", **condition.settings},
            "code": hash_source(kind),
            "names": digest(self._names),  # noise is a function of the name of a clip
            "sources": None if sources is None else key_clips(self._store, sources).tolist(),
        }

    def layout(self, dim: int) -> tuple[int, int, int]:
        """Return the numbers of statistics, of layers and of components of a layer in a pooled vector.

        Args:
            dim: width of a pooled vector.
        """
        layers = len(self._numbers())
        statistics = len(getattr(self._classifier.pooling, "statistics", ("mean",)))
        return statistics, layers, dim // (statistics * layers)

    def _numbers(self) -> list[int]:
        """Return the numbers of the layers of the run; a backbone without a selection has one layer."""
        selection = getattr(self._classifier.backbone, "selection", None)
        return [0] if selection is None else list(selection.numbers)

    def _fill(
        self, folder: Path, content: Mapping[str, Any], rows: NDArray[np.int64], condition: TestCondition
    ) -> FeatureCache:
        """Open a cache and compute the rows that it lacks; one process computes while others wait."""
        with explain_write_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
        with hold_lock(Path(f"{folder}.lock"), f"the features of {self._corpus}"):
            cache = FeatureCache(folder, self._shape(), json.dumps(content, indent=2) + "\n")
            missing = cache.missing(rows)
            if len(missing):
                done = len(rows) - len(missing)
                resumed = f" ({done} are done)" if done else ""
                print_line(f"computing features of {len(rows)} clips of {self._corpus} into {folder}{resumed}")
                self._compute(cache, missing, condition, done)
        return cache

    def _shape(self) -> tuple[int, ...]:
        """Return the shape of the cache: clips, statistics, layers, width of a layer."""
        probe = self._encode(torch.zeros(1, 16000), torch.tensor([16000]))
        return (len(self._store.index), *probe.shape[1:])

    def _compute(self, cache: FeatureCache, rows: NDArray[np.int64], condition: TestCondition, done: int) -> None:
        self._classifier.to(self._device).eval()
        computed: list[NDArray[np.int64]] = []
        values: list[NDArray[np.float32]] = []
        total = done + len(rows)

        def clips() -> Iterator[int]:
            """Yield once for each clip, after it is computed; write blocks of batches."""
            for number, batch_rows in enumerate(batch_by_length(rows, self._store.lengths[rows])):
                computed.append(batch_rows)
                values.append(self._encode_rows(batch_rows, condition))
                if number % BLOCK_BATCHES == BLOCK_BATCHES - 1:
                    cache.write(np.concatenate(computed), np.concatenate(values))
                    computed.clear()
                    values.clear()
                yield from range(len(batch_rows))

        for _ in track_progress(clips(), total, f"features of {self._corpus}", done):
            pass
        if computed:
            cache.write(np.concatenate(computed), np.concatenate(values))

    def _encode_rows(self, rows: NDArray[np.int64], condition: TestCondition) -> NDArray[np.float32]:
        batch = read_batch(self._store, rows, condition)
        encoded = self._encode(batch.waveform.to(self._device), batch.lengths.to(self._device))
        pooled: NDArray[np.float32] = encoded.float().cpu().numpy()
        return pooled

    @torch.inference_mode()
    def _encode(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Return pooled vectors. Shape (batch, statistics, layers, width of a layer)."""
        return pool_layers(self._classifier, waveform, lengths)


def read_batch(store: WaveformStore, rows: NDArray[np.int64], change: TestCondition | None) -> Batch:
    """Return clips without labels.

    Args:
        store: the waveforms.
        rows: of the clips. Shape (batch,).
        change: what is done to the clips; None for nothing.
    """
    unknown = torch.full((len(rows),), -1)
    waveform, lengths = torch.from_numpy(store.padded(rows)), torch.from_numpy(store.lengths[rows])
    batch = Batch(waveform, lengths, unknown, unknown, unknown, torch.from_numpy(rows))
    return batch if change is None else change(batch)


def pool_layers(classifier: EmotionClassifier, waveform: Tensor, lengths: Tensor) -> Tensor:
    """Pool the frames of every layer of an encoder.

    Args:
        classifier: its backbone has `hidden_states`; its pooling gives statistics, each as wide as a frame.
        waveform: shape (batch, samples).
        lengths: shape (batch,).

    Returns:
        Shape (batch, statistics, layers, width of a layer).
    """
    backbone: Any = classifier.backbone
    layers, mask = backbone.hidden_states(waveform, lengths)
    pooled = torch.stack(
        [classifier.pool_frames(frames, mask, waveform) for frames in layers], 1
    )  # (batch, layers, statistics · width)
    batch, count, width = len(waveform), len(layers), layers[0].shape[2]
    return pooled.reshape(batch, count, -1, width).transpose(1, 2)


def batch_by_length(rows: NDArray[np.int64], lengths: Sequence[int] | NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield rows of similar length, the longest first, in batches of at most `BATCH_SECONDS`."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        longest = int(np.asarray(lengths)[order[start]])
        count = max(1, BATCH_SECONDS * 16000 // max(1, longest))
        yield rows[order[start : start + count]]
        start += count
