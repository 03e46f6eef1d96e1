"""Acoustic functionals as backbone: the classical baseline, without weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seenet.core.errors import SeenetError
from seenet.models.backbones.pretrained_weights import Weights

RATE, HOP, WINDOW = 16000, 160, 400
"""Sampling rate in Hz; hop and window of short-time descriptors in samples."""

PITCH_WINDOW, PITCH_RANGE = 1024, (60.0, 500.0)
"""Window of the pitch estimate in samples, and its range in Hz."""

QUIETEST = 1e-5
"""Level that counts as silence: -100 dB."""

VOICED_RANGE_DB, VOICED_CROSSINGS = 25.0, 0.15
"""A frame is voiced within this range below the clip's 95th percentile of level, with at most this crossing rate."""

COEFFICIENTS = 13
"""Number of MFCCs."""

Track = NDArray[np.float32]


def _level(clip: Track) -> Track:
    """Return the level of each frame in dB. Shape (frames,)."""
    import librosa

    rms = librosa.feature.rms(y=clip, frame_length=WINDOW, hop_length=HOP)[0]
    level: Track = 20 * np.log10(np.maximum(rms, QUIETEST))
    return level


def _loudness(clip: Track) -> list[Track]:
    return [_level(clip)]


def _pitch(clip: Track) -> list[Track]:
    """Return the pitch of voiced frames in semitones over 27.5 Hz by YIN, and the voicing of every frame."""
    import librosa

    fmin, fmax = PITCH_RANGE
    hertz = librosa.yin(clip, fmin=fmin, fmax=fmax, sr=RATE, frame_length=PITCH_WINDOW, hop_length=HOP)
    crossings = librosa.feature.zero_crossing_rate(clip, frame_length=WINDOW, hop_length=HOP)[0]
    level = _level(clip)
    size = min(len(hertz), len(crossings), len(level))
    loud = level[:size] > max(np.percentile(level, 95) - VOICED_RANGE_DB, 20 * np.log10(QUIETEST))
    voiced = loud & (crossings[:size] <= VOICED_CROSSINGS)
    semitones = 12 * np.log2(hertz[:size][voiced] / 27.5)
    return [semitones if voiced.any() else np.zeros(1), voiced.astype(np.float32)]


def _mfcc(clip: Track) -> list[Track]:
    """Return MFCCs and their differences between frames."""
    import librosa

    mel = librosa.feature.melspectrogram(y=clip, sr=RATE, n_fft=512, win_length=WINDOW, hop_length=HOP, n_mels=26)
    coefficients = librosa.feature.mfcc(S=librosa.power_to_db(mel), n_mfcc=COEFFICIENTS)
    return [*coefficients, *np.gradient(coefficients, axis=1)]


def _spectral(clip: Track) -> list[Track]:
    """Return centroid, bandwidth, roll-off, flatness and zero-crossing rate."""
    import librosa

    magnitude = np.abs(librosa.stft(clip, n_fft=512, win_length=WINDOW, hop_length=HOP)) + 1e-8
    shape = {"S": magnitude, "sr": RATE}
    return [
        librosa.feature.spectral_centroid(**shape)[0],
        librosa.feature.spectral_bandwidth(**shape)[0],
        librosa.feature.spectral_rolloff(**shape)[0],
        librosa.feature.spectral_flatness(S=magnitude)[0],
        librosa.feature.zero_crossing_rate(clip, frame_length=WINDOW, hop_length=HOP)[0],
    ]


GROUPS: dict[str, tuple[int, Callable[[Track], list[Track]]]] = {
    "loudness": (1, _loudness),
    "pitch": (2, _pitch),
    "mfcc": (2 * COEFFICIENTS, _mfcc),
    "spectral": (5, _spectral),
}
"""By name, number of descriptors and the function from a clip to their tracks."""

PERCENTILES = (5, 50, 95)
FUNCTIONALS = 3 + len(PERCENTILES)
"""Values for each descriptor: mean, standard deviation, slope per second, percentiles."""


def _functionals(track: Track) -> list[float]:
    time = np.arange(len(track)) * HOP / RATE
    centred = time - time.mean()
    spread = float(np.square(centred).sum())
    slope = float(centred @ track) / spread if spread else 0.0
    return [float(track.mean()), float(track.std()), slope, *np.percentile(track, PERCENTILES).tolist()]


class FunctionalsBackbone(nn.Module):
    """Statistics over time of acoustic descriptors, one vector per clip, computed with librosa on the CPU.

    The descriptors are a part of those of eGeMAPS (Eyben et al., IEEE TAFFC 2016): level, pitch, MFCC and the shape of
    the spectrum. Each has mean, standard deviation, slope and the 5th, 50th and 95th percentile. No gradient flows.

    Args:
        family: `functionals`.
        weights: without a source.
        features: groups of descriptors: `loudness`, `pitch`, `mfcc`, `spectral`.

    Attributes:
        dim: width of the vector.

    Raises:
        SeenetError: an unknown group, one that is named twice, or none.
    """

    def __init__(self, family: Literal["functionals"], weights: Weights, features: Sequence[str] = tuple(GROUPS)):
        super().__init__()
        if not features or len(set(features)) < len(features) or not set(features) <= set(GROUPS):
            raise SeenetError(f"backbone.features={list(features)}: expected different names from {', '.join(GROUPS)}")
        self.features = tuple(features)
        self.dim = FUNCTIONALS * sum(GROUPS[name][0] for name in features)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the vector of each clip.

        Args:
            waveform: at 16 kHz; padding is ignored. Shape (batch, samples).
            lengths: valid samples. Shape (batch,).

        Returns:
            Vectors as single frames, shape (batch, 1, dim), and their mask, shape (batch, 1).
        """
        clips = waveform.detach().float().cpu().numpy()
        vectors = [self._describe(clip[:length]) for clip, length in zip(clips, lengths.tolist(), strict=True)]
        frames = torch.tensor(vectors, dtype=torch.float32, device=waveform.device)[:, None]
        return frames, torch.ones(frames.shape[:2], dtype=torch.bool, device=waveform.device)

    def combine(self, hidden_states: Sequence[Tensor] | Mapping[int, Tensor]) -> Tensor:
        """Return the only layer. Shape (batch, 1, dim)."""
        return hidden_states[0]

    def hidden_states(self, waveform: Tensor, lengths: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the output of `forward` as the only layer."""
        frames, mask = self(waveform, lengths)
        return [frames], mask

    def _describe(self, clip: Track) -> list[float]:
        clip = np.pad(clip, (0, max(0, PITCH_WINDOW - len(clip))))
        tracks = [track for name in self.features for track in GROUPS[name][1](clip)]
        return [value for track in tracks for value in _functionals(np.asarray(track, dtype=np.float64))]
