"""`seenet-data`: what it finds, what it writes, and how it answers mistakes."""

import base64
import csv
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seenet.corpora.checks import KINDS, find_problems
from seenet.corpora.manifest import Manifest, Utterance, read_manifest
from seenet.corpora.waveform_store import open_store
from support.console import SMALL

CORPUS = SMALL[:2]


def findings(path: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["kind"], []).append(row["file"])
    return found


def test_check_accepts_a_good_corpus(seenet_data_process, tmp_path: Path):
    run = seenet_data_process("check", *CORPUS)
    assert run.returncode == 0, run.stderr
    assert "synthetic, 48 clips: OK (no problems)" in run.stdout
    assert findings(tmp_path / "outputs/data/synthetic/findings.csv") == {}


def test_find_problems_finds_every_kind(tmp_path: Path):
    rng = np.random.default_rng(0)
    waves = {name: rng.normal(0, 0.1, 4000) for name in "abcdefgh"}
    waves["c"] = waves["a"]  # a duplicate with the same label
    waves["d"] = waves["b"]  # and one with another
    waves["e"] = np.zeros(4000)
    waves["f"] = np.zeros(4000)  # silent too, and no duplicate of e
    waves["g"] = np.sign(waves["g"])
    waves["h"] = waves["h"][:399]
    for name, wave in waves.items():
        soundfile.write(tmp_path / f"{name}.wav", wave, 16000)
    (tmp_path / "i.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "k.wav", np.round(1000 * rng.normal(0, 9, 4000)), 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "l.wav", rng.normal(0, 0.1, 4000)[:, None] * [1, -1], 16000)
    soundfile.write(tmp_path / "m.wav", rng.normal(0, 0.1, 4000), 16000)
    (tmp_path / "m.wav").write_bytes((tmp_path / "m.wav").read_bytes()[:-44])
    rows = [Utterance(n, f"{n}.wav", "angry" if n == "d" else "sad", "s1") for n in "abcdefghijklm"]
    rows.append(Utterance("m2", "m.wav", "sad", "s1", start=0.0, end=0.1))  # of the same file, which is listed once
    manifest = Manifest("x", tmp_path, rows, unlabelled=["z.wav"], skipped=[("README", "not audio")])
    store = open_store(manifest, 6.0)
    known = {"clips": 15, "speakers": 1, "emotions": {"sad": 13, "angry": 2}}
    found: dict[tuple[str, str], list[str]] = {}
    for finding in find_problems(manifest, store, known):
        found.setdefault((finding.kind, finding.severity), []).append(finding.file or finding.detail.split(":")[0])
    assert found == {
        ("counts", "error"): ["clips", "angry"],
        ("bad file", "error"): ["i.wav"],
        ("missing", "error"): ["j.wav"],
        ("duplicate", "error"): ["d.wav"],
        ("duplicate", "warning"): ["c.wav"],
        ("silent", "warning"): ["e.wav", "f.wav"],
        ("clipped", "warning"): ["g.wav"],
        ("short", "warning"): ["h.wav"],
        ("unlabelled", "warning"): ["z.wav"],
        ("passed over", "warning"): ["README"],
        ("integers", "error"): ["k.wav"],
        ("channels", "error"): ["l.wav"],
        ("length", "warning"): ["m.wav"],
    }
    assert {kind for kind, _ in found} <= set(KINDS)


@pytest.fixture
def ravdess(tmp_path: Path) -> Path:
    """Two actors of RAVDESS, one clip truncated and one unreadable."""
    folder = tmp_path / "RAVDESS"
    for actor in (1, 2):
        for emotion in range(1, 9):
            path = folder / f"Actor_{actor:02d}" / f"03-01-{emotion:02d}-01-01-01-{actor:02d}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.random.default_rng(emotion + 10 * actor).normal(0, 0.1, 9600), 48000)
    for name in ("03-01-01-01-01-01-01", "03-01-05-01-01-01-01"):
        path = folder / "Actor_01" / f"{name}.wav"
        path.write_bytes(path.read_bytes()[:-5000])
    return folder


def test_check_lists_problems_and_fails(seenet_data, ravdess: Path, tmp_path: Path):
    run = seenet_data("check", "dataset=ravdess", f"dataset.root={ravdess}")
    assert run.returncode == 1
    assert "ravdess, 16 clips: NOT OK" in run.stdout
    assert "clips: 16 here, 1440 in the published corpus" in run.stdout
    assert "truncated: 5000 bytes" in run.stdout
    bad = findings(tmp_path / "outputs/data/ravdess/findings.csv")["bad file"]
    assert bad == [f"Actor_01/03-01-0{k}-01-01-01-01.wav" for k in (1, 5)]


def test_prepare_follows_the_setting_on_bad_files(seenet_data, ravdess: Path):
    run = seenet_data("prepare", "dataset=ravdess", f"dataset.root={ravdess}")
    assert run.returncode == 1
    assert len(run.stderr.strip().splitlines()[-1]) > 100
    assert "2 of 16 audio files of ravdess cannot be used" in run.stderr
    assert "dataset.on_bad_file=quarantine" in run.stderr
    run = seenet_data("prepare", "dataset=ravdess", f"dataset.root={ravdess}", "dataset.on_bad_file=quarantine")
    assert run.returncode == 0, run.stderr
    assert "ravdess: 14 clips, 0.00 hours" in run.stdout
    assert "preparing" not in run.stderr, "the store of the first call is used"


def test_show_writes_a_card(seenet_data, drawn_pictures, ravdess: Path, tmp_path: Path):
    run = seenet_data("show", "dataset=ravdess", f"dataset.root={ravdess}", "dataset.folds=leave_one_speaker_out")
    assert run.returncode == 0, run.stderr
    assert re.search(r"clips +16, of which 2 cannot be used", run.stdout)
    assert "48000 Hz (14)" in run.stdout
    folder = tmp_path / "outputs/data/ravdess"
    page = (folder / "card.html").read_text(encoding="utf-8")
    pictures = re.findall(r'src="([^"]*)"', page)
    assert len(pictures) == 4
    for picture, name in zip(pictures, ("labels", "durations", "speakers", "folds"), strict=True):
        data = base64.b64decode(picture.removeprefix("data:image/png;base64,"))
        assert data == (folder / f"{name}.png").read_bytes()
        assert min(struct.unpack(">II", data[16:24])) > 200, "width and height in pixels"
    assert "http" not in page.replace("http-equiv", ""), "nothing is fetched"
    assert "<th>test fold 1: 2</th>" in page


def test_card_states_synthetic_corpus_and_missing_folds(seenet_data, tmp_path: Path):
    run = seenet_data("show", *CORPUS, "dataset.schemes.speakers3.count=7")
    assert run.returncode == 0, run.stderr
    page = (tmp_path / "outputs/data/synthetic/card.html").read_text(encoding="utf-8")
    assert "SYNTHETIC" in page
    assert "SYNTHETIC" in run.stdout
    assert "7 folds cannot be made of 6 speakers" in page


def test_manifest_command_writes_a_readable_table(seenet_data, tmp_path: Path):
    assert seenet_data("manifest", *CORPUS).returncode == 0
    table = read_manifest(tmp_path / "outputs/data/synthetic/manifest.csv")
    assert len(Manifest("again", tmp_path, table)) == 48


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no command given; expected seenet-data check"),
        (["chekc"], "unknown command 'chekc'"),
        (["check", "dataset=ravdes"], "'dataset/ravdes'"),
        (["check", "dataset=ravdess", "dataset.root=/nowhere"], "/nowhere"),
        (["show", "clases=four"], "did you mean 'classes'?"),
        (["prepare", "max_seconds=0", *CORPUS], "max_seconds=0"),
    ],
)
def test_invalid_arguments_are_reported_in_one_line(seenet_data, arguments: list[str], words: str):
    run = seenet_data(*arguments)
    assert run.returncode == 1
    lines = [line for line in run.stderr.splitlines() if line and not line.startswith("generating")]  # at first use
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith("seenet: error: ")
    assert words in lines[0]


