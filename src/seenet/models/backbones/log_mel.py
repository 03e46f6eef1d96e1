"""Log-mel spectrograms, computed in batches on the device of the waveforms."""

from typing import Literal

import torch
from torch import Tensor, nn
from transformers.audio_utils import mel_filter_bank


class WhisperLogMel(nn.Module):
    """The log-mel spectrogram of Whisper (Radford et al., ICML 2023), as its feature extractor computes it.

    The window has 25 ms and the hop 10 ms. Powers below 10^-8 of the largest of the clip count as that value.

    Args:
        bins: number of mel bins, 80 or 128.
    """

    RATE, WINDOW, HOP = 16000, 400, 160

    window: Tensor
    filters: Tensor

    def __init__(self, bins: int):
        super().__init__()
        filters = mel_filter_bank(self.WINDOW // 2 + 1, bins, 0.0, 8000.0, self.RATE, norm="slaney", mel_scale="slaney")
        self.register_buffer("window", torch.hann_window(self.WINDOW), persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters.T).float().contiguous(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute the spectrogram of each clip, in float32.

        Args:
            waveform: at 16 kHz. Shape (batch, samples).

        Returns:
            Shape (batch, bins, samples // 160).
        """
        with torch.autocast(waveform.device.type, enabled=False):
            spectrum = torch.stft(waveform, self.WINDOW, self.HOP, window=self.window, return_complex=True)[..., :-1]
            levels = (self.filters @ spectrum.abs().square()).clamp(min=1e-10).log10()
        levels = torch.maximum(levels, levels.amax((1, 2), keepdim=True) - 8)
        return (levels + 4) / 4


class KaldiLogMel(nn.Module):
    """The log-mel filter bank of Kaldi, which w2v-BERT 2.0 and AST were trained on.

    The window has 25 ms and the hop 10 ms; the last window ends within the clip. Each window loses its mean and gets a
    preemphasis of 0.97.

    Args:
        bins: number of mel bins.
        window: `povey`, or `hann`.
        scale: factor of the waveform. Kaldi expects the range of 16-bit integers.
    """

    RATE, WINDOW, HOP = 16000, 400, 160
    FFT, PREEMPHASIS, MIN_POWER = 512, 0.97, 1.192092955078125e-07

    window: Tensor
    filters: Tensor

    def __init__(self, bins: int, window: Literal["povey", "hann"], scale: float = 1.0):
        super().__init__()
        shape = torch.hann_window(self.WINDOW, periodic=False, dtype=torch.float64)
        shape = shape.pow(0.85) if window == "povey" else shape
        filters = mel_filter_bank(
            self.FFT // 2 + 1, bins, 20.0, 8000.0, self.RATE, mel_scale="kaldi", triangularize_in_mel_space=True
        )
        self.register_buffer("window", scale * shape, persistent=False)
        self.register_buffer("filters", torch.from_numpy(filters), persistent=False)

    @classmethod
    def count_frames(cls, samples: Tensor) -> Tensor:
        """Return the number of frames of clips of at least one window. Shape (batch,)."""
        return (samples - cls.WINDOW).div(cls.HOP, rounding_mode="floor") + 1

    @staticmethod
    def precision(device: torch.device) -> torch.dtype:
        """Return the precision of sums: double, where the device has it."""
        return torch.float32 if device.type == "mps" else torch.float64

    def forward(self, waveform: Tensor) -> Tensor:
        """Compute the filter bank of each clip, in float32.

        Args:
            waveform: at 16 kHz, one window or more. Shape (batch, samples).

        Returns:
            Shape (batch, frames, bins).
        """
        dtype = self.precision(waveform.device)
        with torch.autocast(waveform.device.type, enabled=False):
            windows = waveform.to(dtype).unfold(1, self.WINDOW, self.HOP)
            windows = windows - windows.mean(2, keepdim=True)
            before = torch.cat([windows[..., :1], windows[..., :-1]], 2)
            spectrum = torch.fft.rfft((windows - self.PREEMPHASIS * before) * self.window.to(dtype), self.FFT)
            levels: Tensor = (spectrum.abs().square() @ self.filters.to(dtype)).clamp(min=self.MIN_POWER).log()
        return levels.float()
