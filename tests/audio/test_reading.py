"""The reader in every format: complete, truncated and damaged files, and excerpts."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from seenet.audio.defects import UnreadableAudioError
from seenet.audio.reading import read_audio
from seenet.corpora.parsers._files import find_audio
from support.audio_files import ALL_KINDS, OPEN_ENDED, SECONDS, SELF_DELIMITING, TONES_HZ, strongest_hertz


def test_find_audio_recognises_every_format_by_content(made):
    for kind in ALL_KINDS:
        made(kind)
    files, skipped = find_audio(made("wav").parent)
    assert (len(files), skipped) == (len(ALL_KINDS), [])


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_read_audio_decodes_complete_files(made, kind: str):
    found = read_audio(made(kind), 1000.0)
    assert found.seconds == pytest.approx(SECONDS, abs=0.05)
    assert len(found.waveform) == pytest.approx(16000 * found.seconds, abs=2)
    assert found.remarks == ()
    for second, hertz in enumerate(TONES_HZ):
        wave = found.waveform[16000 * second + 1600 : 16000 * second + 14400]
        assert strongest_hertz(wave) == pytest.approx(hertz, abs=2)
        assert np.sqrt(np.mean(np.square(wave))) == pytest.approx(0.3 / np.sqrt(2), rel=0.35)  # AMR attenuates tones


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_read_audio_decodes_the_samples_of_an_excerpt(made, kind: str):
    complete = read_audio(made(kind), 1000.0).waveform
    for start, end in ((0.0, 1.0), (2.15, 2.9), (4.3, 5.85), (4.3, float("nan"))):
        found = read_audio(made(kind), 1000.0, start, end)
        first, length = round(start * 16000), len(found.waveform)
        assert length == pytest.approx((end - start) * 16000 if end == end else len(complete) - first, abs=2)
        # without the ends, where the resampler lacks context and a lossy codec starts
        excerpt, expected = found.waveform[800:-800], complete[first + 800 : first + length - 800]
        shared = min(len(excerpt), len(expected))
        assert np.abs(excerpt[:shared] - expected[:shared]).max() < 0.01
    assert len(read_audio(made(kind), 0.5, 2.0, 5.0).waveform) == 8000
    with pytest.raises(UnreadableAudioError, match="no excerpt"):
        read_audio(made(kind), 1000.0, 1.0, 60.0)
    with pytest.raises(UnreadableAudioError, match="no excerpt"):
        read_audio(made(kind), 1000.0, 2.0, 1.0)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", SELF_DELIMITING)
def test_read_audio_rejects_truncated_files(made, tmp_path: Path, kind: str, share: float):
    data = made(kind).read_bytes()
    (tmp_path / "truncated").write_bytes(data[: int(share * len(data)) - 7])
    with pytest.raises(UnreadableAudioError, match=r"truncated|damaged or cut off"):
        read_audio(tmp_path / "truncated", 1000.0)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_read_audio_raises_no_other_error_for_damaged_files(made, tmp_path: Path, kind: str):
    """Random bytes, mostly at the beginning, which contains sizes and formats."""
    rng = np.random.default_rng(len(kind))
    for number, reach in enumerate((64, 64, 200, 200, 10**9)):
        data = bytearray(made(kind).read_bytes())
        for at in rng.integers(0, min(reach, len(data)), 1 + number):
            data[at] = rng.integers(256)
        (tmp_path / f"{number}").write_bytes(data)
        with contextlib.suppress(UnreadableAudioError):
            assert np.isfinite(read_audio(tmp_path / f"{number}", 1000.0).waveform).all()


@pytest.mark.parametrize("kind", OPEN_ENDED)
def test_read_audio_decodes_the_rest_of_truncated_open_ended_files(made, tmp_path: Path, kind: str):
    data = made(kind).read_bytes()
    (tmp_path / "truncated").write_bytes(data[: len(data) // 2])
    assert read_audio(tmp_path / "truncated", 1000.0).seconds == pytest.approx(SECONDS / 2, rel=0.1)
