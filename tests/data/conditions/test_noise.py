"""Test conditions: exact ratios, and equal noise for every rerun and batch size."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from omegaconf import OmegaConf

from seenet.core.errors import SeenetError
from seenet.corpora.folds import Fold, make_folds
from seenet.corpora.joining import join_corpora
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.protocols import Paper, Strict
from seenet.corpora.split_schemes import GivenSplit, LeaveOneOut, SpeakerFolds
from seenet.corpora.synthetic.corpus import read
from seenet.corpora.waveform_store import WaveformStore, open_store
from seenet.data.augmentation.identity import Identity
from seenet.data.conditions.additive_noise import AdditiveNoise
from seenet.data.conditions.base import build_conditions
from seenet.data.conditions.noise_sources import Babble, PinkNoise, build_noise_source
from seenet.data.datamodule import EmotionData
from seenet.data.dataset import FoldPart
from seenet.runs.results import condition_label
from seenet.training.experiment import Experiment
from seenet.training.run import run_experiment
from support.console import SMALL

CLASSES = ("happy", "neutral", "sad", "angry")


@pytest.fixture(scope="module")
def corpus() -> tuple[Manifest, WaveformStore]:
    """Synthesize 200 clips of 10 speakers."""
    manifest = read(speakers=10, clips=5)
    return manifest, open_store(manifest, 6.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write noise recordings: 48 kHz stereo, a very short one, a silent one, one with pauses."""
    root = tmp_path_factory.mktemp("noises") / "DEMAND"
    rng = np.random.default_rng(0)
    pauses = np.where(np.arange(10 * 16000) % (5 * 16000) < 1600, 1.0, 0.0)
    waves = {
        "kitchen/ch01": (rng.normal(0, 0.1, (48000 * 9, 2)), 48000),
        "click": (rng.normal(0, 0.1, 900), 16000),
        "silent": (np.zeros(32000), 16000),
        "pauses": (pauses * rng.normal(0, 0.1, 160000), 16000),
    }
    for name, (wave, rate) in waves.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / f"{name}.wav", wave, rate)
    return root


def make_fold(manifest: Manifest, speakers: list[int]) -> Fold:
    """Make a fold that tests speakers by number and trains on all others."""
    tested = np.isin(manifest.codes("speaker"), speakers)
    return Fold(0, np.flatnonzero(~tested), np.array([], dtype=np.int64), np.flatnonzero(tested))


def noise_of_fold(corpus: tuple[Manifest, WaveformStore], *args, **options) -> AdditiveNoise:
    """Make noise for a fold that tests the first three speakers."""
    return AdditiveNoise(*corpus, *args, **options).for_fold(make_fold(corpus[0], [0, 1, 2]))


def apply_to_all_clips(
    corpus: tuple[Manifest, WaveformStore], noise: AdditiveNoise, batch_size: int, workers: int = 0
) -> list[tuple]:
    """Return (noisy, clean) of every clip, cropped to its length."""
    manifest, store = corpus
    part = FoldPart(manifest, store, np.arange(len(manifest)), CLASSES)
    data = EmotionData(part, part, part, Identity(), seed=0, batch_size=batch_size, num_workers=workers)
    clips = {}
    for batch in data.test_dataloader():
        noisy = noise(batch)
        for row, (index, length) in enumerate(zip(batch.indices.tolist(), batch.lengths.tolist(), strict=True)):
            assert not noisy.waveform[row, length:].any(), "the padding stays zero"
            clips[index] = (noisy.waveform[row, :length], batch.waveform[row, :length])
    return [clips[index] for index in range(len(manifest))]


@pytest.mark.parametrize("source", ["white", "pink", "babble", "folder"])
def test_additive_noise_has_the_stated_ratio_and_is_reproducible(corpus, folder: Path, source: str):
    source = str(folder) if source == "folder" else source
    first = apply_to_all_clips(corpus, noise_of_fold(corpus, 5, source), 16)
    assert len(first) == 200
    for noisy, clean in first:
        added = (noisy - clean).double()
        realised = 10 * math.log10(float(clean.double().square().mean() / added.square().mean()))
        assert realised == pytest.approx(5.0, abs=0.05)
    for batch_size, workers in ((1, 0), (64, 2)):
        again = apply_to_all_clips(corpus, noise_of_fold(corpus, 5, source), batch_size, workers)
        assert all(torch.equal(a[0], b[0]) for a, b in zip(first, again, strict=True))


def test_additive_noise_level_scales_it_and_seed_changes_it(corpus):
    clip = corpus[1].waveform(3)
    loud, soft = (AdditiveNoise(*corpus, snr).draw_noise(3, clip) for snr in (0, 20))
    np.testing.assert_allclose(loud, 10 * soft, rtol=1e-5)
    other_clip, other_seed = (
        AdditiveNoise(*corpus, 0).draw_noise(4, clip),
        AdditiveNoise(*corpus, 0, seed=1).draw_noise(3, clip),
    )
    for other in (other_clip, other_seed):
        assert abs(np.corrcoef(loud, other)[0, 1]) < 0.1


