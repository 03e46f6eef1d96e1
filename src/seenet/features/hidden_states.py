"""Hidden states of a frozen encoder in half precision, computed once per clip: one folder of the cache per layer."""

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seenet.core.console import print_line, track_progress
from seenet.core.paths import cache_dir
from seenet.corpora.manifest import Manifest
from seenet.corpora.waveform_store import WaveformStore
from seenet.data.conditions.base import TestCondition
from seenet.features.array_cache import ArrayCache, ArrayWriter
from seenet.features.clip_keys import FORMAT, key_clips
from seenet.features.extraction import batch_by_length, read_batch
from seenet.runs.identity import digest

LARGEST_HALF = float(np.finfo(np.float16).max)

PROBE_SAMPLES = 16000
"""Samples of a silent clip that tells the width of a layer."""

BLOCK_SECONDS = 2.0
"""Time between writes: an interruption loses at most the clips of this time and of one batch."""


def selected_layers(backbone: Any) -> list[int]:
    """Return the numbers of the hidden states that a backbone combines; one without a selection has one layer."""
    selection = getattr(backbone, "selection", None)
    return [0] if selection is None else list(selection.numbers)


class _Place(NamedTuple):
    """Where the arrays of a clip are: its key, and the cache of each layer."""

    key: int
    caches: tuple[ArrayCache, ...]


