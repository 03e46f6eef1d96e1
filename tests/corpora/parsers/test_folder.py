"""Parser for folders named after emotions, and the search for audio files."""

import os
import shutil
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.bad_files import apply_bad_file_policy
from seenet.corpora.folds import make_folds
from seenet.corpora.loading import DATASET_SETTINGS
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers import folder
from seenet.corpora.parsers._files import NOT_UTF8, find_files
from seenet.corpora.parsers.ravdess import read as read_ravdess
from seenet.corpora.protocols import Paper, Strict
from seenet.corpora.waveform_store import open_store
from seenet.data.conditions.noise_sources import build_noise_source
from support.corpus_files import touch_files


def instantiate_dataset(cfg) -> Manifest:
    return instantiate_checked(cfg.dataset, "dataset", skip=DATASET_SETTINGS)


def test_folder_uses_one_file_per_name(tmp_path: Path, capsys):
    touch_files(tmp_path, "sad/1.wav", "sad/1.mp4", "sad/2.mp3", "sad/2.m4a", "happy/1.webm", "sad/read me.txt")
    manifest = folder.read(str(tmp_path))
    assert [row.path for row in manifest] == ["happy/1.webm", "sad/1.wav", "sad/2.mp3"]
    assert manifest.skipped == (
        ("sad/read me.txt", "not audio"),
        ("sad/2.m4a", "'2.mp3' of the same name is used instead"),
        ("sad/1.mp4", "'1.wav' of the same name is used instead"),
    )
    assert "2 file(s) in" in capsys.readouterr().out


def test_folder_detects_audio_by_content_when_the_suffix_is_unknown(tmp_path: Path):
    (tmp_path / "sad").mkdir()
    soundfile.write(tmp_path / "sad/1.rec", np.zeros(100), 16000, format="WAV")
    (tmp_path / "sad/2.rec").write_text("no sound")
    manifest = folder.read(str(tmp_path))
    assert [row.path for row in manifest] == ["sad/1.rec"]
    assert manifest.skipped == (("sad/2.rec", "not audio"),)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are any bytes on Linux only")
def test_folder_reports_unusual_file_names_in_one_line(tmp_path: Path, monkeypatch, capsys):
    names = ("plain", "two\nlines", "quo\"ted'", " blanks ", "tab\t", "rücken")
    (tmp_path / "d/sad").mkdir(parents=True)
    for number, name in enumerate(names):
        soundfile.write(tmp_path / f"d/sad/{name}.wav", np.full(800, 0.1 + number / 100), 16000)
    (tmp_path / "d/sad/two\nlines.wav").write_bytes(b"")
    shutil.copy(tmp_path / "d/sad/plain.wav", os.fsencode(tmp_path) + b"/d/sad/caf\xe9.wav")
    monkeypatch.setenv("SEENET_CACHE", str(tmp_path / "cache"))
    manifest = folder.read(str(tmp_path / "d"))
    assert manifest.skipped == (("sad/caf\\xe9.wav", NOT_UTF8),)
    store = open_store(manifest, 6.0)
    assert [manifest.column("path")[row] for row in store.bad] == ["sad/two\nlines.wav"]
    with pytest.raises(SeenetError) as error:
        apply_bad_file_policy(manifest, store, "stop")
    assert r"sad/two\nlines.wav" in str(error.value)
    assert "\n" not in str(error.value)
    assert r"caf\xe9.wav" in capsys.readouterr().out


@pytest.mark.skipif(sys.platform != "linux", reason="file names are any bytes on Linux only")
def test_parser_reports_undecodable_names_once(tmp_path: Path, capsys):
    touch_files(tmp_path, "Actor_01/03-01-03-01-01-01-01.wav")
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/Actor_\xe9"))).mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/Actor_\xe9/03-01-03-01-01-01-02.wav")).touch()
    assert [row.path for row in read_ravdess(str(tmp_path))] == ["Actor_01/03-01-03-01-01-01-01.wav"]
    assert capsys.readouterr().out.count(r"Actor_\xe9/03-01-03-01-01-01-02.wav") == 1
    assert len(list(find_files(tmp_path, ".wav"))) == 1


def test_ravdess_reads_other_audio_formats(tmp_path: Path):
    """A converted copy of RAVDESS; of two formats of a clip, the lossless one is used."""
    touch_files(
        tmp_path, "a/03-01-03-01-01-01-01.flac", "a/03-01-03-01-01-01-01.mp3", "03-01-03-01-01-01-02.M4A", "x.mp3"
    )
    manifest = read_ravdess(str(tmp_path))
    assert [row.path for row in manifest] == ["a/03-01-03-01-01-01-01.flac", "03-01-03-01-01-01-02.M4A"]
    assert manifest.unlabelled == ("x.mp3",)


def test_noise_folder_uses_every_format_and_reports_other_files(tmp_path: Path, capsys):
    noise = np.random.default_rng(0).normal(0, 0.1, 8000)
    for name, options in {"a.wav": {}, "b.ogg": {}, "c.mp3": {}, "d.rec": {"format": "AIFF"}}.items():
        soundfile.write(tmp_path / name, noise, 16000, **options)
    (tmp_path / "README.md").write_text("about")
    manifest = Manifest("x", tmp_path, [Utterance("a", "a.wav", "sad")])
    source = build_noise_source(str(tmp_path), manifest, open_store(manifest, 6.0))
    assert len(source.rows) == 4
    printed = capsys.readouterr().out
    assert "1 file(s) in" in printed
    assert "'README.md': not audio" in printed


