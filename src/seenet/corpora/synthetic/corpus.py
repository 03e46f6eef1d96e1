"""Synthetic corpus: emotional speech that a program generates at first use.

Nothing is downloaded. Classes overlap on purpose: each clip blends two emotions with random variation, and each
speaker has a voice and a style. Results on this corpus say nothing about real speech.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from seenet.audio.reading import RATE
from seenet.core.atomic import build_directory_once
from seenet.core.console import print_line, track_progress
from seenet.core.errors import SeenetError
from seenet.core.paths import cache_dir
from seenet.corpora.manifest import Manifest, Utterance, build_table, read_manifest, write_manifest
from seenet.corpora.synthetic.synthesizer import CUE_SPREAD, EMOTION_CUES, SENTENCES, Array, synthesize_sentence
from seenet.corpora.vocabulary import EMOTIONS, resolve_classes

VERSION = 2  # version of the generated audio; a new one regenerates the corpus of every user
DATA_CARD = """# SYNTHETIC emotional speech

A program (seenet {version}) made every clip in this folder. **No person speaks here, and a result on this
corpus says nothing about speech.** It exists to try, teach and test the seenet framework.

{speakers} speakers (half female, half male) x {emotions} emotions ({names}) x {clips} clips, 16 kHz mono,
{minutes:.1f} minutes in all, mean {mean:.2f} s. Seed {seed}. `manifest.csv` lists every clip.
"""


class _Speaker:
    """A synthetic voice: base F0 in Hz, vocal-tract scale, gain in dB and prosodic style."""

    def __init__(self, number: int, seed: int):
        rng = np.random.default_rng([seed, number])
        self.female = number % 2 == 0
        self.base_f0 = (195.0 if self.female else 115.0) * 2 ** (rng.normal(0, 2.0) / 12)
        self.tract = (1.16 if self.female else 1.0) * (1 + rng.normal(0, 0.03))
        self.gain_db = rng.normal(0, 2.0)
        self.style = rng.normal(0, 0.15, len(CUE_SPREAD)) * CUE_SPREAD

    def synthesize_clip(self, emotion: str, number: int, clip: int, seed: int) -> Array:
        """Synthesize one clip at 16 kHz, determined by the arguments alone. Shape (samples,)."""
        rng = np.random.default_rng([seed, number, EMOTIONS.index(emotion), clip])
        second = rng.choice([e for e in EMOTION_CUES if e != emotion])
        blend = rng.uniform(0.0, 0.35)
        cues = (1 - blend) * np.array(EMOTION_CUES[emotion]) + blend * np.array(EMOTION_CUES[second])
        cues = cues + self.style + rng.normal(0, 0.2, len(cues)) * CUE_SPREAD
        waveform = synthesize_sentence(SENTENCES[rng.integers(len(SENTENCES))], cues, self.base_f0, self.tract, rng)
        waveform = waveform * 10 ** (self.gain_db / 20) + rng.normal(0, 5e-4, len(waveform))
        gain: float = min(1.0, 0.99 / np.abs(waveform).max())
        return waveform * gain


def _generate_corpus(folder: Path, emotions: Sequence[str], speakers: int, clips: int, seed: int) -> None:
    """Write WAV files, manifest.csv and the data card README.md."""
    plan = [(s, e, c) for s in range(1, speakers + 1) for e in emotions for c in range(1, clips + 1)]
    voices = {s: _Speaker(s, seed) for s in range(1, speakers + 1)}
    rows, samples = [], 0
    for number, emotion, clip in track_progress(plan, len(plan), "generating the synthetic corpus"):
        name = f"speaker{number:02d}_{emotion}_{clip:02d}"
        path = Path("wav") / f"speaker{number:02d}" / f"{name}.wav"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        waveform = voices[number].synthesize_clip(emotion, number, clip, seed)
        sound = io.BytesIO()  # libsndfile does not report a full disk
        soundfile.write(sound, np.rint(waveform * 32767).astype(np.int16), RATE, subtype="PCM_16", format="WAV")
        (folder / path).write_bytes(sound.getvalue())
        samples += len(waveform)
        gender = "female" if voices[number].female else "male"
        rows.append(Utterance(name, path.as_posix(), emotion, f"speaker{number:02d}", gender))
    write_manifest(build_table(rows), folder / "manifest.csv")
    seconds = samples / RATE
    card = DATA_CARD.format(
        version=VERSION,
        speakers=speakers,
        emotions=len(emotions),
        names=", ".join(emotions),
        clips=clips,
        minutes=seconds / 60,
        mean=seconds / len(rows),
        seed=seed,
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


def read(emotions: str | list[str] = "four", speakers: int = 24, clips: int = 10, seed: int = 0) -> Manifest:
    """Read the synthetic corpus; the first call generates and caches it.

    Args:
        emotions: name of a class set, or a list of RAVDESS's eight emotions.
        speakers: number of speakers; even numbers are female, odd ones male.
        clips: number of clips per speaker and emotion.
        seed: seed of all random draws; the same seed gives the same bytes.

    Raises:
        SeenetError: an emotion that the synthesizer does not support, or a count below 1.
    """
    names = resolve_classes(emotions, EMOTION_CUES)
    unsupported = [e for e in names if e not in EMOTION_CUES]
    if unsupported:
        raise SeenetError(
            f"dataset=synthetic does not support '{unsupported[0]}'; expected some of {', '.join(EMOTION_CUES)}"
        )
    for name, value in (("speakers", speakers), ("clips", clips)):
        if value < 1:
            raise SeenetError(f"dataset.{name}={value}: expected 1 or more")
    if seed < 0:
        raise SeenetError(f"dataset.seed={seed}: expected 0 or more")
    key = hashlib.blake2b(json.dumps([VERSION, names, speakers, clips, seed]).encode(), digest_size=6).hexdigest()
    folder = cache_dir() / "corpora" / f"synthetic-{key}"

    def build(building: Path) -> None:
        print_line(f"generating the synthetic corpus in {folder} (once)")
        _generate_corpus(building, names, speakers, clips, seed)

    build_directory_once(folder, build)
    rows = read_manifest(folder / "manifest.csv")
    return Manifest("synthetic", folder, rows, synthetic=True, people=f"synthetic, seed {seed}")
