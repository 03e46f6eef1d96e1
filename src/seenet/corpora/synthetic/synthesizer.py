"""Source-filter synthesizer of emotional speech: glottal pulses, formants, frication noise.

For a classifier its output resembles emotional speech: prosody and voice quality depend on the emotion, and speakers
and sentences differ. It does not imitate real persons, and results on it say nothing about real speech.

Sources: Klatt 1980 (formant resonators), Klatt & Klatt 1990 (the glottal pulse KLGLOTT88), Juslin & Laukka
2003 (the direction in which emotions move the cues).
"""

import numpy as np
from numpy.typing import NDArray

from seenet.audio.reading import RATE

Array = NDArray[np.float64]

HOP, WINDOW, FFT = 80, 320, 512  # samples: 5 ms, 20 ms, and room for the filters to ring

# phone: voicing, frication, frication centre (Hz), F1, F2, F3 (Hz, adult male), duration (ms)
PHONES = {
    "a": (1.0, 0.0, 0, 730, 1090, 2440, 105),
    "e": (1.0, 0.0, 0, 530, 1840, 2480, 95),
    "i": (1.0, 0.0, 0, 280, 2290, 3010, 90),
    "o": (1.0, 0.0, 0, 570, 840, 2410, 100),
    "u": (1.0, 0.0, 0, 310, 870, 2240, 90),
    "@": (0.8, 0.0, 0, 500, 1500, 2500, 60),
    "m": (0.45, 0.0, 0, 280, 1000, 2200, 65),
    "n": (0.45, 0.0, 0, 280, 1500, 2500, 60),
    "l": (0.6, 0.0, 0, 360, 1200, 2700, 60),
    "r": (0.6, 0.0, 0, 420, 1250, 1650, 60),
    "j": (0.6, 0.0, 0, 290, 2200, 2950, 55),
    "w": (0.6, 0.0, 0, 310, 750, 2200, 60),
    "s": (0.0, 0.5, 6200, 320, 1700, 2600, 95),
    "S": (0.0, 0.55, 3400, 320, 1800, 2500, 95),
    "f": (0.0, 0.25, 4500, 340, 1100, 2200, 80),
    "z": (0.4, 0.3, 5800, 300, 1700, 2600, 75),
    "v": (0.45, 0.12, 4000, 300, 1100, 2200, 60),
    "h": (0.0, 0.3, 1500, 500, 1500, 2500, 55),
    "p": (0.0, 0.04, 1000, 400, 1100, 2200, 75),
    "t": (0.0, 0.12, 4500, 400, 1700, 2600, 75),
    "k": (0.0, 0.08, 2200, 400, 1900, 2500, 75),
    "b": (0.25, 0.03, 800, 300, 1100, 2200, 60),
    "d": (0.25, 0.05, 4000, 300, 1700, 2600, 55),
    "g": (0.25, 0.05, 2000, 300, 1900, 2500, 60),
    " ": (0.0, 0.0, 0, 500, 1500, 2500, 40),
}
VOWELS = "aeiou@"
SENTENCES = (
    "kits a tokin bai d@ dor",
    "dogz a sitin bai d@ dor",
    "wi wil go nau ant si",
    "Si sez it iz in d@ haus",
    "ai left d@ buk on d@ tebol",
    "d@ trein iz leit @gen",
    "put it daun ant kam hir",
    "ol @v dem no d@ rizon",
    "ju ment it wen ju sed it",
    "nobodi told mi @baut it",
    "it wil hapen in a wik",
    "d@ ki iz anda d@ mat",
)

