"""Cost of augmentation: one operation on the batch compared with a loop over clips.

The loops use numpy for EBM, torchaudio for noise and speed, and librosa for pitch (that of torchaudio takes minutes).

Both alternate in one process on the same clips and draws; the ratios are the result. The probability of each
augmentation is 1, because the loop skips unchanged clips at no cost.

Usage: python benchmarks/augment.py [CLIPS [SECONDS]]
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import librosa
import numpy as np
import torch
import torchaudio.functional as F

from seenet.data.augmentation.ebm import EnergyBasedMixup
from seenet.data.augmentation.gaussian_noise import GaussianSNR
from seenet.data.augmentation.pitch_shift import PitchShift
from seenet.data.augmentation.time_stretch import TimeStretch
from seenet.data.batch import Batch

ROUNDS, RATE = 5, 16000


def ebm_loop(batch: Batch, draws) -> None:
    for i in range(len(batch)):
        clip = batch.waveform[i, : batch.lengths[i]].numpy().copy()
        partner = batch.partner[i, : batch.partner_lengths[i]].numpy()
        length, start, begin = (int(v[i]) for v in (draws.length, draws.start, draws.partner_start))
        powers = np.mean(clip**2), np.mean(partner**2)
        scale = np.sqrt(powers[0] / (10 ** (int(draws.ratio_db[i]) / 10) * powers[1]))
        clip[start : start + length] += scale * partner[begin : begin + length]


def noise_loop(batch: Batch, draws) -> None:
    for i, length in enumerate(batch.lengths.tolist()):
        F.add_noise(batch.waveform[i, :length], draws.noise[i, :length], draws.snr_db[i].float())


def speed_loop(batch: Batch, draws) -> None:
    window, advance = torch.hann_window(1024), torch.linspace(0, torch.pi * 256, 513)[:, None]
    for i, length in enumerate(batch.lengths.tolist()):
        spectrum = torch.stft(batch.waveform[i, :length], 1024, 256, window=window, return_complex=True)
        torch.istft(F.phase_vocoder(spectrum, float(draws.rate[i]), advance), 1024, 256, window=window)


def pitch_loop(batch: Batch, draws) -> None:
    for i, length in enumerate(batch.lengths.tolist()):
        wave = batch.waveform[i, :length].numpy()
        librosa.effects.pitch_shift(wave, sr=RATE, n_steps=float(draws.semitones[i]), n_fft=1024)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main(clips: int, length: float) -> None:
    generator = torch.Generator().manual_seed(0)
    size = int(length * RATE)
    waveform, partner = (0.1 * torch.randn(clips, size, generator=generator) for _ in range(2))
    lengths, zeros = torch.full((clips,), size), torch.zeros(clips, dtype=torch.long)
    batch = Batch(waveform, lengths, zeros, zeros, zeros, torch.arange(clips), partner, lengths)
    pairs = {
        "ebm": (EnergyBasedMixup(), ebm_loop),
        "gaussian_snr": (GaussianSNR(probability=1.0), noise_loop),
        "speed": (TimeStretch(probability=1.0), speed_loop),
        "pitch": (PitchShift(probability=1.0), pitch_loop),
    }
    ratios = {}
    for name, (augmentation, loop) in pairs.items():
        draws = augmentation.draw(batch, generator)
        times: dict[str, list[float]] = {"batch": [], "loop": []}
        for _ in range(ROUNDS):  # alternate
            times["batch"].append(seconds(lambda a=augmentation, d=draws: a.apply(batch, d)))
            times["loop"].append(seconds(lambda do=loop, d=draws: do(batch, d)))
        batch_seconds, loop_seconds = (statistics.median(times[kind]) for kind in ("batch", "loop"))
        ratios[name] = loop_seconds / batch_seconds
        print(f"{name}: the loop over {clips} clips of {length:g} s takes {ratios[name]:.1f} x the batch's time")
    print(json.dumps({"benchmark": "augment", "clips": clips, "seconds": length, **ratios}))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 64, float(sys.argv[2]) if len(sys.argv) > 2 else 2.0)
