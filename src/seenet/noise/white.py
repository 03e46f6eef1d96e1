"""White Gaussian noise at a stated speech-to-noise ratio."""

from dataclasses import replace

import torch

from seenet.data.batch import Batch, valid_mask
from seenet.errors import SeenetError
from seenet.noise.base import Noise


class White(Noise):
    """Adds white noise; the ratio is that of the powers over a clip's valid samples.

    The noise of a clip depends on the clip's row in the corpus and on `seed` alone: every model and every run
    hears the same. A silent clip stays silent.

    Args:
        snr_db: speech-to-noise ratio in dB.
        seed: of the noise, not of the training.
    """

    def __init__(self, snr_db: float, seed: int = 0):
        if not -100 <= snr_db <= 100:
            raise SeenetError(f"noise.snr_db={snr_db}: expected -100 to 100")
        self.snr_db, self.seed = snr_db, seed

    def __call__(self, batch: Batch) -> Batch:
        """The noisy batch."""
        waveform, lengths = batch.waveform, batch.lengths
        noise = torch.zeros(waveform.shape)
        for row, (index, length) in enumerate(zip(batch.indices.tolist(), lengths.tolist(), strict=True)):
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + index)
            noise[row, :length] = torch.randn(length, generator=generator)
        noise = noise.to(waveform.device)
        speech_power, noise_power = (x.square().sum(dim=1) for x in (waveform.float(), noise))
        scale = (speech_power / noise_power).sqrt() * 10 ** (-self.snr_db / 20)
        noisy = waveform + (scale[:, None] * noise).to(waveform.dtype)
        return replace(batch, waveform=torch.where(valid_mask(lengths, waveform.shape[1]), noisy, waveform))
