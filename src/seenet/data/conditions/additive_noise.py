"""Additive noise at a given speech-to-noise ratio."""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from seenet.core.errors import SeenetError
from seenet.corpora.folds import Fold
from seenet.corpora.manifest import Manifest
from seenet.corpora.waveform_store import WaveformStore
from seenet.data.batch import Batch
from seenet.data.conditions.base import TestCondition
from seenet.data.conditions.noise_sources import build_noise_source


class AdditiveNoise(TestCondition):
    """Additive noise at a fixed ratio of speech power to noise power over valid samples.

    The noise of a clip is a function of corpus, utterance name, source and `seed`; babble also depends on the fold.
    Every model, rerun, batch size and level therefore gets the same noise, scaled to the level. A silent clip stays
    silent.

    Args:
        manifest: the test corpus.
        store: the waveforms of the corpus.
        snr_db: speech-to-noise ratio in dB.
        source: `white`, `pink`, `babble` (the sum of six clips of speakers outside the test part), or a folder of
            recordings.
        seed: seed of the noise, independent of the training.

    Raises:
        SeenetError: `snr_db` is out of range, or the source does not exist.
    """

    def __init__(self, manifest: Manifest, store: WaveformStore, snr_db: float, source: str = "white", seed: int = 0):
        if not -100 <= snr_db <= 100:
            raise SeenetError(f"noise: snr_db={snr_db}: expected -100 to 100")
        self.source, self.snr_db, self.seed = build_noise_source(source, manifest, store), snr_db, seed
        self.settings: Mapping[str, object] = {"snr_db": snr_db, "seed": seed, **self.source.settings}
        prefix = "" if manifest.parts else f"{manifest.name}/"  # utterance names of joined corpora include it
        self._names = [f"{prefix}{name}" for name in manifest.column("utterance")]

    def for_fold(self, fold: Fold) -> "AdditiveNoise":
        """Return the condition with a source without clips of the test part."""
        condition = copy.copy(self)
        condition.source = self.source.for_fold(fold)
        condition.remark = condition.source.remark
        return condition

    def find_source_clips(self, fold: Fold) -> NDArray[np.int64] | None:
        """Return the rows from which babble comes; None for other noise."""
        return self.source.for_fold(fold).pool

    def draw_noise(self, index: int, clip: NDArray[np.float32]) -> NDArray[np.float32]:
        """Draw the noise of a clip, scaled to the ratio.

        Args:
            index: row of the clip in the manifest.
            clip: valid samples. Shape (samples,).

        Returns:
            Shape (samples,).
        """
        name = hashlib.blake2b(self._names[index].encode(), digest_size=8).digest()
        rng = np.random.default_rng([self.seed, int.from_bytes(name, "little")])
        noise = self.source.draw(index, len(clip), rng)
        speech_power, noise_power = (np.square(x, dtype=np.float64).mean() for x in (clip, noise))
        gain = np.sqrt(speech_power / noise_power) * 10 ** (-self.snr_db / 20)
        scaled: NDArray[np.float32] = (gain * noise).astype(np.float32)
        return scaled

    def __call__(self, batch: Batch) -> Batch:
        """Add noise clip by clip on the CPU: bits depend neither on other clips nor on the device."""
        noise = np.zeros(batch.waveform.shape, dtype=np.float32)
        clips, lengths = batch.waveform.float().cpu().numpy(), batch.lengths.tolist()
        for row, (index, length) in enumerate(zip(batch.indices.tolist(), lengths, strict=True)):
            noise[row, :length] = self.draw_noise(index, clips[row, :length])
        added = torch.from_numpy(noise).to(batch.waveform)
        return replace(batch, waveform=batch.waveform + added)
