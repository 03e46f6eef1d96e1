"""The predictor: a trained model that takes waveforms and audio files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from seenet.audio.reading import read_audio
from seenet.core.errors import SeenetError
from seenet.models.heads.fitted import measure
from seenet.runs.bundle import Bundle, load_bundle


class Predictor:
    """Predicts emotions with a trained model.

    Args:
        bundle: the model.
        device: where it runs, e.g. `cpu` or `cuda`.

    Attributes:
        bundle: the model, with its classes, sampling rate, temperature and origin.
    """

    def __init__(self, bundle: Bundle, device: str | torch.device = "cpu"):
        self.bundle, self.device = bundle, torch.device(device)
        self._speaker: tuple[torch.Tensor, torch.Tensor] | None = None
        bundle.classifier.to(self.device).eval()

    @classmethod
    def load(cls, folder: str | Path, device: str | torch.device = "cpu") -> "Predictor":
        """Load the model of a trained fold, e.g. `outputs/<run>/fold0`.

        Raises:
            SeenetError: the folder holds no model, or a damaged one.
        """
        return cls(load_bundle(Path(folder)), device)

    @property
    def classes(self) -> tuple[str, ...]:
        """The emotions, in the order of the probabilities."""
        return self.bundle.classes

    @property
    def needs_enrollment(self) -> bool:
        """Whether the model standardises features by recordings of the speaker (`head.normalize=speaker`)."""
        return getattr(self.bundle.classifier.head, "normalize", "corpus") == "speaker"

    @torch.inference_mode()
    def enroll(self, waveforms: Sequence[NDArray[np.float32]]) -> None:
        """Take unlabelled recordings of the speaker whose recordings are predicted next.

        Args:
            waveforms: as of `predict_batch`; two or more, with different emotions if possible.

        Raises:
            SeenetError: fewer than two, or one that `predict_batch` refuses.
        """
        if len(waveforms) < 2:
            raise SeenetError(f"{len(waveforms)} recordings of the speaker are too few; give two or more")
        mean, scale = measure(self._pool(waveforms).float().cpu().numpy())
        self._speaker = torch.from_numpy(mean).float(), torch.from_numpy(scale).float()

    @torch.inference_mode()
    def predict_batch(self, waveforms: Sequence[NDArray[np.float32]]) -> NDArray[np.float64]:
        """Return the class probabilities of waveforms; the composition of the batch does not affect them.

        Args:
            waveforms: mono at 16 kHz, full scale at 1. Shape (samples,) each.

        Returns:
            Uncalibrated, as in predictions.csv. Shape (waveforms, classes).

        Raises:
            SeenetError: no speaker is enrolled where the model needs one; no waveform; or one that is empty, not mono,
                or holds values that are not finite.
        """
        pooled = self._pool(waveforms)
        if self.needs_enrollment:
            if self._speaker is None:
                raise SeenetError(
                    "this model standardises features by recordings of the speaker; give some to enroll first"
                )
            mean, scale = (value.to(self.device) for value in self._speaker)
            pooled = (pooled - mean) / scale
        probabilities: torch.Tensor = self.bundle.classifier.classify(pooled)
        return probabilities.double().cpu().numpy()

    def _pool(self, waveforms: Sequence[NDArray[np.float32]]) -> torch.Tensor:
        """Return the pooled vectors of waveforms, after a check. Shape (waveforms, dim)."""
        if not len(waveforms):
            raise SeenetError("there is no waveform to predict; give one or more")
        for number, wave in enumerate(waveforms):
            if wave.ndim != 1 or not wave.size:
                raise SeenetError(f"waveform {number} has shape {wave.shape}: expected mono samples, shape (samples,)")
            if not np.isfinite(wave).all():
                raise SeenetError(f"waveform {number} holds values that are not finite")
        lengths = torch.tensor([len(wave) for wave in waveforms])
        batch = torch.zeros(len(waveforms), int(lengths.max()))
        for row, wave in zip(batch, waveforms, strict=True):
            row[: len(wave)] = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))
        return self.bundle.classifier.pool(batch.to(self.device), lengths.to(self.device))

    def predict(self, waveform: NDArray[np.float32]) -> dict[str, float]:
        """Return the probability of each class for one waveform, shape (samples,); see `predict_batch`."""
        return dict(zip(self.classes, self.predict_batch([waveform])[0].tolist(), strict=True))

    def predict_file(self, path: str | Path) -> dict[str, float]:
        """Return the probability of each class for an audio file; its first `bundle.max_seconds` seconds count.

        Raises:
            UnreadableAudioError: a file that cannot be read.
        """
        return self.predict(read_audio(Path(path), self.bundle.max_seconds).waveform)
