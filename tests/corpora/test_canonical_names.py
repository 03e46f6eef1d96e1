"""Canonical forms of speakers, sessions and files, in folds, in the audit and in joined corpora."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seenet.core.errors import SeenetError
from seenet.corpora.canonical_names import canonicalize_name, canonicalize_names, merge_spellings
from seenet.corpora.folds import make_folds
from seenet.corpora.joining import join_corpora
from seenet.corpora.leak_audit import audit_leaks
from seenet.corpora.manifest import OWN_PEOPLE, Manifest, Utterance
from seenet.corpora.protocols import Paper, Strict
from seenet.corpora.split_schemes import ClipFolds, GivenSplit, LeaveOneOut, SpeakerFolds, SpeakerLists


def build_manifest(speakers: list[str], name: str = "toy", root: Path = Path("/toy"), **more: object) -> Manifest:
    """Return a manifest with one clip per name and two alternating emotions."""
    rows = [Utterance(f"u{k}", f"{k}.wav", ("happy", "sad")[k % 2], speaker=s) for k, s in enumerate(speakers)]
    return Manifest(name, root, rows, **more)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ren\u00e9", "Rene\u0301"),
        ("Anna Lee", " anna \t LEE "),
        ("Anna Lee", "Anna\u00a0Lee"),
        ("Anna", "\u200bAnna\ufeff"),
        ("Straße", "STRASSE"),
        ("S1", "Ｓ１"),
        ("ﬁona", "Fiona"),
    ],
)
def test_canonical_form_ignores_unicode_form_case_and_blanks(one: str, other: str):
    assert canonicalize_name(one) == canonicalize_name(other) != ""


def test_canonical_form_keeps_different_names_apart():
    names = ["Anna", "Anne", "Anna L", "s1", "s01", "S 1", "阿娜", "Nana", "Nona", "Una", "1", "-2", "Unkel"]
    assert len(set(map(canonicalize_name, names))) == len(names)


@pytest.mark.parametrize(
    "word",
    [
        *("", " ", "?", "-", "--", "—", "_", "...", "Unknown", "UNKNOWN ", "<unk>", "[unknown]", "nan", "NaN", "NA"),
        *(
            "n/a",
            "N.A.",
            "#N/A",
            "None",
            "null",
            "not available",
            "Not-Known",
            "-1",
            "-1.0",
            "\u200b",
            "unbekannt",
            "anonymous",
        ),
    ],
)
def test_canonical_form_is_empty_for_placeholders(word: str):
    assert canonicalize_name(word) == ""
    assert build_manifest([word, "Anna"]).codes("speaker").tolist() == [-1, 0]


def test_canonical_names_drop_zero_padding_only_where_all_are_numbers():
    assert canonicalize_names(["1", "01", "001.0", "10", "", "?"]) == ["1", "1", "1", "10", "", ""]
    assert canonicalize_names(["1", "01", "Anna"]) == ["1", "01", "anna"]
    assert canonicalize_names(["1.5", "01"]) == ["1.5", "01"]


def test_merge_spellings_keeps_the_most_frequent_spelling():
    column = pd.Categorical(["anna", "Anna", "Bob", "ANNA", "Anna", "bob", None, "n/a"])
    values, notes = merge_spellings(column, "speaker")
    assert list(values) == ["Anna", "Anna", "Bob", "Anna", "Anna", "Bob", "", ""]
    assert notes == (
        "spellings that count as one speaker: 'Anna' = 'anna' = 'ANNA'; 'Bob' = 'bob'",
        "speaker 'n/a': counted as unknown (1 clips)",
    )


def test_merge_spellings_shows_the_code_points_of_spellings_that_look_alike():
    _, notes = merge_spellings(pd.Categorical(["René", "Rene\u0301", "rené"]), "session")
    assert notes == (r"spellings that count as one session: 'Ren\xe9' = 'Rene\u0301' = 'rené'",)


def test_merge_spellings_lists_five_of_many():
    names = [name for k in range(9) for name in (f"Speaker {k}", f"speaker {k}")]
    (note,) = merge_spellings(pd.Categorical(names), "speaker")[1]
    assert note.endswith("; and 4 more")
    assert note.count(" = ") == 5


def test_manifest_merges_sessions_and_has_no_notes_on_clean_names():
    rows = [Utterance("a", "a", "sad", "s1", session="01"), Utterance("b", "b", "sad", "s2", session="1")]
    manifest = Manifest("x", Path(), rows)
    assert manifest.codes("session").tolist() == [0, 0]
    assert manifest.codes("speaker").tolist() == [0, 1]
    assert [note.split(":")[0] for note in manifest.notes] == ["spellings that count as one session"]
    assert manifest.merge_labels({"sad": "happy"}).notes == manifest.notes
    assert build_manifest(["s1", "S2", "s10"]).notes == ()
    assert build_manifest(["s1", "S2", "s10"]).column("speaker").tolist() == ["s1", "S2", "s10"]


@pytest.mark.parametrize("scheme", [SpeakerFolds(2), LeaveOneOut("speaker")])
def test_schemes_keep_a_person_of_many_spellings_in_one_fold(scheme):
    speakers = ["Anna", "anna", "ANNA ", "Anna", "Bob", "bob", "Bob", "BOB"]
    folds = make_folds(build_manifest(speakers), np.arange(8), scheme, Paper())
    assert sorted(sorted(fold.test.tolist()) for fold in folds) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_strict_holds_out_all_spellings_of_a_person():
    speakers = [name for k in range(6) for name in (f"Speaker {k}", f"speaker  {k}")] * 2
    manifest = build_manifest(speakers)
    for fold in make_folds(manifest, np.arange(24), LeaveOneOut("speaker"), Strict()):
        parts = [{speakers[i].casefold().split()[1] for i in part} for part in (fold.train, fold.dev, fold.test)]
        assert sum(map(len, parts)) == 6, "nobody is in two parts"


def test_speaker_lists_name_speakers_in_any_spelling():
    manifest = build_manifest(["01", "2.0", "003", "4"])
    folds = make_folds(manifest, np.arange(4), SpeakerLists([[1, "02", 2], ["3", 4]]), Paper())
    assert [fold.test.tolist() for fold in folds] == [[0, 1], [2, 3]]
    named = build_manifest(["Anna Lee", "Bob", "s01"])
    folds = make_folds(named, np.arange(3), SpeakerLists([["anna lee"], ["BOB", "S01"]]), Paper())
    assert [fold.test.tolist() for fold in folds] == [[0], [1, 2]]
    with pytest.raises(SeenetError, match="speaker 's01' is in 0 folds"):
        make_folds(named, np.arange(3), SpeakerLists([["anna lee"], ["BOB", "s1"]]), Paper())


def test_audit_finds_a_person_of_two_spellings():
    splits = ["train", "train", "test"]
    for pair in (("Ren\u00e9", "Rene\u0301"), ("07", "7.0"), ("Anna", "ANNA")):
        rows = [
            Utterance(f"u{k}", f"{k}.wav", "sad", speaker, split=split)
            for k, (speaker, split) in enumerate(zip((pair[0], "8", pair[1]), splits, strict=True))
        ]
        manifest = Manifest("toy", Path("/toy"), rows)
        (fold,) = make_folds(manifest, np.arange(3), GivenSplit(), Paper())
        with pytest.raises(SeenetError, match=r"1 speaker\(s\) in both train and test"):
            audit_leaks(manifest, [1, 2, 3], fold, Paper())


def test_audit_counts_placeholders_as_unknown():
    manifest = build_manifest(["Unknown", "unknown", "NA", "n/a", "Anna", "Bob"])
    fold = make_folds(manifest, np.arange(6), ClipFolds(2), Paper())[0]
    assert audit_leaks(manifest, range(1, 7), fold, Paper())["verdict"] == "speakers unknown"


def test_manifest_files_are_targets_of_paths(tmp_path: Path):
    (tmp_path / "d" / "e").mkdir(parents=True)
    for name in ("a", "b"):
        (tmp_path / "d" / f"{name}.wav").write_bytes(name.encode())
    (tmp_path / "d" / "link.wav").symlink_to("a.wav")
    (tmp_path / "folder").symlink_to("d")
    os.link(tmp_path / "d" / "a.wav", tmp_path / "d" / "hard.wav")
    same = ["d/a.wav", "./d/a.wav", "d/e/../a.wav", "d//a.wav", "d/link.wav", "folder/a.wav", "d/hard.wav"]
    paths = [*same, str(tmp_path / "d" / "a.wav"), "d/b.wav", "d/gone.wav", "d/./gone.wav", "d/gone2.wav"]
    rows = [Utterance(f"u{k}", path, "sad") for k, path in enumerate(paths)]
    assert Manifest("x", tmp_path, rows).files.tolist() == [0] * 8 + [1, 2, 2, 3]


def test_join_merges_speakers_of_the_users_tables():
    train, test = (build_manifest(s, n, people=OWN_PEOPLE) for n, s in (("a", ["1", "02"]), ("b", ["2.0", "3"])))
    joined = join_corpora("a_to_b", {"train": train, "test": test})
    assert joined.column("speaker").tolist() == ["a+b/1", "a+b/02", "a+b/02", "a+b/3"]
    assert joined.notes == ("a+b: spellings that count as one speaker: '02' = '2.0'",)
    assert joined.column("utterance").tolist() == ["a/u0", "a/u1", "b/u0", "b/u1"]
    (fold,) = make_folds(joined, np.arange(4), GivenSplit(), Paper())
    with pytest.raises(SeenetError, match=r"speaker 'a\+b/02'; .*other_people: true"):
        audit_leaks(joined, [1, 2, 3, 4], fold, Paper())


def test_join_keeps_corpora_of_different_people_apart():
    published = build_manifest(["1", "2"], "ravdess")
    own = build_manifest(["1", "2"], "mine", Path("/mine"), people=OWN_PEOPLE)
    others = build_manifest(["1", "2"], "theirs", Path("/theirs"), people="")
    joined = join_corpora("all", {"train": published, "test1": own, "test2": others})
    assert joined.column("speaker").tolist() == [f"{n}/{k}" for n in ("ravdess", "mine", "theirs") for k in (1, 2)]
    for fold in make_folds(joined, np.arange(6), GivenSplit(), Paper()):
        assert audit_leaks(joined, range(1, 7), fold, Paper())["verdict"] == "clean"


def test_join_notes_names_common_to_own_and_published_corpora():
    published, own = (
        build_manifest(["1", "2", "3"], "ravdess"),
        build_manifest(["01", "2.0", "4"], "mine", people=OWN_PEOPLE),
    )
    assert join_corpora("x", {"train": published, "test": own}).notes == (
        "both mine and ravdess name '1', '2': counted as different speakers",
    )
    own.people = ""
    assert join_corpora("x", {"train": published, "test": own}).notes == ()
    other = build_manifest(["1", "2"], "iemocap")
    assert join_corpora("x", {"train": published, "test": other}).notes == ()


def test_join_merges_people_of_joined_corpora():
    first = build_manifest(["s1", "s2"], "a", people=OWN_PEOPLE)
    inner = join_corpora("inner", {"a": first, "iemocap": build_manifest(["s1"], "iemocap")})
    outer = join_corpora("outer", {"train": inner, "test": build_manifest(["S1"], "b", people=OWN_PEOPLE)})
    assert outer.column("speaker").tolist() == ["a+b/s1", "a+b/s2", "iemocap/s1", "a+b/s1"]
    assert outer.column("utterance").tolist() == ["inner/a/u0", "inner/a/u1", "inner/iemocap/u0", "b/u0"]
    inner.people = ""
    separate = join_corpora("outer", {"train": inner, "test": build_manifest(["S1"], "b", people=OWN_PEOPLE)})
    assert separate.column("speaker").tolist() == ["a/s1", "a/s2", "iemocap/s1", "b/S1"]


def test_join_keeps_people_apart_when_corpora_differ_only_in_case():
    joined = join_corpora(
        "both", {"train": build_manifest(["1"], "Mine", people=""), "test": build_manifest(["1"], "mine", people="")}
    )
    assert joined.codes("speaker").tolist() == [0, 1]
    assert joined.notes == ()


def test_join_finds_files_and_waveforms_that_corpora_share(tmp_path: Path):
    for name in ("0.wav", "1.wav"):
        (tmp_path / name).write_bytes(name.encode())
    train = build_manifest(["a", "b"], "one", tmp_path)
    test = build_manifest(["c", "d"], "two", tmp_path)
    joined = join_corpora("both", {"train": train, "test": test})
    (fold,) = make_folds(joined, np.arange(4), GivenSplit(), Paper())
    with pytest.raises(SeenetError, match=r"2 file\(s\) in both train and test"):
        audit_leaks(joined, [1, 2, 3, 4], fold, Paper())
    with pytest.raises(SeenetError, match=r"1 waveform\(s\) in both train and test"):
        audit_leaks(joined, [1, 2, 3, 1], fold, Paper(allow_leaks=["file"]))