# Effects of an emotion on the voice: F0 level, range, slope and final movement (semitones), log rate, energy (dB),
# spectral tilt (dB/octave), breathiness, jitter, shimmer, tremor, vowel reduction (0-1) and log attack time.
CUES = (
    *("level", "range", "slope", "final", "rate", "energy", "tilt"),
    *("breath", "jitter", "shimmer", "tremor", "reduction", "attack"),
)
EMOTION_CUES = {
    "neutral": (0.0, 2.2, 2.0, -1.5, 0.00, 0.0, 0.0, 0.05, 0.008, 0.04, 0.00, 0.15, 0.0),
    "happy": (5.6, 6.4, 0.4, 3.3, 0.13, 5.6, 2.1, 0.07, 0.011, 0.06, 0.00, 0.00, -0.3),
    "sad": (-2.9, 0.4, 3.6, -2.3, -0.35, -7.2, -3.5, 0.29, 0.018, 0.07, 0.24, 0.40, 0.7),
    "angry": (4.0, 5.4, 4.4, -4.7, 0.19, 10.4, 4.2, 0.02, 0.040, 0.17, 0.00, 0.00, -0.7),
    "calm": (-2.2, 0.9, 1.2, -0.4, -0.19, -4.0, -2.1, 0.16, 0.005, 0.02, 0.00, 0.20, 0.4),
    "disgust": (-1.6, 2.5, 6.0, -3.9, -0.22, 0.8, 0.6, 0.10, 0.059, 0.23, 0.00, 0.10, 0.1),
    "fearful": (8.0, 1.6, -2.0, 1.7, 0.29, -1.6, 0.3, 0.32, 0.043, 0.14, 0.72, 0.15, -0.1),
    "surprised": (7.7, 9.1, -6.8, 8.9, -0.03, 4.0, 1.4, 0.11, 0.011, 0.06, 0.00, 0.00, -0.4),
}
BRIGHTNESS = 4.0  # dB/octave, added to every voice to make the upper formants audible
CUE_SPREAD = np.std(np.array(list(EMOTION_CUES.values())), axis=0)
CUE_FLOOR = np.array([-np.inf] * 7 + [0.01, 0.002, 0.01, 0.0, 0.0, -np.inf])


def _expand_phones(sentence: str, rate: float, rng: np.random.Generator) -> Array:
    """Return voicing, frication, centre, F1, F2 and F3 per 5 ms frame. Shape (frames, 6)."""
    rows = np.array([PHONES[p] for p in f" {sentence} "], dtype=float)
    milliseconds = 0.93 * rows[:, 6] / rate * rng.uniform(0.85, 1.15, len(rows))
    counts = np.maximum(2, np.rint(milliseconds / 5).astype(int))
    return np.repeat(rows[:, :6], counts, axis=0)


