"""Log-mel spectrograms, computed in batches on the device of the waveforms."""

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