def test_additive_noise_of_an_utterance_is_equal_in_joined_corpora(corpus):
    manifest, store = corpus
    other = read(speakers=4, clips=2, seed=1)
    other.name = "other"
    both = join_corpora("both", {"train": other, "test": manifest})
    joined = open_store(both, 6.0)
    alone = AdditiveNoise(manifest, store, 10, "white").draw_noise(7, store.waveform(7))
    row = len(both.parts[0]) + 7
    assert np.array_equal(AdditiveNoise(both, joined, 10, "white").draw_noise(row, joined.waveform(row)), alone)


def test_pink_noise_falls_by_3_db_per_octave():
    spectrum = np.square(np.abs(np.fft.rfft(PinkNoise().draw(0, 2**18, np.random.default_rng(0)))))
    octaves = [spectrum[2**k : 2 ** (k + 1)].mean() for k in range(8, 17)]
    steps = 10 * np.diff(np.log10(octaves))
    assert steps.mean() == pytest.approx(-3.01, abs=0.1)


def make_tone_store(manifest: Manifest, store: WaveformStore) -> tuple[WaveformStore, np.ndarray]:
    """Return a store in which each of ten speakers is one tone, and the tones in Hz."""
    tones = np.array(store.index)
    tones["offset"], tones["length"] = 16000 * np.maximum(manifest.codes("speaker"), 0), 16000
    hertz = 500 + 100 * np.arange(10)
    audio = np.sin(2 * np.pi * hertz[:, None] * np.arange(16000) / 16000) * 20000
    return WaveformStore(store.key, store.folder, (audio.astype(np.int16).ravel(),), tones, {}), hertz


@pytest.mark.parametrize("protocol", [Strict(), Paper()])
@pytest.mark.parametrize("scheme", [SpeakerFolds(5), LeaveOneOut("speaker")])
def test_babble_contains_every_speaker_except_those_of_the_test_part(corpus, scheme, protocol):
    manifest, store = corpus
    tone_store, hertz = make_tone_store(manifest, store)
    speakers = manifest.codes("speaker")
    for fold in (make_folds(manifest, np.arange(len(manifest)), scheme, protocol)[k] for k in (0, 3)):
        babble, levels = Babble(manifest, tone_store).for_fold(fold), np.zeros(10)
        for index in fold.test:
            spectrum = np.abs(np.fft.rfft(babble.draw(index, 16000, np.random.default_rng(index))))[hertz]
            levels = np.maximum(levels, spectrum / spectrum.max())
        is_tested = np.isin(np.arange(10), speakers[fold.test])
        assert levels[is_tested].max() < 1e-2
        assert levels[~is_tested].min() > 0.1


def test_babble_does_not_depend_on_the_protocol(corpus):
    manifest, store = corpus
    folds = [make_folds(manifest, np.arange(200), SpeakerFolds(5), p)[1] for p in (Strict(), Strict(0.5, 3), Paper())]
    index = int(folds[0].test[0])
    noises = [
        AdditiveNoise(manifest, store, 5, "babble").for_fold(f).draw_noise(index, store.waveform(index)) for f in folds
    ]
    assert all(np.array_equal(noise, noises[0]) for noise in noises)
    other = make_folds(manifest, np.arange(200), SpeakerFolds(5), Paper())[0]
    assert not np.array_equal(noises[0], noise_of_fold(corpus, 5, "babble").draw_noise(index, store.waveform(index)))
    assert index not in other.test


def test_babble_uses_the_training_corpus_when_testing_across_corpora(corpus):
    manifest, _ = corpus
    other = read(speakers=4, clips=2, seed=1)
    other.name = "other"
    both = join_corpora("both", {"train": other, "test": manifest})
    (fold,) = make_folds(both, np.arange(len(both)), GivenSplit(), Paper())
    babble = Babble(both, open_store(both, 6.0)).for_fold(fold)
    assert set(babble.pool) <= set(range(len(other)))
    assert babble.draw(len(other), 800, np.random.default_rng(0)).any()


def test_babble_has_a_remark_when_test_speakers_are_unknown(corpus):
    manifest, store = corpus
    table = manifest.table.assign(speaker=["" if k % 50 == 0 else s for k, s in enumerate(manifest.column("speaker"))])
    partly = Manifest("partly", manifest.root, table)
    fold = Fold(0, np.arange(100, 200), np.array([], dtype=np.int64), np.arange(100))
    noise = AdditiveNoise(partly, store, 5, "babble").for_fold(fold)
    assert noise.remark == "babble may contain test speakers: the speaker of 2 test clips is unknown"
    assert not set(noise.source.pool) & {100, 150}, "babble excludes clips of unknown speakers"
    assert AdditiveNoise(partly, store, 5, "white").for_fold(fold).remark == ""
    assert noise_of_fold(corpus, 5, "babble").remark == ""


