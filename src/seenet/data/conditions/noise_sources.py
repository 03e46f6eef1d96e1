"""Noise sources: white noise, pink noise, babble, and recordings in a folder."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seenet.core.console import escape_unprintable, print_line
from seenet.core.errors import SeenetError
from seenet.corpora.folds import Fold
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._files import find_audio
from seenet.corpora.waveform_store import WaveformStore, open_store

MAX_RECORDING_SECONDS = 600.0  # longer recordings are truncated
BABBLE_CLIPS = 6
MAX_EXCERPT_TRIES = 100  # silent excerpts of a recording before the loudest one is used

Array = NDArray[np.float32]


class NoiseSource(ABC):
    """A source of noise of any length, never silent.

    Attributes:
        settings: JSON values that distinguish sources.
        remark: a reservation that every result with this source records; empty if there is none.
    """

    settings: Mapping[str, object]
    remark: str = ""
    pool: NDArray[np.int64] | None = None
    """Rows of the corpus from which the noise comes, after `for_fold`; None for noise from elsewhere."""

    def for_fold(self, fold: Fold) -> "NoiseSource":
        """Return the source for the test part of one fold."""
        return self

    @abstractmethod
    def draw(self, index: int, length: int, rng: np.random.Generator) -> Array:
        """Draw noise of arbitrary level for a clip.

        Args:
            index: row of the clip in the manifest.
            length: in samples at 16 kHz.
            rng: the only source of randomness.

        Returns:
            Shape (length,).
        """


class WhiteNoise(NoiseSource):
    """Gaussian noise with equal power at every frequency."""

    def __init__(self) -> None:
        self.settings = {"source": "white"}

    def draw(self, index: int, length: int, rng: np.random.Generator) -> Array:
        """Draw independent samples. Shape (length,)."""
        return rng.standard_normal(length, dtype=np.float32)


class PinkNoise(NoiseSource):
    """Gaussian noise with power that falls by 3 dB per octave and without a constant component."""

    def __init__(self) -> None:
        self.settings = {"source": "pink"}

    def draw(self, index: int, length: int, rng: np.random.Generator) -> Array:
        """Divide the spectrum of white noise by the square root of the frequency. Shape (length,)."""
        size = max(length, 2)
        spectrum = np.fft.rfft(rng.standard_normal(size))
        spectrum[0] = 0
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        return np.fft.irfft(spectrum, size)[:length].astype(np.float32)


class Recordings(NoiseSource):
    """Random excerpts of the recordings in a folder; a short recording is repeated.

    Args:
        folder: for example DEMAND, MUSAN or NOISEX-92; every audio file below it that is not silent is used.

    Raises:
        SeenetError: the folder has no audio file, or every recording is silent.
    """

    def __init__(self, folder: Path):
        found, skipped = find_audio(folder)
        files = [path.relative_to(folder).as_posix() for path in found]
        if not files:
            raise SeenetError(f"noise.source='{folder}' contains no audio file")
        if skipped:
            name, reason = skipped[0]
            print_line(f"! {len(skipped)} file(s) in noise.source='{folder}' are skipped, e.g. '{name}': {reason}")
        manifest = Manifest(f"noise-{folder.name}", folder, [Utterance(file, file, "other") for file in files])
        self.store = open_store(manifest, MAX_RECORDING_SECONDS)
        if self.store.bad:
            row, reason = next(iter(self.store.bad.items()))
            example = f"'{escape_unprintable(files[row])}': {reason}"
            print_line(f"! {len(self.store.bad)} noise files are unreadable and are skipped, e.g. {example}")
        self.rows = np.flatnonzero((self.store.lengths > 0) & ~self.store.index["silent"])
        if not len(self.rows):
            raise SeenetError(f"noise.source='{folder}': every recording is silent")
        self.settings = {"source": folder.name, "recordings": self.store.key}

    def draw(self, index: int, length: int, rng: np.random.Generator) -> Array:
        """Draw an excerpt of one recording. Shape (length,)."""
        return random_excerpt(self.store, int(rng.choice(self.rows)), length, rng)


class Babble(NoiseSource):
    """The sum of six equally loud clips of speakers outside the test part.

    The clips come from the training and the development part, so every protocol gets the same babble. Clips of unknown
    speakers are excluded.

    Args:
        manifest: the test corpus, or several joined corpora.
        store: the waveforms of the corpus.
    """

    def __init__(self, manifest: Manifest, store: WaveformStore):
        self.settings = {"source": "babble", "speakers": "not tested"}
        self.store, self.speakers = store, manifest.codes("speaker")
        self.pool = np.array([], dtype=np.int64)

    def for_fold(self, fold: Fold) -> "Babble":
        """Return babble of the training and development clips of speakers outside the test part."""
        rows = np.sort(np.concatenate([fold.train, fold.dev]))
        usable = (self.store.lengths[rows] > 0) & ~self.store.index["silent"][rows] & (self.speakers[rows] >= 0)
        rows = rows[usable & ~np.isin(self.speakers[rows], self.speakers[fold.test])]
        if not len(rows):
            raise SeenetError(
                f"fold {fold.number}: noise.source=babble needs clips of known speakers outside the test part, "
                "but there are none; choose noise.source=white or pink"
            )
        babble = copy.copy(self)
        babble.pool = rows
        unknown = int((self.speakers[fold.test] < 0).sum())
        if unknown:
            babble.remark = f"babble may contain test speakers: the speaker of {unknown} test clips is unknown"
        return babble

    def draw(self, index: int, length: int, rng: np.random.Generator) -> Array:
        """Draw the sum of six excerpts. Shape (length,)."""
        assert self.pool is not None and len(self.pool), "call for_fold first"
        excerpts = [random_excerpt(self.store, int(row), length, rng) for row in rng.choice(self.pool, BABBLE_CLIPS)]
        babble: Array = np.sum([excerpt / np.sqrt(np.square(excerpt).mean()) for excerpt in excerpts], axis=0)
        return babble


def random_excerpt(store: WaveformStore, row: int, length: int, rng: np.random.Generator) -> Array:
    """Return a random excerpt of one clip, never silent; a shorter clip is repeated.

    Args:
        store: the store of the clip.
        row: row of the clip, which must not be silent.
        length: in samples.
        rng: the only source of randomness.

    Returns:
        Shape (length,).
    """
    clip = store.waveform(row)
    if len(clip) <= length:
        return np.resize(np.roll(clip, -int(rng.integers(len(clip)))), length)
    for _ in range(MAX_EXCERPT_TRIES):
        start = int(rng.integers(len(clip) - length + 1))
        if (excerpt := clip[start : start + length]).any():
            return excerpt
    start = min(int(np.abs(clip).argmax()), len(clip) - length)
    return clip[start : start + length]


def require_noise_source(name: object) -> None:
    """Raise a SeenetError unless `name` is a known source or an existing folder."""
    if name in ("white", "pink", "babble"):
        return
    if not isinstance(name, str) or not name or not Path(name).expanduser().is_dir():
        raise SeenetError(f"noise.source='{name}': expected white, pink, babble or a folder of recordings")


def build_noise_source(name: str, manifest: Manifest, store: WaveformStore) -> NoiseSource:
    """Build the noise source of a name.

    Args:
        name: `white`, `pink`, `babble` or a folder.
        manifest: the test corpus.
        store: the waveforms of the corpus.

    Raises:
        SeenetError: `name` is neither a known source nor a usable folder.
    """
    if name == "white":
        return WhiteNoise()
    if name == "pink":
        return PinkNoise()
    if name == "babble":
        return Babble(manifest, store)
    require_noise_source(name)
    return Recordings(Path(name).expanduser().resolve())
