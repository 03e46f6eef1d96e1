"""Vocabulary, manifest and votes."""

from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seenet.core.errors import SeenetError, one_line
from seenet.corpora.manifest import Manifest, Utterance, build_table, read_manifest, write_manifest
from seenet.corpora.vocabulary import resolve_classes
from seenet.corpora.votes import vote_distribution


def test_resolve_classes_has_the_order_of_seenet():
    assert resolve_classes("four") == ("happy", "neutral", "sad", "angry")
    assert resolve_classes("eight")[4:] == ("calm", "disgust", "fearful", "surprised")
    assert resolve_classes("all", ["sad", "bored", "happy"]) == ("happy", "sad", "bored")
    assert resolve_classes(["sad", "happy"]) == ("happy", "sad"), "the vocabulary defines the order"
    assert resolve_classes(["生气", "happy"]) == ("生气", "happy"), "the list defines the order of other words"


@pytest.mark.parametrize("classes", ["five", ["happy"], ["happy", "happy"], ["happy", ""], ["happy", "no_agreement"]])
def test_resolve_classes_rejects_invalid_classes(classes):
    with pytest.raises(SeenetError):
        resolve_classes(classes)
    with pytest.raises(SeenetError, match="at least two"):
        resolve_classes("all", ["sad", "sad"])


def test_manifest_is_equal_after_a_csv_round_trip(tmp_path: Path):
    rows = [
        Utterance("a,b", "ä ö/x.wav", "sad", text='she answered "no"\nand left', valence=2.5),
        Utterance("c", "c.wav", "happy"),
    ]
    write_manifest(build_table(rows), tmp_path / "m.csv")
    back = Manifest("x", tmp_path, read_manifest(tmp_path / "m.csv"))
    pd.testing.assert_frame_equal(back.table, Manifest("x", tmp_path, rows).table)
    assert [astuple(row)[:-5] for row in back] == [astuple(row)[:-5] for row in rows]
    assert back[0].valence == 2.5
    assert np.isnan(back[1].valence)
    (tmp_path / "m.csv").write_text("path,emotion\n")
    with pytest.raises(SeenetError, match="expected"):
        read_manifest(tmp_path / "m.csv")


def test_manifest_rejects_invalid_rows(tmp_path: Path):
    row = Utterance("a", "a.wav", "sad")
    with pytest.raises(SeenetError, match="empty"):
        Manifest("x", tmp_path, [])
    with pytest.raises(SeenetError, match="'a' twice: 'a.wav' and 'b.wav'"):
        Manifest("x", tmp_path, [row, Utterance("a", "b.wav", "sad")])
    with pytest.raises(SeenetError, match="no label for the utterance 'a'"):
        Manifest("x", tmp_path, [Utterance("a", "a.wav", "")])


def test_merge_labels_changes_the_digest(tmp_path: Path):
    rows = [Utterance("a", "a.wav", "calm"), Utterance("b", "b.wav", "sad")]
    manifest = Manifest("x", tmp_path, rows)
    merged = manifest.merge_labels({"calm": "neutral"})
    assert [row.emotion for row in merged] == ["neutral", "sad"]
    assert merged.digest() != manifest.digest()
    moved = Manifest("x", tmp_path / "elsewhere", [Utterance("a", "q/a.wav", "calm"), rows[1]])
    assert moved.digest() == manifest.digest(), "the location on disk does not matter"
    with pytest.raises(SeenetError, match="dataset.merge"):
        manifest.merge_labels({"calm": "peaceful"})


def test_one_line_is_never_empty():
    assert one_line(OSError("no route\n  to host")) == "no route to host"
    assert one_line(TimeoutError()) == "TimeoutError"


def test_vote_distribution_gives_shares_of_classes():
    assert vote_distribution("angry:2 sad:1 other:1", ["sad", "angry", "happy"]) == [1 / 3, 2 / 3, 0]
    assert vote_distribution("other:3", ["sad", "angry"]) == [0, 0]
    assert vote_distribution("", ["sad"]) == [0]


def test_unknown_values_have_code_minus_one():
    rows = [
        Utterance("a", "a", "sad", "s2"),
        Utterance("b", "b", "happy", ""),
        Utterance("c", "c", "no_agreement", "s1"),
    ]
    manifest = Manifest("x", Path(), rows)
    assert manifest.codes("speaker").tolist() == [1, -1, 0]
    assert manifest.codes("session").tolist() == [-1, -1, -1]
    assert manifest.counts() == {"happy": 1, "sad": 1, "no_agreement": 1}
    assert resolve_classes("all", manifest.counts()) == ("happy", "sad")