def test_result_records_the_remark_of_babble(config, tmp_path: Path):
    rng, lines = np.random.default_rng(0), ["path,emotion,speaker,split"]
    for k in range(12):
        soundfile.write(tmp_path / f"{k}.wav", rng.normal(0, 0.1, 1600), 16000)
        part = "test" if k >= 8 else "train"
        lines.append(f"{k}.wav,{('happy', 'sad')[k % 2]},{'?' if k == 8 else f'{part}{k // 2}'},{part}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    overrides = ("dataset=csv", f"dataset.table={tmp_path / 't.csv'}", "dataset.folds=given", f"output_dir={tmp_path}")
    noise = ("noise=snr5", "noise.source=babble")
    (folder,) = run_experiment(config(*overrides, *noise, "trainer.max_epochs=1", "data.batch_size=8"))
    result = json.loads((folder / "result.json").read_text())
    assert result["remark"] == "babble may contain test speakers: the speaker of 1 test clips is unknown"
    assert result["condition"]["source"] == "babble"
    assert condition_label(result) == "snr5-babble"
    with pytest.raises(SeenetError, match=r"fold 0: noise.source=babble needs clips of known speakers"):
        Experiment.from_config(
            config(*overrides, *noise, "dataset.columns.speaker=null", "dataset.folds=clips5", "protocol=paper")
        )


def test_noise_is_finite_when_clips_are_short_or_silent(corpus, folder: Path):
    for source in ("white", "pink", "babble", str(folder)):
        noise = noise_of_fold(corpus, 10, source)
        for length in (1, 2, 500):
            assert np.isfinite(noise.draw_noise(0, np.full(length, 0.1, dtype=np.float32))).all()
        assert not noise.draw_noise(0, np.zeros(800, dtype=np.float32)).any()


def test_recordings_settings_follow_the_content_of_the_folder(corpus, folder: Path, tmp_path: Path):
    settings = AdditiveNoise(*corpus, 5, str(folder)).settings
    copy = tmp_path / "DEMAND"
    for path in folder.rglob("*.wav"):
        (copy / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
        (copy / path.relative_to(folder)).write_bytes(path.read_bytes())
    assert AdditiveNoise(*corpus, 5, str(copy)).settings == settings
    (copy / "click.wav").unlink()
    assert AdditiveNoise(*corpus, 5, str(copy)).settings != settings


def test_noise_source_raises_when_it_is_unusable(corpus, tmp_path: Path):
    with pytest.raises(SeenetError, match=r"noise.source='violet': expected white, pink, babble or a folder"):
        build_noise_source("violet", *corpus)
    with pytest.raises(SeenetError, match="contains no audio file"):
        build_noise_source(str(tmp_path), *corpus)
    soundfile.write(tmp_path / "quiet.wav", np.zeros(1000), 16000)
    with pytest.raises(SeenetError, match="every recording is silent"):
        build_noise_source(str(tmp_path), *corpus)
    nameless = Manifest("x", tmp_path, [Utterance("quiet", "quiet.wav", "sad")])
    babble = build_noise_source("babble", nameless, open_store(nameless, 6.0))
    with pytest.raises(SeenetError, match="babble needs clips of known speakers"):
        babble.for_fold(make_fold(nameless, [-1]))
    with pytest.raises(SeenetError, match="-100 to 100"):
        AdditiveNoise(*corpus, 200)
    with pytest.raises(SeenetError, match="names no condition"):
        build_conditions(OmegaConf.create({"source": "white"}), *corpus)


def test_noise_all_combines_the_shipped_levels(config, corpus):
    conditions = build_conditions(config("noise=all", "noise.source=pink").noise, *corpus)
    assert list(conditions) == ["clean", "snr20", "snr15", "snr10", "snr5", "snr0"]
    assert [c.settings.get("snr_db") for c in conditions.values()] == [None, 20, 15, 10, 5, 0]
    for name, condition in conditions.items():
        alone = build_conditions(config(f"noise={name}", "noise.source=pink").noise, *corpus)
        assert {name: condition.settings} == {name: c.settings for name, c in alone.items()}


@pytest.mark.slow
def test_parallel_jobs_train_once_and_test_every_level(seenet_train_process, tmp_path: Path):
    """The log shows one training, and results equal those of `noise=all` in one job."""
    once = (*SMALL, "trainer.max_epochs=1", "fold=0")
    levels = ["clean", "snr20", "snr15", "snr10", "snr5", "snr0"]
    parallel = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "sweep.report=false")
    sweep = seenet_train_process("-m", *once, *parallel, f"noise={','.join(levels)}")
    assert sweep.returncode == 0, sweep.stderr
    assert sweep.stdout.count("epoch 1/1") == 1
    table = sweep.stdout.split("comparison of arms")[1]
    assert all(f" {'clean' if level == 'clean' else f'{level}-white'} " in table for level in levels)
    single_job = seenet_train_process(*once, "noise=all", "output_dir=again")
    assert single_job.stdout.count("epoch 1/1") == 1
    separate, combined = (
        {p.parent.name: pd.read_csv(p) for p in sorted(tmp_path.glob(f"{folder}/*/fold0/*/predictions.csv"))}
        for folder in ("outputs", "again")
    )
    assert len(separate) == 6
    assert separate.keys() == combined.keys()
    for name, table in separate.items():  # approximate, because parallel jobs have fewer threads each
        pd.testing.assert_frame_equal(table, combined[name], rtol=1e-5)