def test_folder_reads_folders_named_after_emotions(config, tmp_path: Path):
    touch_files(tmp_path, "Anger/anna_1.wav", "Anger/ben_1.MP3", "happy/deep/er/anna_2.flac", "sad/ben 2.opus")
    touch_files(tmp_path, "sad/notes.txt", "sad/._ben 2.wav", "loose.wav")
    cfg = config("dataset=folder", f"dataset.root={tmp_path}", 'dataset.speaker="([^/]+)[_ ]\\d+\\."')
    manifest = instantiate_dataset(cfg)
    assert [(row.utterance, row.emotion, row.speaker) for row in manifest] == [
        ("Anger/anna_1", "angry", "anna"),
        ("Anger/ben_1", "angry", "ben"),
        ("happy/deep/er/anna_2", "happy", "anna"),
        ("sad/ben 2", "sad", "ben"),
    ]
    assert manifest.unlabelled == ("loose.wav",)
    scheme = instantiate_checked(cfg.dataset.schemes.leave_one_speaker_out, "scheme")
    assert [len(fold.test) for fold in make_folds(manifest, np.arange(4), scheme, Paper())] == [2, 2]
    assert set(folder.read(str(tmp_path)).column("speaker")) == {""}


@pytest.mark.parametrize("layout", ["{split}/{emotion}/{k}.wav", "{emotion}/{split}/{k}.wav"])
def test_folder_reads_folders_named_after_splits(config, tmp_path: Path, layout: str):
    for split, emotion, k in [("train", "sad", 1), ("train", "angry", 2), ("val", "sad", 3), ("Test", "angry", 4)]:
        touch_files(tmp_path, layout.format(split=split, emotion=emotion, k=k))
    cfg = config("dataset=folder", f"dataset.root={tmp_path}")
    manifest = instantiate_dataset(cfg)
    assert {Path(row.path).stem: row.split for row in manifest} == {"1": "train", "2": "train", "3": "dev", "4": "test"}
    (fold,) = make_folds(manifest, np.arange(4), instantiate_checked(cfg.dataset.schemes.given, "scheme"), Strict())
    assert (len(fold.train), len(fold.dev), len(fold.test)) == (2, 1, 1)


def test_folder_reads_speakers_above_or_below_the_emotion(tmp_path: Path):
    touch_files(tmp_path, "anna/angry/1.wav", "sad/ben/1.wav")
    manifest = folder.read(str(tmp_path), speaker=r"^(anna)/|/(ben)/")
    assert [(row.emotion, row.speaker) for row in manifest] == [("angry", "anna"), ("sad", "ben")]


def test_folder_rejects_unknown_labels(config, tmp_path: Path):
    touch_files(tmp_path, "angry/1.wav", "background/2.wav", "rage/3.wav")
    with pytest.raises(SeenetError, match=r"'background' \(1\), 'rage' \(1\)"):
        folder.read(str(tmp_path))
    overrides = ["dataset=folder", f"dataset.root={tmp_path}", "dataset.labels={background: null, rage: angry}"]
    manifest = instantiate_dataset(config(*overrides))
    assert [(row.path, row.emotion) for row in manifest] == [("angry/1.wav", "angry"), ("rage/3.wav", "angry")]
    assert manifest.unlabelled == (), "excluded on purpose"


def test_folder_rejects_two_emotions_and_reads_accents(tmp_path: Path):
    touch_files(tmp_path, unicodedata.normalize("NFD", "Ärger/é.wav"), "sad/Sad/1.wav")
    manifest = folder.read(str(tmp_path))
    assert [(row.utterance, row.emotion) for row in manifest] == [("sad/Sad/1", "sad"), ("Ärger/é", "angry")]
    touch_files(tmp_path, "angry/Cal/1.wav")
    with pytest.raises(SeenetError, match="in folders of two emotions, cal and angry; rename one"):
        folder.read(str(tmp_path))


def test_folder_rejects_invalid_settings(config, tmp_path: Path):
    with pytest.raises(SeenetError, match="dataset=folder needs dataset.root=FOLDER"):
        instantiate_dataset(config("dataset=folder"))
    with pytest.raises(SeenetError, match="dataset.root='.*nowhere' is not a folder"):
        folder.read(str(tmp_path / "nowhere"))
    with pytest.raises(SeenetError, match="no audio file in a folder of"):
        folder.read(str(tmp_path))
    touch_files(tmp_path, "1.wav")
    with pytest.raises(SeenetError, match="only 1 outside of any"):
        folder.read(str(tmp_path))
    touch_files(tmp_path, "sad/1.wav")
    for pattern, words in (("(", "is not a regular expression"), ("a+", "has no group"), ("(anna)", "matches no path")):
        with pytest.raises(SeenetError, match=words):
            folder.read(str(tmp_path), speaker=pattern)
