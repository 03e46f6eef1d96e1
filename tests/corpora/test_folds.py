"""Folds are disjoint, reproducible and stratified, and the audit finds planted leaks."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from seenet.core.errors import SeenetError
from seenet.corpora.folds import Fold, choose_folds, make_folds
from seenet.corpora.leak_audit import audit_leaks
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.protocols import Paper, Strict
from seenet.corpora.split_schemes import GivenSplit, LeaveOneOut, SpeakerFolds, SpeakerLists
from seenet.corpora.synthetic.corpus import read
from seenet.training.run import run_experiment
from support.console import SMALL


@pytest.fixture
def manifest() -> Manifest:
    rows = [
        Utterance(f"u{s}{e}{c}", f"{s}/{e}{c}.wav", e, speaker=str(s))
        for s in range(1, 13)
        for e in ("happy", "neutral", "sad", "angry")
        for c in range(3)
    ]
    return Manifest("toy", Path("/toy"), rows)


def all_rows(manifest: Manifest) -> np.ndarray:
    return np.arange(len(manifest))


def digests(manifest: Manifest) -> list[str]:
    return [row.utterance for row in manifest]


@pytest.mark.parametrize("scheme", [SpeakerFolds(3), LeaveOneOut("speaker"), SpeakerLists([[1, 2, 3], range(4, 13)])])
@pytest.mark.parametrize("protocol", [Strict(), Paper()])
def test_parts_are_speaker_disjoint_and_complete(manifest, scheme, protocol):
    folds = make_folds(manifest, all_rows(manifest), scheme, protocol)
    tested = np.concatenate([fold.test for fold in folds])
    assert sorted(tested) == list(range(len(manifest))), "every clip is tested once"
    for fold in folds:

        def speakers(part):
            return {manifest[i].speaker for i in part}

        assert not speakers(fold.train) & speakers(fold.test)
        assert not speakers(fold.train) & speakers(fold.dev)
        if protocol.selection == "test":
            assert fold.dev is fold.test
        else:
            assert not speakers(fold.dev) & speakers(fold.test)
            assert len(fold.train) + len(fold.dev) + len(fold.test) == len(manifest)
            assert {manifest[i].emotion for i in fold.dev} == {"happy", "neutral", "sad", "angry"}
        assert audit_leaks(manifest, digests(manifest), fold, protocol)["verdict"] == "clean"


def test_folds_are_reproducible_by_seed(manifest):
    def dev_parts(split_seed: int, seed: int) -> list[list[int]]:
        folds = make_folds(manifest, all_rows(manifest), SpeakerFolds(3, seed), Strict(split_seed=split_seed))
        return [fold.dev.tolist() for fold in folds]

    assert dev_parts(0, 0) == dev_parts(0, 0)
    assert dev_parts(0, 0) != dev_parts(1, 0)
    assert dev_parts(0, 0) != dev_parts(0, 1)


def test_leave_one_out_sorts_speakers_by_number(manifest):
    folds = make_folds(manifest, all_rows(manifest), LeaveOneOut("speaker"), Paper())
    assert [manifest[fold.test[0]].speaker for fold in folds] == [str(k) for k in range(1, 13)]


def test_default_corpus_has_three_folds(config):
    manifest = read(speakers=6, clips=2)
    folds = make_folds(manifest, all_rows(manifest), SpeakerFolds(3), Strict())
    assert len(folds) == 3
    assert [len(fold.test) for fold in folds] == [16, 16, 16]


def test_strict_holds_out_complete_sessions(manifest):
    rows = [replace(row, session=f"s{(int(row.speaker) - 1) // 2}") for row in manifest]
    sessions = Manifest("toy", Path("/toy"), rows)
    thirds = SpeakerLists([[1, 2], range(3, 9), range(9, 13)])
    fold = make_folds(sessions, all_rows(sessions), thirds, Strict())[0]
    assert audit_leaks(sessions, digests(sessions), fold, Strict())["session"] == 0


def test_audit_finds_a_planted_speaker(manifest):
    fold = make_folds(manifest, all_rows(manifest), SpeakerFolds(3), Strict())[0]
    leaking = Fold(0, np.append(fold.train, fold.test[0]), fold.dev, fold.test[1:])
    with pytest.raises(SeenetError, match=r"1 speaker.*train and test.*allow_leaks=\[speaker\]"):
        audit_leaks(manifest, digests(manifest), leaking, Strict())
    verdict = audit_leaks(manifest, digests(manifest), leaking, Strict(allow_leaks=["speaker"]))
    assert verdict["verdict"] == "leaks allowed"
    assert verdict["speaker"] == 1


def test_audit_finds_a_planted_waveform(manifest):
    fold = make_folds(manifest, all_rows(manifest), SpeakerFolds(3), Strict())[0]
    planted = digests(manifest)
    planted[fold.dev[3]] = planted[fold.train[5]]
    with pytest.raises(SeenetError, match=f"1 waveform.*train and dev.*'{manifest[fold.dev[3]].utterance}'"):
        audit_leaks(manifest, planted, fold, Strict())


@pytest.mark.parametrize("kind", ["session", "file"])
def test_audit_finds_a_planted_session_or_file(manifest, kind):
    fold = make_folds(manifest, all_rows(manifest), SpeakerFolds(3), Strict())[0]
    rows = [replace(row, session=f"s{row.speaker}") for row in manifest]
    source, target = fold.train[0], fold.test[0]
    field = "path" if kind == "file" else "session"
    rows[target] = replace(rows[target], **{field: getattr(rows[source], field)})
    with pytest.raises(SeenetError, match=f"{kind}.*train and test"):
        audit_leaks(Manifest("toy", Path("/toy"), rows), digests(manifest), fold, Strict())


def test_audit_finds_a_development_part_equal_to_the_test_part(manifest):
    fold = make_folds(manifest, all_rows(manifest), SpeakerFolds(3), Strict())[0]
    with pytest.raises(SeenetError, match="dev and test"):
        audit_leaks(manifest, digests(manifest), replace(fold, dev=fold.test), Strict())


def test_audit_finds_leaks_despite_an_unknown_speaker(manifest):
    fold = make_folds(manifest, all_rows(manifest), SpeakerFolds(3), Strict())[0]
    rows = list(manifest)
    rows[fold.dev[0]] = replace(rows[fold.dev[0]], speaker="")
    partly = Manifest("toy", Path("/toy"), rows)
    verdict = audit_leaks(partly, digests(partly), fold, Strict())
    assert (verdict["speaker"], verdict["verdict"]) == ("unknown", "speakers unknown")
    leaking = Fold(0, np.append(fold.train, fold.test[0]), fold.dev, fold.test[1:])
    with pytest.raises(SeenetError, match="1 speaker.*train and test"):
        audit_leaks(partly, digests(partly), leaking, Strict())


def test_audit_reports_unknown_sessions(manifest):
    fold = make_folds(manifest, all_rows(manifest), SpeakerFolds(3), Strict())[0]
    assert audit_leaks(manifest, digests(manifest), fold, Strict())["session"] == "unknown"


def test_speaker_schemes_reject_unknown_speakers(manifest):
    mute = Manifest("mute", Path("/x"), [replace(row, speaker="") for row in manifest])
    for scheme in (SpeakerFolds(3), LeaveOneOut("speaker"), SpeakerLists([[1]])):
        with pytest.raises(SeenetError, match="but mute lacks it"):
            make_folds(mute, all_rows(mute), scheme, Strict())


def test_strict_rejects_a_single_training_speaker(manifest):
    two = np.array([i for i, row in enumerate(manifest) if row.speaker in ("1", "2")])
    with pytest.raises(SeenetError, match="protocol=paper"):
        make_folds(manifest, two, LeaveOneOut("speaker"), Strict()).outline(0)
    assert len(make_folds(manifest, two, LeaveOneOut("speaker"), Paper())) == 2


def test_speaker_lists_require_each_speaker_once(manifest):
    for lists in ([[1, 2]], [[1, 2], range(2, 13)]):
        with pytest.raises(SeenetError, match="in [02] folds"):
            make_folds(manifest, all_rows(manifest), SpeakerLists(lists), Paper())


def test_speaker_folds_reject_more_folds_than_speakers(manifest):
    with pytest.raises(SeenetError, match="13 folds.*2 to 12"):
        make_folds(manifest, all_rows(manifest), SpeakerFolds(13), Paper())


def test_choose_folds_accepts_all_numbers_and_lists():
    assert choose_folds("all", 3) == [0, 1, 2]
    assert choose_folds(1, 3) == [1]
    assert choose_folds([2, 0, 2], 3) == [0, 2]
    for wrong in (3, -1, "first", [0, 5], True):
        with pytest.raises(SeenetError, match="0 to 2"):
            choose_folds(wrong, 3)


@pytest.mark.parametrize("protocol", [Strict, Paper])
@pytest.mark.parametrize("scheme", [SpeakerFolds(3), LeaveOneOut("speaker")])
def test_audit_finds_planted_leaks_in_each_protocol(manifest, scheme, protocol):
    fold = make_folds(manifest, all_rows(manifest), scheme, protocol())[0]
    assert audit_leaks(manifest, digests(manifest), fold, protocol())["verdict"] == "clean"
    moved = replace(fold, train=np.append(fold.train, fold.test[0]), test=fold.test[1:])
    if protocol.selection == "test":
        moved = replace(moved, dev=moved.test)
    with pytest.raises(SeenetError, match="1 speaker.*in both train and test"):
        audit_leaks(manifest, digests(manifest), moved, protocol())
    planted = digests(manifest)
    planted[fold.test[0]] = planted[fold.train[0]]  # the same samples under another name
    with pytest.raises(SeenetError, match="1 waveform.*in both train and test"):
        audit_leaks(manifest, planted, fold, protocol())


def test_strict_keeps_speakers_with_a_shared_session_together(manifest):
    """Sessions are known for some speakers only; speakers with a shared session stay together."""
    sessions = {"1": "a", "2": "a", "3": "b", "4": "b", "5": "c"}
    rows = [replace(row, session=sessions.get(row.speaker, "")) for row in manifest]
    mixed = Manifest("toy", Path("/toy"), rows)
    scheme = SpeakerLists([[12], [str(k) for k in range(1, 12)]])
    fold = Strict().make_fold(0, mixed, scheme.splits(mixed, all_rows(mixed))[0])
    parts = [{mixed[i].speaker for i in part} for part in (fold.train, fold.dev)]
    for pair in ({"1", "2"}, {"3", "4"}):
        assert sum(bool(part & pair) for part in parts) == 1
    assert audit_leaks(mixed, digests(mixed), fold, Strict())["verdict"] == "clean"


def test_given_split_makes_folds_from_a_column():
    parts = ["train", "dev", "test1", "test2"] * 2
    rows = [Utterance(str(k), f"{k}.wav", "sad", str(k), split=part) for k, part in enumerate(parts)]
    manifest = Manifest("toy", Path("/toy"), rows)
    folds = make_folds(manifest, all_rows(manifest), GivenSplit(), Strict())
    assert [(f.name, f.train.tolist(), f.dev.tolist(), f.test.tolist(), f.training) for f in folds] == [
        ("test1", [0, 4], [1, 5], [2, 6], 0),
        ("test2", [0, 4], [1, 5], [3, 7], 0),
    ]
    folds = make_folds(manifest, all_rows(manifest), GivenSplit(), Paper())
    found = [(f.train.tolist(), f.dev.tolist(), f.training) for f in folds]
    assert found == [([0, 1, 4, 5], [2, 6], 0), ([0, 1, 4, 5], [3, 7], 1)]
    named = Manifest("toy", Path("/toy"), [replace(row, split=f"fold {row.split}") for row in rows])
    folds = make_folds(named, all_rows(named), GivenSplit(), Paper())
    assert [fold.name for fold in folds] == ["fold dev", "fold test1", "fold test2", "fold train"]
    wrong = Manifest("toy", Path("/toy"), [replace(row, split=row.split.replace("dev", "other")) for row in rows])
    with pytest.raises(SeenetError, match="'other'"):
        make_folds(wrong, all_rows(wrong), GivenSplit(), Strict())


def test_speaker_folds_stratify_a_large_corpus_on_a_sample(manifest, monkeypatch: pytest.MonkeyPatch):
    """No speaker is divided, and every clip is tested once."""
    monkeypatch.setattr("seenet.corpora.split_schemes._MAX_STRATIFIED_CLIPS", 20)
    tests = [split.test for split in SpeakerFolds(3).splits(manifest, all_rows(manifest))]
    assert sorted(np.concatenate(tests).tolist()) == list(range(len(manifest)))
    speakers = [{manifest[i].speaker for i in test} for test in tests]
    assert sum(map(len, speakers)) == 12


def test_audit_ignores_silent_clips(manifest):
    fold = make_folds(manifest, all_rows(manifest), SpeakerFolds(3), Strict())[0]
    numbers = np.arange(1, len(manifest) + 1)
    numbers[[fold.train[0], fold.test[0]]] = 0
    assert audit_leaks(manifest, numbers, fold, Strict())["verdict"] == "clean"
    assert audit_leaks(manifest, numbers, fold, Strict())["waveform"] == 0


def test_speaker_folds_reject_too_few_clips():
    rows = [Utterance(str(k), f"{k}.wav", ("sad", "happy")[k % 2], str(k)) for k in range(6)]
    with pytest.raises(SeenetError, match="5 balanced parts cannot be made of 6 clips: a class has at most 3"):
        SpeakerFolds(5).splits(Manifest("tiny", Path("/x"), rows), np.arange(6))


class CountingStrict(Strict):
    """Strict protocol that counts its selections of a development part."""

    count = 0

    def make_fold(self, *args):
        CountingStrict.count += 1
        return super().make_fold(*args)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> type[CountingStrict]:
    monkeypatch.setattr(CountingStrict, "count", 0)
    return CountingStrict


def test_folds_are_made_on_access(counted):
    rows = [Utterance(f"u{k}", f"{k}.wav", ("happy", "sad")[k % 2], f"s{k:03d}") for k in range(200)]
    folds = make_folds(Manifest("x", Path("/x"), rows), np.arange(200), LeaveOneOut("speaker"), counted())
    folds = folds.without([5])
    assert (len(folds), len(folds.planned)) == (200, 200)
    assert [fold.name for fold in folds.planned] == [f"s{k:03d}" for k in range(200)]
    assert [fold.training for fold in folds.planned] == list(range(200))
    assert [len(fold.test) for fold in folds.planned] == [int(k != 5) for k in range(200)]
    assert len(folds.outline(7).train) == 198
    assert counted.count == 0
    fold = folds[7]
    assert counted.count == 1
    assert (fold.number, fold.name, fold.training, fold.test.tolist()) == (7, "s007", 7, [7])
    assert len(fold.train) + len(fold.dev) == 198


def test_folds_are_a_sequence(manifest):
    folds = make_folds(manifest, all_rows(manifest), SpeakerFolds(3), Strict())
    assert [fold.number for fold in folds] == [0, 1, 2]
    assert [fold.number for fold in folds[1:]] == [1, 2]
    assert folds[-1].number == 2
    with pytest.raises(IndexError):
        folds[3]


def test_run_makes_only_the_trained_folds(config, counted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("seenet.corpora.protocols.Strict", counted)
    overrides = (*SMALL, "trainer.max_epochs=1", "dataset.folds=leave_one_speaker_out", f"output_dir={tmp_path}")
    (folder,) = run_experiment(config(*overrides, "fold=4"))
    assert counted.count == 1
    result = json.loads((folder / "result.json").read_text())
    assert (result["fold"], result["n_folds"], result["trained_fold"]) == (4, 6, 4)
    assert result["audit"]["verdict"] == "clean"
    assert result["n_train"] + result["n_dev"] == 40
