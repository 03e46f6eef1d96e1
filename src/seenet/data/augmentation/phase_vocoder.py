"""A phase vocoder that stretches every clip of a batch by a rate of its own (Flanagan and Golden 1966).

torchaudio's phase_vocoder and resample take one rate for a whole batch, and torch.istft waits for the device to
check its windows; so only the short-time Fourier transform is torch's. Silence is put around a clip, never its
reflection, so that a clip gives the same whatever it is batched with.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

N_FFT = 1024  # samples a window: 64 ms at 16 kHz, which resolves the harmonics of a low voice
OVERLAP = 4  # windows over each sample
HOP = N_FFT // OVERLAP


def analyse(waveform: Tensor) -> Tensor:
    """Spectra of windows centred at 0, HOP, 2 · HOP …; the last two see nothing but silence.

    Args:
        waveform: zero in its padding. Shape (batch, samples).

    Returns:
        Shape (batch, frames, bins), complex64.
    """
    wide = F.pad(waveform.float(), (0, N_FFT))
    window = torch.hann_window(N_FFT, device=wide.device)
    return torch.stft(wide, N_FFT, HOP, window=window, pad_mode="constant", return_complex=True).transpose(1, 2)


def stretch(spectra: Tensor, rate: Tensor, frames: int) -> Tensor:
    """Spectra of clips that go on at another rate, their pitch kept.

    Frame k takes its magnitudes from time k · rate, interpolated between the two frames around it, and advances
    the phases of frame k − 1 by what they advance between the two frames around time (k − 1) · rate. What lies
    behind the given frames is silence.

    Args:
        spectra: what `analyse` gave. Shape (batch, frames, bins).
        rate: of each clip, 2 for twice as fast. Shape (batch,).
        frames: how many are wanted.

    Returns:
        Shape (batch, frames, bins), complex64.
    """
    times = torch.arange(frames, device=rate.device) * rate[:, None]  # (batch, frames)
    before = times.long().clamp(max=spectra.shape[1] - 2)
    share = (times - before).clamp(max=1).float()[:, :, None]
    rows = torch.arange(len(rate), device=rate.device)[:, None]
    magnitude, phase = spectra.abs(), spectra.angle()
    advance = phase.diff(dim=1)[rows, before[:, :-1]]
    phase = torch.cat([phase[:, :1], advance], dim=1).cumsum(dim=1)
    return torch.polar(torch.lerp(magnitude[rows, before], magnitude[rows, before + 1], share), phase)


def count_frames(samples: int) -> int:
    """How many frames `synthesise` needs for a number of samples."""
    return 1 + (samples + N_FFT // 2) // HOP


def _overlap_add(frames: Tensor) -> Tensor:
    """Sum of windows that start a quarter of their size after one another. (batch, frames, n) to (batch, samples)."""
    quarters = frames.unflatten(2, (OVERLAP, -1)).unbind(2)  # OVERLAP times (batch, frames, n / OVERLAP)
    return sum(F.pad(part, (0, 0, k, OVERLAP - 1 - k)) for k, part in enumerate(quarters)).flatten(1)


def synthesise(spectra: Tensor, samples: int, oversampling: int = 1) -> Tensor:
    """The waveform whose windows have these spectra, in the least-squares sense (Griffin and Lim 1984).

    Args:
        spectra: at least `frames_for(samples)` of them. Shape (batch, frames, bins).
        samples: how many are wanted, at the rate of the waveform that was analysed.
        oversampling: how many samples come out for each of them.

    Returns:
        Shape (batch, oversampling · samples), float32.
    """
    size = oversampling * N_FFT
    window = torch.hann_window(size, device=spectra.device)
    frames = torch.fft.irfft(oversampling * spectra, n=size) * window
    weight = _overlap_add(window.square().expand(1, spectra.shape[1], -1))
    start = size // 2
    wanted = slice(start, start + oversampling * samples)
    return _overlap_add(frames)[:, wanted] / weight[:, wanted]


def interpolate(waveform: Tensor, positions: Tensor) -> Tensor:
    """Values between the samples, by the cubic through the four samples around (Lagrange).

    True to 0.1 dB up to a quarter of the Nyquist frequency and to 1.1 dB at half of it: oversample first.

    Args:
        waveform: shape (batch, samples).
        positions: in samples, 0 or more; silence lies behind the end. Shape (batch, positions), float.

    Returns:
        Shape (batch, positions).
    """
    left = positions.long()
    t = (positions - left).float()
    wide = F.pad(waveform, (1, 4))  # sample k stands at k + 1, and four zeros behind the end
    left = left.clamp(max=waveform.shape[1] + 1)
    a, b, c, d = (wide.gather(1, left + k) for k in range(4))
    return (
        -t * (t - 1) * (t - 2) / 6 * a
        + (t + 1) * (t - 1) * (t - 2) / 2 * b
        - (t + 1) * t * (t - 2) / 2 * c
        + (t + 1) * t * (t - 1) / 6 * d
    )
