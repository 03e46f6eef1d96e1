"""Where noise comes from: two kinds of random numbers, other speakers, or recordings in a folder."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seenet.core.console import print_line, printable
from seenet.core.errors import SeenetError
from seenet.corpora.folds import Fold
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._files import find_audio
from seenet.corpora.waveform_store import WaveformStore, open_store

MAX_RECORDING_SECONDS = 600.0  # seconds that are kept of a recording
BABBLE_CLIPS = 6
MAX_EXCERPT_TRIES = 100  # places in a recording that may be silent before the loudest one is taken

Array = NDArray[np.float32]


class NoiseSource(ABC):
    """Noise of any length, never silent.

    Attributes:
        settings: JSON values that tell it from others.
        remark: what every result made with it must say; empty when nothing needs saying.
    """

    settings: Mapping[str, object]
    remark: str = ""

    def for_fold(self, fold: Fold) -> "NoiseSource":
        """The source for the test part of one fold."""
        return self

    @abstractmethod
    def draw(self, index: int, length: int, rng: np.random.Generator) -> Array:
        """Noise for a clip, at any level.

        Args:
            index: the clip's row in the manifest.
            length: in samples at 16 kHz.
            rng: the only source of randomness.

        Returns:
            Shape (length,).
        """


class WhiteNoise(NoiseSource):
    """Gaussian, of equal power at every frequency."""

    def __init__(self):
        self.settings = {"source": "white"}

    def draw(self, index: int, length: int, rng: np.random.Generator) -> Array:
        """Independent samples."""
        return rng.standard_normal(length, dtype=np.float32)


class PinkNoise(NoiseSource):
    """Gaussian, its power falling by 3 dB an octave, without a constant part."""

    def __init__(self):
        self.settings = {"source": "pink"}

    def draw(self, index: int, length: int, rng: np.random.Generator) -> Array:
        """White noise with its spectrum divided by the square root of the frequency."""
        size = max(length, 2)
        spectrum = np.fft.rfft(rng.standard_normal(size))
        spectrum[0] = 0
        spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
        return np.fft.irfft(spectrum, size)[:length].astype(np.float32)


class Recordings(NoiseSource):
    """The recordings of a folder, each from a random place; a shorter one is repeated.

    Args:
        folder: DEMAND, MUSAN, NOISEX-92 or any; every audio file below it is used, but for silent ones.
    """

    def __init__(self, folder: Path):
        found, passed_over = find_audio(folder)
        files = [path.relative_to(folder).as_posix() for path in found]
        if not files:
            raise SeenetError(f"noise.source='{folder}' holds no audio file")
        if passed_over:
            name, why = passed_over[0]
            print_line(f"! {len(passed_over)} file(s) in noise.source='{folder}' are passed over, e.g. '{name}': {why}")
        manifest = Manifest(f"noise-{folder.name}", folder, [Utterance(file, file, "other") for file in files])
        self.store = open_store(manifest, MAX_RECORDING_SECONDS)
        if self.store.bad:
            row, why = next(iter(self.store.bad.items()))
            example = f"'{printable(files[row])}': {why}"
            print_line(f"! {len(self.store.bad)} noise files cannot be used and are left out, e.g. {example}")
        self.rows = np.flatnonzero((self.store.lengths > 0) & ~self.store.index["silent"])
        if not len(self.rows):
            raise SeenetError(f"noise.source='{folder}': every recording is silent")
        self.settings = {"source": folder.name, "recordings": self.store.key}

    def draw(self, index: int, length: int, rng: np.random.Generator) -> Array:
        """A stretch of one recording."""
        return random_excerpt(self.store, int(rng.choice(self.rows)), length, rng)


class Babble(NoiseSource):
    """Six clips at once, equally loud, of speakers who are not in the test part.

    The clips are those that the fold trains on or selects the epoch by, so every protocol gets the same babble. Clips
    of unknown speakers are left out.

    Args:
        manifest: the corpus that is tested, or several that were joined.
        store: its waveforms.
    """

    def __init__(self, manifest: Manifest, store: WaveformStore):
        self.settings = {"source": "babble", "speakers": "not tested"}
        self.store, self.speakers = store, manifest.codes("speaker")
        self.pool: NDArray[np.int64] = np.array([], dtype=np.int64)

    def for_fold(self, fold: Fold) -> "Babble":
        """Babble of the clips that the fold does not test, without those of a speaker whom it tests."""
        rows = np.sort(np.concatenate([fold.train, fold.dev]))
        usable = (self.store.lengths[rows] > 0) & ~self.store.index["silent"][rows] & (self.speakers[rows] >= 0)
        rows = rows[usable & ~np.isin(self.speakers[rows], self.speakers[fold.test])]
        if not len(rows):
            raise SeenetError(
                f"fold {fold.number}: noise.source=babble finds no clip of a known speaker who is not tested; "
                "take noise.source=white or pink"
            )
        babble = copy.copy(self)
        babble.pool = rows
        unknown = int((self.speakers[fold.test] < 0).sum())
        if unknown:
            babble.remark = f"babble may hold speakers of the test part: of {unknown} test clips the speaker is unknown"
        return babble

    def draw(self, index: int, length: int, rng: np.random.Generator) -> Array:
        """The sum of six stretches."""
        assert len(self.pool), "for_fold comes first"
        pieces = [random_excerpt(self.store, int(row), length, rng) for row in rng.choice(self.pool, BABBLE_CLIPS)]
        return np.sum([piece / np.sqrt(np.square(piece).mean()) for piece in pieces], axis=0)


def random_excerpt(store: WaveformStore, row: int, length: int, rng: np.random.Generator) -> Array:
    """A stretch of one clip from a random place, the clip repeated where it is shorter; never silent.

    Args:
        store: where the clip is.
        row: which; it is not silent as a whole.
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
        if (piece := clip[start : start + length]).any():
            return piece
    start = min(int(np.abs(clip).argmax()), len(clip) - length)
    return clip[start : start + length]


def require_noise_source(name: object) -> None:
    """Raise a SeenetError for what is neither a name of a source nor a folder."""
    if name in ("white", "pink", "babble"):
        return
    if not isinstance(name, str) or not name or not Path(name).expanduser().is_dir():
        raise SeenetError(f"noise.source='{name}': expected white, pink, babble or a folder of recordings")


def build_noise_source(name: str, manifest: Manifest, store: WaveformStore) -> NoiseSource:
    """The source of a name.

    Args:
        name: `white`, `pink`, `babble` or a folder.
        manifest: the corpus that is tested.
        store: its waveforms.

    Raises:
        SeenetError: neither a name nor a folder.
    """
    if name == "white":
        return WhiteNoise()
    if name == "pink":
        return PinkNoise()
    if name == "babble":
        return Babble(manifest, store)
    require_noise_source(name)
    return Recordings(Path(name).expanduser().resolve())
