"""Phase vocoder with a rate per clip (Flanagan and Golden 1966).

torchaudio's phase_vocoder and resample accept one rate for a batch, and torch.istft synchronises with the device to
check its windows. Therefore only the short-time Fourier transform comes from torch. Clips are padded with silence, not
reflected, which keeps a clip independent of the other clips of its batch.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

N_FFT = 1024  # samples per window: 64 ms at 16 kHz resolve the harmonics of a low voice
OVERLAP = 4  # windows per sample
HOP = N_FFT // OVERLAP


def analyse(waveform: Tensor) -> Tensor:
    """Compute spectra of windows centred at 0, HOP, 2 · HOP, …; the last two hold silence.

    Args:
        waveform: with zero padding. Shape (batch, samples).

    Returns:
        Shape (batch, frames, bins), complex64.
    """
    padded = F.pad(waveform.float(), (0, N_FFT))
    window = torch.hann_window(N_FFT, device=padded.device)
    return torch.stft(padded, N_FFT, HOP, window=window, pad_mode="constant", return_complex=True).transpose(1, 2)


def stretch(spectra: Tensor, rate: Tensor, frames: int) -> Tensor:
    """Change the rate of spectra and keep their pitch.

    Magnitudes of frame k are interpolated at time k · rate between the two adjacent frames. Its phases are those of
    frame k − 1 plus the phase advance between the two frames around time (k − 1) · rate. Frames after the end are
    silence.

    Args:
        spectra: output of `analyse`. Shape (batch, frames, bins).
        rate: rate of each clip; 2 is twice as fast. Shape (batch,).
        frames: number of output frames.

    Returns:
        Shape (batch, frames, bins), complex64.
    """
    times = torch.arange(frames, device=rate.device) * rate[:, None]  # (batch, frames)
    before = times.long().clamp(max=spectra.shape[1] - 2)
    fraction = (times - before).clamp(max=1).float()[:, :, None]
    rows = torch.arange(len(rate), device=rate.device)[:, None]
    magnitude, phase = spectra.abs(), spectra.angle()
    advance = phase.diff(dim=1)[rows, before[:, :-1]]
    phase = torch.cat([phase[:, :1], advance], dim=1).cumsum(dim=1)
    return torch.polar(torch.lerp(magnitude[rows, before], magnitude[rows, before + 1], fraction), phase)


def count_frames(samples: int) -> int:
    """Return the number of frames that `synthesise` needs for a number of samples."""
    return 1 + (samples + N_FFT // 2) // HOP


def _overlap_add(frames: Tensor) -> Tensor:
    """Overlap and add windows. Shape (batch, frames, n) to (batch, samples)."""
    quarters = torch.unflatten(frames, 2, (OVERLAP, -1)).unbind(2)  # OVERLAP times (batch, frames, n / OVERLAP)
    shifted = (F.pad(part, (0, 0, k, OVERLAP - 1 - k)) for k, part in enumerate(quarters))
    return sum(shifted, start=frames.new_zeros(())).flatten(1)


def synthesise(spectra: Tensor, samples: int, oversampling: int = 1) -> Tensor:
    """Compute the least-squares waveform of spectra (Griffin and Lim 1984).

    Args:
        spectra: at least `count_frames(samples)` frames. Shape (batch, frames, bins).
        samples: number of samples, at the sample rate of the analysed waveform.
        oversampling: number of output samples per sample.

    Returns:
        Shape (batch, oversampling · samples), float32.
    """
    size = oversampling * N_FFT
    window = torch.hann_window(size, device=spectra.device)
    frames = torch.fft.irfft(oversampling * spectra, n=size) * window
    weight = _overlap_add(window.square().expand(1, spectra.shape[1], -1))
    start = size // 2
    valid = slice(start, start + oversampling * samples)
    return _overlap_add(frames)[:, valid] / weight[:, valid]


def interpolate(waveform: Tensor, positions: Tensor) -> Tensor:
    """Interpolate between samples by the Lagrange cubic through the four nearest samples.

    The error is 0.1 dB up to a quarter of the Nyquist frequency and 1.1 dB at half of it: oversample first.

    Args:
        waveform: shape (batch, samples).
        positions: in samples, 0 or more; the signal is zero after the end. Shape (batch, positions), float.

    Returns:
        Shape (batch, positions).
    """
    left = positions.long()
    t = (positions - left).float()
    padded = F.pad(waveform, (1, 4))  # shifts sample k to k + 1; four zeros after the end
    left = left.clamp(max=waveform.shape[1] + 1)
    a, b, c, d = (padded.gather(1, left + k) for k in range(4))
    return (
        -t * (t - 1) * (t - 2) / 6 * a
        + (t + 1) * (t - 1) * (t - 2) / 2 * b
        - (t + 1) * t * (t - 2) / 2 * c
        + (t + 1) * t * (t - 1) / 6 * d
    )
