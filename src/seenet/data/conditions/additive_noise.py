"""Noise added to the test clips at a stated speech-to-noise ratio."""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from seenet.core.errors import SeenetError
from seenet.corpora.folds import Fold
from seenet.corpora.manifest import Manifest
from seenet.corpora.waveform_store import WaveformStore
from seenet.data.batch import Batch
from seenet.data.conditions.base import TestCondition
from seenet.data.conditions.noise_sources import build_noise_source


class AdditiveNoise(TestCondition):
    """Adds noise so that the power of a clip's valid samples over that of the noise in them is as stated.

    The noise of a clip follows from its corpus, its name, the source and `seed`; babble also from the fold. Every
    model, rerun, batch size and level gets the same noise, louder or softer. A silent clip stays silent.

    Args:
        manifest: the corpus that is tested.
        store: its waveforms.
        snr_db: speech-to-noise ratio in dB.
        source: `white`, `pink`, `babble` (six clips at once of speakers who are not tested), or a folder of
            recordings.
        seed: of the noise, not of the training.

    Raises:
        SeenetError: a ratio that makes no sense, or a source that is not there.
    """

    def __init__(self, manifest: Manifest, store: WaveformStore, snr_db: float, source: str = "white", seed: int = 0):
        if not -100 <= snr_db <= 100:
            raise SeenetError(f"noise: snr_db={snr_db}: expected -100 to 100")
        self.source, self.snr_db, self.seed = build_noise_source(source, manifest, store), snr_db, seed
        self.settings: Mapping[str, object] = {"snr_db": snr_db, "seed": seed, **self.source.settings}
        prefix = "" if manifest.parts else f"{manifest.name}/"  # joined corpora have it in their names
        self._names = [f"{prefix}{name}" for name in manifest.column("utterance")]

    def for_fold(self, fold: Fold) -> "AdditiveNoise":
        """The condition with a source that holds nothing of the test part."""
        noise = copy.copy(self)
        noise.source = self.source.for_fold(fold)
        noise.remark = noise.source.remark
        return noise

    def noise(self, index: int, clip: np.ndarray) -> np.ndarray:
        """What is added to a clip.

        Args:
            index: its row in the manifest.
            clip: its valid samples. Shape (samples,).

        Returns:
            float32, shape (samples,).
        """
        name = hashlib.blake2b(self._names[index].encode(), digest_size=8).digest()
        rng = np.random.default_rng([self.seed, int.from_bytes(name, "little")])
        noise = self.source.draw(index, len(clip), rng)
        speech_power, noise_power = (np.square(x, dtype=np.float64).mean() for x in (clip, noise))
        return (np.sqrt(speech_power / noise_power) * 10 ** (-self.snr_db / 20) * noise).astype(np.float32)

    def __call__(self, batch: Batch) -> Batch:
        """The noisy batch. Each clip by itself, on the CPU: its bits depend on no other clip and on no device."""
        noise = np.zeros(batch.waveform.shape, dtype=np.float32)
        clips, lengths = batch.waveform.float().cpu().numpy(), batch.lengths.tolist()
        for row, (index, length) in enumerate(zip(batch.indices.tolist(), lengths, strict=True)):
            noise[row, :length] = self.noise(index, clips[row, :length])
        added = torch.from_numpy(noise).to(batch.waveform)
        return replace(batch, waveform=batch.waveform + added)