@dataclass
class HiddenStates:
    """Computes or reads the hidden states of the layers that a backbone combines.

    Attributes:
        manifest: the corpus, or several joined corpora; each has its own folders.
        store: their waveforms.
        backbone: frozen, with `hidden_states`.
        name: of the backbone.
        content: what determines its hidden states, as a JSON value.
        device: where the encoder runs.
        change: what is done to the clips before; None for nothing.
    """

    manifest: Manifest
    store: WaveformStore
    backbone: Any
    name: str
    content: Mapping[str, Any]
    device: torch.device
    change: TestCondition | None = None
    _places: dict[int, _Place] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the encoder: a loader process only reads."""
        return {**self.__dict__, "backbone": None}

    def compute(self, rows: NDArray[np.int64]) -> None:
        """Compute the hidden states that the cache lacks.

        Args:
            rows: of the clips in the manifest. Shape (clips,).

        Raises:
            SeenetError: the cache cannot be written, or the disk is too small.
        """
        rows, first = rows[[row not in self._places for row in rows.tolist()]], 0
        for part in self.manifest.parts or (self.manifest,):
            own = rows[(rows >= first) & (rows < first + len(part))]
            first += len(part)
            if len(own):
                self._compute_corpus(part.name, own)

    def read(self, row: int) -> list[NDArray[np.float16]]:
        """Return the hidden states of each layer of a clip that `compute` has seen. Shape of each (frames, dim)."""
        place = self._places[row]
        return [cache.read(place.key) for cache in place.caches]

    def _compute_corpus(self, corpus: str, rows: NDArray[np.int64]) -> None:
        names = None if self.change is None else self.manifest.column("utterance")[rows].tolist()
        keys, caches = key_clips(self.store, rows, names), self._open_caches(corpus)
        if any(len(cache.find_missing(keys)) for cache in caches):
            subject = f"hidden states of {corpus}"
            with contextlib.ExitStack() as held:
                writers = [held.enter_context(cache.locked(subject)) for cache in caches]
                missing = [set(keys[cache.find_missing(keys)].tolist()) for cache in caches]
                self._fill(rows, keys, writers, missing, subject)
        self._places |= {row: _Place(key, caches) for row, key in zip(rows.tolist(), keys.tolist(), strict=True)}

    def _open_caches(self, corpus: str) -> tuple[ArrayCache, ...]:
        """Return the cache of each selected layer."""
        with torch.inference_mode():
            self.backbone.to(self.device).eval()
            silence = torch.zeros(1, PROBE_SAMPLES, device=self.device)
            states, _ = self.backbone.hidden_states(silence, torch.tensor([PROBE_SAMPLES], device=self.device))
        folder, content = cache_dir() / "features", {"format": FORMAT, **self.content}
        return tuple(
            ArrayCache(
                folder / f"{corpus}-{self.name}-layer{number}-{digest({**content, 'layer': number})}",
                states[number].shape[2:],
                np.float16,
            )
            for number in selected_layers(self.backbone)
        )

    def _fill(
        self,
        rows: NDArray[np.int64],
        keys: NDArray[np.uint64],
        writers: list[ArrayWriter],
        missing: list[set[int]],
        subject: str,
    ) -> None:
        """Compute clips in batches and write those arrays that each layer lacks."""
        wanted = set().union(*missing)
        positions = np.array([n for n in np.unique(keys, return_index=True)[1] if int(keys[n]) in wanted], np.int64)
        done = len(set(keys.tolist())) - len(positions)
        if not len(positions):  # another process has computed them meanwhile
            return
        resumed = f" ({done} are done)" if done else ""
        layers = ",".join(map(str, selected_layers(self.backbone)))
        print_line(f"computing {subject}, layers {layers}, for {done + len(positions)} clips (once){resumed}")
        pending: list[tuple[list[int], list[Any]]] = [([], []) for _ in writers]
        written = time.monotonic()
        encoded = track_progress(self._encode(rows, keys, positions), done + len(positions), subject, done)
        for number, (key, arrays) in enumerate(encoded):
            if number == 0:  # the longest clip
                needed = len(positions) * sum(array.nbytes for array in arrays)
                writers[0].require_space(needed, f"the {subject}")
            for (waiting_keys, waiting), array, lacking in zip(pending, arrays, missing, strict=True):
                if key in lacking:
                    waiting_keys.append(key)
                    waiting.append(array)
            if time.monotonic() - written > BLOCK_SECONDS or number == len(positions) - 1:
                for writer, (waiting_keys, waiting) in zip(writers, pending, strict=True):
                    writer.append(waiting_keys, waiting)
                    waiting_keys.clear()
                    waiting.clear()
                written = time.monotonic()

    @torch.inference_mode()
    def _encode(
        self, rows: NDArray[np.int64], keys: NDArray[np.uint64], positions: NDArray[np.int64]
    ) -> Iterator[tuple[int, list[NDArray[np.float16]]]]:
        """Yield the key and the hidden states of each clip, shape (frames, dim) of each layer."""
        numbers = selected_layers(self.backbone)
        for chosen in batch_by_length(positions, self.store.lengths[rows[positions]]):
            batch = read_batch(self.store, rows[chosen], self.change)
            states, mask = self.backbone.hidden_states(batch.waveform.to(self.device), batch.lengths.to(self.device))
            halves = [states[n].clamp(-LARGEST_HALF, LARGEST_HALF).half().cpu().numpy() for n in numbers]
            counts = mask.sum(1).tolist()
            for clip, position in enumerate(chosen.tolist()):
                yield int(keys[position]), [layer[clip, : counts[clip]] for layer in halves]


def read_states(sources: Sequence[HiddenStates], rows: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return the hidden states of clips as a batch.

    Args:
        sources: of each clip.
        rows: of the clips in the manifest. Shape (batch,).

    Returns:
        Half precision, zero behind each clip, shape (batch, layers, frames, dim), and the number of frames of each
        clip, shape (batch,).
    """
    clips = [source.read(row) for source, row in zip(sources, rows, strict=True)]
    counts = [len(layers[0]) for layers in clips]
    states = np.zeros((len(clips), len(clips[0]), max(counts), clips[0][0].shape[1]), np.float16)
    for states_of_clip, layers, count in zip(states, clips, counts, strict=True):
        for states_of_layer, values in zip(states_of_clip, layers, strict=True):
            states_of_layer[:count] = values
    return torch.from_numpy(states), torch.tensor(counts)