def test_help_lists_the_commands_and_imports_nothing_slow(seenet_data_process):
    run = seenet_data_process("--help")
    assert run.returncode == 0, run.stderr
    for word in ("check", "prepare", "show", "manifest", "ravdess", "SEENET_CACHE"):
        assert word in run.stdout
    run = seenet_data_process("--cfg", "job", PYTHONPROFILEIMPORTTIME="1")
    assert "# dataset: " in run.stdout
    assert not re.search(r"\| +(torch|pandas|sklearn|matplotlib)$", run.stderr, re.MULTILINE)


def test_commands_print_notes_on_speakers_once(seenet_data, tmp_path: Path):
    rng = np.random.default_rng(0)
    lines = ["path,emotion,speaker"]
    for k, who in enumerate(["Anna Lee", "anna  lee", "Unknown", "Bob"]):
        soundfile.write(tmp_path / f"{k}.wav", rng.normal(0, 0.1, 1600), 16000)
        lines.append(f"{k}.wav,{('happy', 'sad')[k % 2]},{who}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    for command in ("check", "show", "manifest"):
        done = seenet_data(command, "dataset=csv", f"dataset.table={tmp_path / 't.csv'}")
        assert done.stdout.count("'Anna Lee' = 'anna  lee'") == 1, command
        assert done.stdout.count("speaker 'Unknown': counted as unknown (1 clips)") == 1, command