def _smooth(track: Array, seconds: float) -> Array:
    """Smooth over time with a Hann window, with constant ends. Shape (frames,) or (frames, n)."""
    width = max(3, int(seconds / 0.005) | 1)
    kernel = np.hanning(width + 2)[1:-1]
    padded = np.pad(track.reshape(len(track), -1), ((width // 2, width // 2), (0, 0)), mode="edge")
    columns = [np.convolve(column, kernel / kernel.sum(), mode="valid") for column in padded.T]
    return np.stack(columns, axis=1).reshape(track.shape)


def _draw_intonation(voiced: Array, cue: dict[str, float], rng: np.random.Generator) -> Array:
    """Draw an F0 contour in semitones relative to the base of the speaker. Shape (frames,)."""
    time = np.linspace(0, 1, len(voiced))
    accents = np.zeros_like(time)
    for centre in np.linspace(0.12, 0.85, 4) + rng.normal(0, 0.03, 4):
        accents += rng.uniform(0.3, 1.0) * np.exp(-0.5 * ((time - centre) / 0.06) ** 2)
    final = np.clip((time - 0.75) / 0.25, 0, 1)
    tremor = cue["tremor"] * np.sin(2 * np.pi * 5.5 * np.arange(len(time)) * 0.005 + rng.uniform(0, 6.28))
    contour: Array = cue["level"] + cue["range"] * (accents - 0.4) + cue["slope"] * (0.5 - time)
    contour = contour + cue["final"] * final + 1.5 * tremor
    return contour


def _compute_resonance(frequency: Array, bandwidth: Array | float) -> NDArray[np.complex128]:
    """Return the response of a second-order resonator, gain 1 at 0 Hz. Shape (frames, bins)."""
    f = np.linspace(0, RATE / 2, FFT // 2 + 1)[None, :]
    centre, width = frequency[:, None] ** 2, np.broadcast_to(bandwidth, frequency.shape)[:, None]
    response: NDArray[np.complex128] = centre / (centre - f**2 + 1j * f * width)
    return response


def _filter_frames(source: Array, response: NDArray[np.complex128]) -> Array:
    """Filter a signal with one response per frame by overlap-add. Shape (samples,)."""
    frames = len(response)
    padded = np.pad(source, (WINDOW // 2, WINDOW))
    blocks = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:frames]
    shaped = np.fft.irfft(np.fft.rfft(blocks * np.hanning(WINDOW + 1)[:-1], FFT) * response, FFT)
    out = np.zeros((frames + FFT // HOP + 1) * HOP)
    for lag in range(0, FFT, HOP):
        part = shaped[:, lag : lag + HOP]
        out[lag : lag + frames * HOP] += np.pad(part, ((0, 0), (0, HOP - part.shape[1]))).reshape(-1)
    return out[WINDOW // 2 : WINDOW // 2 + frames * HOP] * (2 * HOP / WINDOW)


def synthesize_sentence(sentence: str, cues: Array, base_f0: float, tract: float, rng: np.random.Generator) -> Array:
    """Synthesize one sentence.

    Args:
        sentence: phones, as in `SENTENCES`.
        cues: one value for each of `CUES`.
        base_f0: mean F0 of the speaker in Hz.
        tract: formant scale; 1 for an adult male, about 1.17 for an adult female.
        rng: the only source of randomness.

    Returns:
        The waveform at 16 kHz, shape (samples,). An energy cue of 0 dB gives a level near -28 dB of full scale.
    """
    cue = dict(zip(CUES, np.maximum(cues, CUE_FLOOR), strict=True))
    phones = _expand_phones(sentence, float(np.exp(cue["rate"])), rng)
    attack = 0.03 * float(np.exp(cue["attack"]))
    voicing, frication = _smooth(phones[:, 0], attack), _smooth(phones[:, 1], 0.02)
    reduction = min(0.8, cue["reduction"])
    formants = phones[:, 3:6] * (1 - reduction) + np.array([500.0, 1500.0, 2500.0]) * reduction
    formants = _smooth(formants, 0.05) * tract

    frames, samples = len(phones), len(phones) * HOP
    at = np.arange(samples) / HOP
    semitones = np.interp(at, np.arange(frames), _draw_intonation(voicing, cue, rng))
    f0 = base_f0 * 2 ** (np.clip(semitones, -14, 20) / 12)
    cycle = np.floor(np.cumsum(f0) / RATE).astype(int)
    f0 = f0 * (1 + cue["jitter"] * rng.standard_normal(cycle[-1] + 1)[cycle])
    phase = np.cumsum(f0) / RATE
    cycle = np.floor(phase).astype(int)
    opening = (phase - cycle) / 0.6
    pulse = np.where(opening < 1, 2 * opening - 3 * opening**2, 0.0)
    pulse *= np.maximum(0.1, 1 + cue["shimmer"] * rng.standard_normal(cycle[-1] + 1)[cycle])
    pulse += cue["breath"] * rng.standard_normal(samples) * np.where(opening < 1, 1.0, 0.3)
    pulse *= 1 + 0.4 * cue["tremor"] * np.sin(2 * np.pi * 5.5 * np.arange(samples) / RATE)

    response = _compute_resonance(np.full(frames, 3500.0 * tract), 180) * _compute_resonance(
        np.full(frames, 4500.0 * tract), 250
    )
    for k, bandwidth in enumerate((70.0, 100.0, 150.0)):
        response = response * _compute_resonance(formants[:, k], bandwidth)
    octaves = np.log2(np.maximum(np.linspace(0, RATE / 2, FFT // 2 + 1), 300) / 300)
    response = response * 10 ** ((BRIGHTNESS + cue["tilt"]) * octaves / 20)
    voice = _filter_frames(pulse * np.interp(at, np.arange(frames), voicing), response)
    hiss = rng.standard_normal(samples) * np.interp(at, np.arange(frames), frication)
    centre = np.maximum(phones[:, 2], 500.0)
    noise = _filter_frames(hiss, _compute_resonance(centre, 0.5 * centre))
    gain: float = 10 ** (cue["energy"] / 20)
    return gain * (0.14 * voice + 0.05 * noise)
