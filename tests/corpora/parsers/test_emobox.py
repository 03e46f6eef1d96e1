"""EmoBox lists in miniature: syntax, folds, labels and invalid lists."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.folds import make_folds
from seenet.corpora.leak_audit import audit_leaks
from seenet.corpora.loading import DATASET_SETTINGS
from seenet.corpora.parsers.emobox import read
from seenet.corpora.protocols import Paper, Strict
from support.emobox_lists import EMODB, write_emobox, write_list, write_map


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_emobox(tmp_path / "EmoBox" / "data")


def make_given_folds(manifest, config, protocol) -> list:
    scheme = instantiate_checked(config("dataset=emobox").dataset.schemes.given, "scheme")
    return make_folds(manifest, np.arange(len(manifest)), scheme, protocol)


def test_emodb_reads_through_its_yaml(config, data: Path):
    cfg = config("dataset=emobox", "dataset.corpus=emodb", f"dataset.lists={data}")
    manifest = instantiate_checked(cfg.dataset, "dataset", skip=DATASET_SETTINGS)
    assert manifest.counts() == {"happy": 8, "neutral": 8, "sad": 8, "angry": 8, "bored": 8}
    row = next(row for row in manifest if row.utterance == "emodb-08b02La")
    assert (row.path, row.emotion, row.speaker, row.language, row.split) == (
        "downloads/emodb/wav/08b02La.wav",
        "bored",
        "08",
        "de",
        "fold_2",
    )
    assert manifest.root == data.parent, "downloads is next to data"
    assert manifest.name == "emobox-emodb"
    assert [len(fold.test) for fold in make_given_folds(manifest, config, Paper())] == [8] * 5


def test_read_accepts_one_fold_with_a_development_part(config, data: Path):
    clips = [(f"dia{k}_utt0-{s}", f"{s}/dia{k}_utt0.mp4", "joy") for k, s in enumerate(["a", "a", "b", "c", "c", "c"])]
    for part, chosen in (("train", clips[:2]), ("valid", clips[2:3]), ("test", clips[3:])):
        write_list(data, "meld", part, 1, chosen)
    write_map(data, "meld", {"joy": "Happy"})
    manifest = read("meld", str(data))
    assert Counter(manifest.column("split")) == {"train": 2, "dev": 1, "test": 3}
    (fold,) = make_given_folds(manifest, config, Strict())
    assert (len(fold.train), len(fold.dev), len(fold.test)) == (2, 1, 3)
    assert audit_leaks(manifest, range(6), fold, Strict())["verdict"] == "speakers unknown"


def test_read_ignores_the_repeated_test_list_of_mer2023(config, data: Path):
    """The lists test1, test2 and test3 have an older format with other names for two fields."""
    clips = {part: [(f"{part}_{k}", f"{part}/{k}.avi", "worried") for k in range(3)] for part in ("train", "t1", "t2")}
    write_list(data, "mer2023", "train", 1, clips["train"])
    write_list(data, "mer2023", "test", 1, clips["t1"])
    for part, chosen in (("test1", clips["t1"]), ("test2", clips["t2"])):
        path = write_list(data, "mer2023", part, 1, chosen)
        path.write_text(path.read_text().replace('"wav":', '"audio":').replace('"emo":', '"label":'))
    write_map(data, "mer2023", {"worried": "Worried"})
    manifest = read("mer2023", str(data))
    assert Counter(manifest.column("split")) == {"train": 3, "test1": 3, "test2": 3}
    assert [len(fold.test) for fold in make_given_folds(manifest, config, Paper())] == [3, 3]
    assert set(manifest.column("emotion")) == {"worried"}, "a class outside the vocabulary, not 'other'"


def test_read_uses_the_newer_of_two_lists(data: Path):
    for part in ("train", "test"):
        write_list(data, "emodb", part, 1, [("old", "old.wav", "sad")], joint="")
    assert len(read("emodb", str(data))) == 40
    (data / "emodb" / "fold_1" / "emodb_test_fold_1.jsonl").unlink()
    with pytest.raises(
        SeenetError, match="fold 2 of .* does not train on exactly the clips that it does not test: 1 clips are missing"
    ):
        read("emodb", str(data))


def test_labels_of_the_corpus_override_the_spellings(data: Path):
    """The map of the corpus defines letters; the map of EMOVO has another name; numbers stay text."""
    for corpus, codes in (
        ("cafe", {"s": "Surprise", "c": "Angry", "p": "Fear"}),
        ("ased", {"s": "Sad", "S": "Sad"}),
        ("asvpesd", {"01": "Boredom", "12": "disappointment, disapproval", "17": "UnKnown"}),
        ("msppodcast", {"X": "No-agreement", "U": "Surprise"}),
        ("iemocap", {"exc": "Happy"}),
        ("emovo", {"gio": "Happy"}),
    ):
        for part in ("train", "test"):
            clips = [(f"{part}{code}", f"Ses01F_impro01_M00{k}/x/y.wav", code) for k, code in enumerate(codes)]
            write_list(data, corpus, part, 1, clips)
        write_map(data, corpus, codes, "label_dict.json" if corpus == "emovo" else "label_map.json")

    def found(corpus: str, **more) -> dict[str, str]:
        return {
            row.utterance.removeprefix(f"{corpus}-train"): row.emotion
            for row in read(corpus, str(data), speaker="(Ses)", **more)
            if "-train" in row.utterance
        }

    assert found("cafe") == {"s": "surprised", "c": "angry", "p": "fearful"}
    assert found("ased") == {"s": "sad", "S": "sad"}
    assert found("asvpesd") == {"01": "bored", "12": "disappointment, disapproval", "17": "no_agreement"}
    assert found("asvpesd", labels={"12": "frustrated", "17": None}) == {"01": "bored", "12": "frustrated"}
    assert found("msppodcast") == {"X": "no_agreement", "U": "surprised"}
    assert found("iemocap") == {"exc": "happy"}, "EmoBox's IEMOCAP counts excited as happy"
    assert found("iemocap", labels={"exc": "excited"}) == {"exc": "excited"}
    assert found("emovo") == {"gio": "happy"}


def test_read_finds_folders_in_another_unicode_form(data: Path):
    """The lists contain Oréau with a separate accent; a copy on disk may have one character."""
    for part, name in (("train", "12a07Ca"), ("test", "36a08Ca")):
        write_list(data, "oreau", part, 1, [(name, f"Ore\u0301auFR_02/{name}.wav", "C")])
        path = data.parent / "downloads" / "oreau" / "Or\u00e9auFR_02" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    write_map(data, "oreau", {"C": "Angry"})
    manifest = read("oreau", str(data))
    assert all(manifest.audio_path(k).is_file() for k in range(2))
    elsewhere = data.parent / "downloads"
    assert read("oreau", str(data), root=str(elsewhere)).root == elsewhere


def test_read_rejects_an_unknown_corpus(data: Path, config):
    with pytest.raises(SeenetError, match="dataset.corpus=emo-db: expected one of cremad, emodb$"):
        read("emo-db", str(data))
    with pytest.raises(SeenetError, match="dataset.corpus=track2: expected one of cremad, emodb$"):
        read("track2", str(data))
    with pytest.raises(SeenetError, match="dataset=emobox needs dataset.lists=FOLDER"):
        instantiate_checked(config("dataset=emobox").dataset, "dataset", skip=DATASET_SETTINGS)
    with pytest.raises(SeenetError, match="data of EmoBox, not '.*nowhere'"):
        read("emodb", str(data / "nowhere"))
    with pytest.raises(SeenetError, match="dataset.corpus=emodb: '.*' contains no lists"):
        read("emodb", str(data / "track2"))
    with pytest.raises(SeenetError, match="dataset.root='.*nowhere' is not a folder"):
        read("emodb", str(data), root=str(data / "nowhere"))


def test_read_rejects_invalid_folds(data: Path):
    extra = write_list(data, "emodb", "test", 2, [*EMODB[1::5], EMODB[0]])
    with pytest.raises(SeenetError, match="assigns the clip 'emodb-03a01Wa' to two parts: fold_1, fold_2"):
        read("emodb", str(data))
    extra.unlink()
    with pytest.raises(SeenetError, match="lacks the test list of fold 2"):
        read("emodb", str(data))
    write_list(data, "emodb", "test", 2, EMODB[1::5])
    write_list(data, "emodb", "train", 2, EMODB[2:])
    with pytest.raises(SeenetError, match="fold 2 of .*: 1 clips are missing, 7 are too many"):
        read("emodb", str(data))
    (data / "cremad" / "fold_1" / "cremad_train_fold_1.jsonl").unlink()
    with pytest.raises(SeenetError, match="lacks a train or a test list; it has test"):
        read("cremad", str(data))
    (data / "cremad" / "fold_1" / "cremad_test_fold_1.jsonl").unlink()
    with pytest.raises(SeenetError, match="lacks the test list of fold 1"):
        read("cremad", str(data))


def test_read_accepts_excerpts_of_longer_files(data: Path):
    """The published PAVOQUE lists contain excerpts."""
    for part, start in (("train", 12951.04), ("test", 13000.0)):
        clip = (f"m{part}", "pavoque.flac", "angry")
        write_list(data, "pavoque", part, 1, [clip], start_time=start, end_time=start + 5)
    found = {row.split: (row.path, row.start, row.end) for row in read("pavoque", str(data))}
    assert found["train"] == ("downloads/pavoque/pavoque.flac", 12951.04, 12956.04)
    assert found["test"][1:] == (13000.0, 13005.0)


def test_read_rejects_invalid_lines_and_labels(data: Path):
    path = data / "cremad" / "fold_1" / "cremad_test_fold_1.jsonl"
    original = path.read_text(encoding="utf-8")
    for line in ("{", '{"key": "x"}', "3", "[]"):
        path.write_text(original + line + "\n", encoding="utf-8")
        with pytest.raises(SeenetError, match="cremad_test_fold_1.jsonl' line 16: not an entry with key, wav and emo"):
            read("cremad", str(data))
    path.write_text(original.replace('"ANG"', '"GNA"'), encoding="utf-8")
    with pytest.raises(SeenetError, match=r"unknown meaning \(clips\): 'GNA'"):
        read("cremad", str(data))
    path.write_text(original, encoding="utf-8")
    write_map(data, "cremad", {"ANG": 3})
    with pytest.raises(SeenetError, match=r"label_map.json' is not a map of labels to emotions"):
        read("cremad", str(data))
    write_map(data, "cremad", ["Angry"])
    with pytest.raises(SeenetError, match="is not a map of labels"):
        read("cremad", str(data))


def test_labels_outside_the_vocabulary_are_classes_and_counted_when_merged(data: Path):
    clips = [(f"c{k}", f"male1_{k}.wav", ("angry", "assertive", "worried")[k % 3]) for k in range(9)]
    for part in ("train", "test"):
        write_list(data, "jlcorpus", part, 1, [(part + key, path, label) for key, path, label in clips])
    write_map(data, "jlcorpus", {"angry": "Angry", "assertive": "Assertive", "worried": "Worried"})
    manifest = read("jlcorpus", str(data))
    assert manifest.counts() == {"angry": 6, "assertive": 6, "worried": 6}
    merged = read("jlcorpus", str(data), labels={"assertive": "other"})
    assert merged.counts() == {"angry": 6, "other": 6, "worried": 6}
    assert (merged.merge, merged.merged_clips) == ({"assertive": "other"}, {"assertive": 6})
