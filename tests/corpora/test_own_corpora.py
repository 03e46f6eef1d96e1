"""Training on corpora of the user: unusual tables, EmoBox lists, folders without speakers, classes in any script."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seenet.core.errors import SeenetError
from seenet.corpora.loading import build_scheme, load_corpus
from seenet.training.run import run_experiment

QUICK = ("trainer.max_epochs=1", "fold=0", "data.batch_size=8", "trainer=cpu")


def write_noise(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(seed).normal(0, 0.1, 2400 + 10 * seed), 16000)


def read_result(folder: Path) -> dict:
    return json.loads(next(folder.glob("outputs/*/fold0/*/result.json")).read_text())


def test_table_with_unusual_columns_trains(seenet_train, tmp_path: Path):
    with (tmp_path / "Sitzungen 2024.csv").open("w", newline="", encoding="cp1252") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Nr.", "Audio Datei", "Gefühl", "Wer?"])
        for k in range(24):
            name = f"Aufnahmen für Test/Clip Nº {k}.wav"
            write_noise(tmp_path / name, k)
            writer.writerow([k, name, ("Wut", "Freude", "Trauer", "seltsam")[k % 4], f"Sprecherin {k % 6}"])
    run = seenet_train(
        *("dataset=csv", "dataset.table=Sitzungen 2024.csv", *QUICK, "dataset.folds=leave_one_speaker_out"),
        'dataset.columns={path: Audio Datei, emotion: "Gefühl", speaker: "Wer?"}',
        "dataset.labels={seltsam: null}",
    )
    assert run.returncode == 0, run.stderr
    found = read_result(tmp_path)
    assert found["dataset"] == "Sitzungen 2024"
    assert found["classes"] == ["happy", "sad", "angry"]
    assert found["test_part"] == "Sprecherin 0"
    assert (found["n_test"], found["n_train"] + found["n_dev"]) == (4, 14)
    assert found["audit"]["verdict"] == "clean"


def test_report_uses_the_sessions_of_a_table(seenet_train, seenet_report, tmp_path: Path):
    """Intervals are over sessions, and the report lists differences from the paper."""
    rows = []
    for k in range(24):
        write_noise(tmp_path / f"{k}.wav", k)
        rows.append(f"{k}.wav,{('angry', 'happy')[k % 2]},s{k // 4},{k // 8}")
    (tmp_path / "t.csv").write_text("path,emotion,speaker,session\n" + "\n".join(rows) + "\n")
    settings = ("dataset=csv", "dataset.table=t.csv", "dataset.folds=leave_one_session_out", "protocol=paper")
    run = seenet_train(*settings, "trainer=cpu", "trainer.max_epochs=1", "data.batch_size=8")
    assert run.returncode == 0, run.stderr
    sessions = {}
    for path in tmp_path.glob("outputs/*/fold*/clean/predictions.csv"):
        with path.open(newline="", encoding="utf-8") as file:
            sessions |= {row["speaker"]: row["session"] for row in csv.DictReader(file)}
    assert sessions == {f"s{k}": str(k // 2) for k in range(6)}
    assert seenet_report("outputs", "--no-audio").returncode == 0
    page = next(tmp_path.rglob("index.html")).read_text(encoding="utf-8")
    assert "Intervals and tests are over sessions" in page
    for words in ("Fidelity to the paper", "8 = 8 clips × 1 batch × 1 process", "its first 6 s, as for every clip"):
        assert words in page, words


def write_emobox(folder: Path) -> None:
    """Write two folds of EmoDB as in EmoBox, which divides clips, not speakers."""
    tests: dict[int, list[str]] = {1: [], 2: []}
    for speaker in ("03", "08", "09", "10"):
        for letter, emotion in (("W", "angry"), ("F", "happy"), ("T", "sad")):
            for take in (1, 2):
                wav = f"downloads/emodb/wav/{speaker}a0{take}{letter}a.wav"
                write_noise(folder / wav, len(tests[1]) + 100 * take)
                entry = {"key": Path(wav).stem, "dataset": "emodb", "wav": wav, "sample_rate": 16000}
                tests[take].append(json.dumps({**entry, "num_frame": 2400, "length": 0.15, "emo": emotion}))
    for fold in (1, 2):
        lists = folder / "data" / "emodb" / f"fold_{fold}"
        lists.mkdir(parents=True)
        (lists / f"emodb_test_fold_{fold}.jsonl").write_text("\n".join(tests[fold]) + "\n")
        (lists / f"emodb_train_fold_{fold}.jsonl").write_text("\n".join(tests[3 - fold]) + "\n")


def test_emobox_trains_when_its_leak_is_accepted(config, tmp_path: Path, capsys):
    write_emobox(tmp_path)
    arguments = ("dataset=emobox", "dataset.corpus=emodb", f"dataset.lists={tmp_path / 'data'}", *QUICK)
    arguments += (f"output_dir={tmp_path / 'outputs'}",)
    with pytest.raises(SeenetError, match=r"fold 0 leaks: 4 speaker\(s\) in both"):
        run_experiment(config(*arguments))
    run_experiment(config(*arguments, "protocol=paper", "protocol.allow_leaks=[speaker]"))
    assert "the audit found leaks that protocol.allow_leaks accepts" in capsys.readouterr().out
    found = read_result(tmp_path)
    assert (found["dataset"], found["test_part"]) == ("emobox-emodb", "fold_1")
    assert (found["n_train"], found["n_test"]) == (12, 12)
    assert found["audit"]["verdict"] == "leaks allowed"


def test_folder_corpus_trains_without_speakers(config, tmp_path: Path, capsys):
    for k in range(30):
        write_noise(tmp_path / "clips" / ("angry", "sad")[k % 2] / f"{k}.wav", k)
    arguments = ("dataset=folder", f"dataset.root={tmp_path / 'clips'}", *QUICK, f"output_dir={tmp_path / 'outputs'}")
    with pytest.raises(SeenetError, match="requires the speaker of every clip"):
        run_experiment(config(*arguments))
    run_experiment(config(*arguments, "dataset.folds=clips5", "protocol=paper"))
    assert "speaker independence is not proved" in capsys.readouterr().out
    assert read_result(tmp_path)["audit"]["verdict"] == "speakers unknown"


@pytest.mark.parametrize("count", [1, 16])
def test_clip_folds_reject_counts_above_the_clips_of_a_class(config, tmp_path: Path, count: int):
    for k in range(30):
        write_noise(tmp_path / ("angry", "sad")[k % 2] / f"{k}.wav", k)
    cfg = config("dataset=folder", f"dataset.root={tmp_path}", "dataset.folds=clips5")
    manifest, _, indices = load_corpus(cfg)
    tests = [split.test for split in build_scheme(cfg).splits(manifest, indices)]
    assert sorted(np.concatenate(tests).tolist()) == list(range(30))
    assert {len(test) for test in tests} == {6}
    cfg.dataset.schemes.clips5.count = count
    with pytest.raises(SeenetError, match=f"{count} folds cannot be made of 15 clips of a class"):
        build_scheme(cfg).splits(manifest, indices)


OWN = ("生气", "very happy", "سعيد")


def test_classes_of_the_user_train_and_appear_in_the_report(seenet_train, seenet_report, tmp_path: Path):
    rate = 16000
    time = np.arange(rate // 2) / rate
    lines = []
    for k in range(18):
        soundfile.write(tmp_path / f"{k}.wav", 0.2 * np.sin(2 * np.pi * (110 + 20 * k) * time), rate)
        lines.append(f"{k}.wav,{OWN[k % 3]},s{k // 3}")
    (tmp_path / "t.csv").write_text("path,emotion,speaker\n" + "\n".join(lines), encoding="utf-8")
    run = seenet_train(
        *("dataset=csv", f"dataset.table={tmp_path / 't.csv'}", 'classes=["生气","very happy","سعيد"]', "fold=0"),
        *("dataset.folds=leave_one_speaker_out", "trainer=cpu", "trainer.max_epochs=1", "data.batch_size=8"),
    )
    assert run.returncode == 0, run.stderr
    assert "生气 6, very happy 6, سعيد 6" in run.stdout
    (result,) = tmp_path.glob("outputs/*/fold0/clean/result.json")
    found = json.loads(result.read_text(encoding="utf-8"))
    assert found["classes"] == list(OWN)
    header = (result.parent / "predictions.csv").read_text(encoding="utf-8").splitlines()[0]
    assert header.endswith("p_生气,p_very happy,p_سعيد")
    report = seenet_report("outputs")
    assert report.returncode == 0, report.stderr
    assert "Glyph" not in report.stderr
    page = Path(tmp_path / "outputs/report/index.html").read_text(encoding="utf-8")
    assert all(word in page for word in OWN)
