"""RAVDESS: all 1440 published names, and irregularities of the folder."""

import itertools
import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.bad_files import apply_bad_file_policy
from seenet.corpora.folds import make_folds
from seenet.corpora.loading import load_corpus
from seenet.corpora.parsers.ravdess import read
from seenet.corpora.protocols import Paper
from seenet.corpora.waveform_store import open_store
from seenet.training.run import run_experiment


def list_names() -> list[tuple[int, str]]:
    """Return the 1440 published names; neutral has one intensity, other emotions have two."""
    found = []
    for actor, emotion, level, statement, repetition in itertools.product(
        range(1, 25), range(1, 9), (1, 2), (1, 2), (1, 2)
    ):
        if not (emotion == 1 and level == 2):
            found.append((actor, f"03-01-{emotion:02d}-{level:02d}-{statement:02d}-{repetition:02d}-{actor:02d}.wav"))
    return found


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All published names as short 48 kHz files, one of them stereo, and a song."""
    root = tmp_path_factory.mktemp("corpora") / "RAVDESS"
    rng = np.random.default_rng(0)
    for actor, name in list_names():
        folder = root / f"Actor_{actor:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        stereo = name == "03-01-06-01-01-02-20.wav"
        wave = rng.normal(0, 0.1, (1200, 2 if stereo else 1))
        soundfile.write(folder / name, wave, 48000, subtype="PCM_16")
    soundfile.write(root / "Actor_01" / "03-02-03-01-01-01-01.wav", np.zeros(100), 48000)
    (root / "Actor_01" / "._03-01-03-01-01-01-01.wav").write_bytes(b"apple")
    return root


def test_counts(full: Path):
    manifest = read(str(full))
    assert len(manifest) == 1440
    assert len({row.speaker for row in manifest}) == 24
    counts = Counter(row.emotion for row in manifest)
    assert counts.pop("neutral") == 96
    assert set(counts.values()) == {192}
    assert len(counts) == 7
    assert set(Counter(row.speaker for row in manifest).values()) == {60}
    by_name = {row.utterance: row for row in manifest}
    row = by_name["03-01-06-01-02-01-12"]
    assert (row.emotion, row.speaker, row.gender, row.text) == (
        "fearful",
        "12",
        "female",
        "Dogs are sitting by the door",
    )


@pytest.mark.parametrize(
    ("scheme", "sizes"),
    [("luna5", [300, 300, 300, 300, 240]), ("hicmae6", [240] * 6), ("leave_one_speaker_out", [60] * 24)],
)
def test_folds(full: Path, config, scheme: str, sizes: list[int]):
    manifest = read(str(full))
    node = config("dataset=ravdess").dataset.schemes[scheme]
    folds = make_folds(manifest, np.arange(1440), instantiate_checked(node, scheme), Paper())
    assert [len(fold.test) for fold in folds] == sizes
    assert all(len(fold.train) + len(fold.test) == 1440 for fold in folds)
    assert len(np.unique(np.concatenate([fold.test for fold in folds]))) == 1440


def test_ravdess_trains(full: Path, config, tmp_path: Path, capsys):
    """A complete training on 1440 clips that are shorter than the receptive field of a frame."""
    settings = ("trainer.max_epochs=1", "backbone=wavlm_tiny", "fold=4", f"output_dir={tmp_path}")
    folder = run_experiment(config("dataset=ravdess", f"dataset.root={full}", *settings))[0]
    printed = capsys.readouterr().out
    assert "ravdess: 1440 clips, 24 speakers" in printed
    assert "neutral 96" in printed
    assert "test folds: 300, 300, 300, 300, 240 clips" in printed
    result = json.loads((folder / "result.json").read_text())
    assert (result["n_test"], result["n_train"] + result["n_dev"]) == (240, 1200)
    assert len(result["classes"]) == 8
    assert not result["synthetic"]


def test_merge_of_calm_is_explicit(full: Path, config):
    for merge, clips in (("null", 672), ("{calm: neutral}", 864)):
        cfg = config("dataset=ravdess", "classes=four", f"dataset.root={full}", f"dataset.merge={merge}")
        _, classes, indices = load_corpus(cfg)
        assert len(indices) == clips
        assert len(classes) == 4


def test_read_counts_the_kaggle_copy_once(full: Path, tmp_path: Path):
    root = tmp_path / "kaggle"
    for folder in (root, root / "audio_speech_actors_01-24"):
        shutil.copytree(full, folder, dirs_exist_ok=True)
    assert len(list(root.rglob("03-01-*.wav"))) == 2880
    manifest = read(str(root))
    assert len(manifest) == 1440
    assert {len(Path(row.path).parts) for row in manifest} == {2}, "the copy nearest to the root"


def test_read_follows_links_to_folders(full: Path, tmp_path: Path):
    for actor in full.iterdir():
        (tmp_path / actor.name).symlink_to(actor, target_is_directory=True)
    (tmp_path / "Actor_01_again").symlink_to(tmp_path, target_is_directory=True)  # and a loop
    assert len(read(str(tmp_path))) == 1440


def test_read_finds_the_folder_below_seenet_data(full: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SEENET_DATA", str(full.parent))
    assert len(read()) == 1440
    monkeypatch.setenv("SEENET_DATA", str(full))
    with pytest.raises(SeenetError, match="ravdess"):
        read()


def test_read_rejects_a_folder_without_speech_clips(tmp_path: Path):
    with pytest.raises(SeenetError, match="Actor_01"):
        read(str(tmp_path))


def test_read_lists_files_with_other_names(tmp_path: Path):
    for name in ("03-01-03-01-01-01-01", "03-02-03-01-01-01-01", "stray"):
        (tmp_path / f"{name}.wav").touch()
    assert read(str(tmp_path)).unlabelled == ("stray.wav",), "songs are known and ignored"


def test_read_rejects_an_unknown_emotion(tmp_path: Path, write_tone):
    write_tone(tmp_path / "03-01-09-01-01-01-01.wav")
    with pytest.raises(SeenetError, match="unknown emotion .09.; expected one of 01, 02"):
        read(str(tmp_path))


def test_folds_reject_a_missing_actor(tmp_path: Path, write_tone, config):
    write_tone(tmp_path / "03-01-03-01-01-01-01.wav")
    node = config("dataset=ravdess").dataset.schemes.luna5
    with pytest.raises(SeenetError, match="complete"):
        make_folds(read(str(tmp_path)), np.arange(1), instantiate_checked(node, "luna5"), Paper())


def test_store_averages_stereo_and_names_a_truncated_file(tmp_path: Path):
    rng = np.random.default_rng(0)
    for actor, name in list_names()[:4]:
        folder = tmp_path / f"Actor_{actor:02d}"
        folder.mkdir(exist_ok=True)
        wave = rng.normal(0, 0.1, 4800)
        stereo = np.stack([wave, -wave], axis=1) if name == list_names()[1][1] else wave
        soundfile.write(folder / name, stereo, 48000)
    store = open_store(read(str(tmp_path)), 6.0)
    assert store.lengths.tolist() == [1600] * 4
    assert np.abs(store.waveform(1)).max() < 1e-4, "left and right cancel in the mean"
    broken = tmp_path / "Actor_01" / list_names()[2][1]
    broken.write_bytes(broken.read_bytes()[:3000])
    manifest = read(str(tmp_path))
    with pytest.raises(SeenetError, match=f"1 of 4.*{broken.name}.*truncated.*bad_files.csv"):
        apply_bad_file_policy(manifest, open_store(manifest, 6.0), "stop")
