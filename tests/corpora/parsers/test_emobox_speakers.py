"""Speakers of EmoBox lists: patterns for paths, the file data.seg.wrd.stm, and shared speakers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.folds import make_folds
from seenet.corpora.leak_audit import audit_leaks
from seenet.corpora.parsers._spellings import extract_speakers
from seenet.corpora.parsers.emobox import SPEAKERS, read
from seenet.corpora.protocols import Paper
from support.emobox_lists import write_emobox, write_list, write_map, write_speakers


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_emobox(tmp_path / "EmoBox" / "data")


def make_given_folds(manifest, config, protocol) -> list:
    scheme = instantiate_checked(config("dataset=emobox").dataset.schemes.given, "scheme")
    return make_folds(manifest, np.arange(len(manifest)), scheme, protocol)


@pytest.mark.parametrize(("corpus", "shared"), [("emodb", 4), ("cremad", 10)])
def test_audit_finds_speakers_that_lists_share(config, data: Path, corpus: str, shared: int):
    manifest = read(corpus, str(data))
    for fold in make_given_folds(manifest, config, Paper()):
        with pytest.raises(
            SeenetError, match=rf"{shared} speaker\(s\) in both train and test.*allow_leaks=\[speaker\]"
        ):
            audit_leaks(manifest, range(len(manifest)), fold, Paper())
        found = audit_leaks(manifest, range(len(manifest)), fold, Paper(allow_leaks=["speaker"]))
        assert (found["verdict"], found["speaker"]) == ("leaks allowed", shared)


PATHS = [
    ("aesdd", "disgust/d10 (5).wav", "5"),
    ("aesdd", "anger/a06 (5)b.wav", "5"),
    ("ased", "02Fearful/f2-06-02-02-51.wav", "51"),
    ("asvpesd", "Audio/actor_39/03-02-03-021-10-39-03-01-00-13.wav", "39"),
    ("cafe", "CaFE_48k/Surprise/Faible/10-S-1-2.wav", "10"),
    ("casia", "zhaoquanyin/sad/232.wav", "zhaoquanyin"),
    ("cremad", "AudioWAV/1022_IWW_FEA_XX.wav", "1022"),
    ("emodb", "wav/03a01Wa.wav", "03"),
    ("emovdb", "jenie_Disgusted/disgust_169-190_0185.wav", "jenie"),
    ("emovo", "m1/pau-m1-l1.wav", "m1"),
    ("enterface", "subject 38/disgust/sentence 5/s38_di_5.avi", "38"),
    ("enterface", "subject 3/surprise/sentence 2/s_3_su_2.avi", "3"),
    ("enterface", "subject 6/s6_an.avi", "6"),
    ("esd", "0018/Surprise/0018_001749.wav", "0018"),
    ("iemocap", "Session5/sentences/wav/Ses05M_impro01/Ses05M_impro01_F023.wav", "5F"),
    ("iemocap", "Session5/sentences/wav/Ses05F_script01_1/Ses05F_script01_1_MXX0.wav", "5M"),
    ("jlcorpus", "Raw JL corpus (unchecked and unannotated)/JL(wav+txt)/female1_assertive_9a_2.wav", "female1"),
    ("mead", "M013/audio/sad/level_2/006.m4a", "M013"),
    ("oreau", "Ore\u0301auFR_02/m/sessc/12a07Ca.wav", "12"),
    ("oreau", "Oreau/m/sesss/07z03Sa.wav", "07"),
    ("polish", "m2.n_podaj_2.wav", "m2"),
    ("ravdess", "audio/Audio_Speech_Actors_01-24/Actor_21/03-01-04-01-01-01-21.wav", "21"),
    ("savee", "KL_n23.wav", "KL"),
    ("shemo", "male/M02N19.wav", "M02"),
    ("subesco", "F_04_SWARNALI_S_8_FEAR_1.wav", "F_04"),
    ("tess", "OAF_lose_happy.wav", "OA"),
    ("tess", "OA_bite_neutral.wav", "OA"),
    ("turevdb", "Sound Source/Calm/1984_sk_dil.wav", "1984"),
    ("urdu", "Angry/SM1_F15_A015.wav", "SM1"),
]


@pytest.mark.parametrize(("corpus", "path", "speaker"), PATHS)
def test_speaker_patterns_match_paths(corpus: str, path: str, speaker: str):
    paths = pd.Series([f"downloads/{corpus}/{path}"])
    assert extract_speakers(paths, SPEAKERS[corpus]).tolist() == [speaker]


def test_every_speaker_pattern_has_a_test():
    assert {corpus for corpus, _, _ in PATHS} == set(SPEAKERS)


def test_read_accepts_a_speaker_pattern_of_the_user(data: Path):
    assert set(read("emodb", str(data), speaker=r"([ab]\d\d)").column("speaker")) == {"a01", "b02"}
    with pytest.raises(SeenetError, match="dataset.speaker='.nobody.' matches no path"):
        read("emodb", str(data), speaker="(nobody)")


def test_speakers_come_from_the_stm_file_when_paths_have_none(data: Path):
    """Speakers may contain blanks and slashes; a clip that is not in the file has no speaker."""
    speakers = {"a.wav": "Mr.-Bing", "b": "dir (x)/who is it", "c": "王胜男", "d": "Mr.-Bing"}
    for part, keys in (("train", "a.wav b e"), ("test", "c d")):
        write_list(data, "meld", part, 1, [(key, f"{key}.mp4", "joy") for key in keys.split()])
    write_map(data, "meld", {"joy": "Happy"})
    write_speakers(data, "meld", speakers)
    found = {row.utterance.removeprefix("meld-"): row.speaker for row in read("meld", str(data))}
    assert found == {**speakers, "e": ""}


@pytest.mark.parametrize(
    ("corpus", "speakers"),
    [
        ("mesd", {"Anger_F_A_x": "Female", "Anger_M_A_x": "Male", "Anger_C_A_x": "Child"}),
        ("mer2023", {"sample_1": "sample_1", "sample_2": "sample_2"}),
        ("resd", {"32_happiness_h.wav": "32_happiness_h.wav", "16_sad_d.wav": "16_sad_d.wav"}),
        ("m3ed", {"x_1": "unknown", "x_2": "?"}),
    ],
)
def test_stm_genders_and_clip_names_are_no_speakers(data: Path, corpus: str, speakers: dict[str, str]):
    for part in ("train", "test"):
        write_list(data, corpus, part, 1, [(key + part, f"{key}.wav", "joy") for key in speakers])
    write_map(data, corpus, {"joy": "Happy"})
    lines = {k + part: v + part * (k == v) for k, v in speakers.items() for part in ("train", "test")}
    write_speakers(data, corpus, lines)
    assert set(read(corpus, str(data)).column("speaker")) == {""}


def test_speakers_in_paths_override_the_stm_file(data: Path):
    """`spk=Ses05F` in the file is the person with the markers; the path contains the speaker."""
    clip = ("Ses05F_impro01_M000", "Session5/sentences/wav/Ses05F_impro01/Ses05F_impro01_M000.wav", "exc")
    for part in ("train", "test"):
        write_list(data, "iemocap", part, 1, [(clip[0] + part, *clip[1:])])
    write_map(data, "iemocap", {"exc": "Happy"})
    write_speakers(data, "iemocap", {clip[0] + part: "Ses05F" for part in ("train", "test")})
    assert read("iemocap", str(data)).column("speaker").tolist() == ["5M", "5M"]


@pytest.mark.parametrize("corpus", ["emozionalmente", "emns", "turevdb", "asvpesd"])
def test_audit_finds_stm_speakers_that_lists_share(config, data: Path, corpus: str):
    paths = {"turevdb": "Sound Source/Calm/{}_sk_dil{}.wav", "asvpesd": "Audio/actor_{0}/03-01-09-01-06-{0}-02-{1}.wav"}
    path = paths.get(corpus, "audio/{}{}.wav")
    for part in ("train", "test"):
        clips = [(f"{who}{part}", path.format(who, part), "joy") for who in (11, 12)]
        write_list(data, corpus, part, 1, clips)
    write_map(data, corpus, {"joy": "Happy"})
    write_speakers(data, corpus, {f"{who}{part}": f"hash{who}" for who in (11, 12) for part in ("train", "test")})
    (fold,) = make_given_folds(read(corpus, str(data)), config, Paper())
    with pytest.raises(SeenetError, match=r"2 speaker\(s\) in both train and test"):
        audit_leaks(read(corpus, str(data)), range(4), fold, Paper())


def test_aesdd_speaker_numbers_have_one_form(data: Path):
    write_list(data, "aesdd", "train", 1, [("a05-1", "anger/a05 (1).wav", "a"), ("a06-2", "anger/a06 (2).wav", "a")])
    write_list(data, "aesdd", "test", 1, [("f10-01", "fear/f10 (01).wav", "a")])
    write_map(data, "aesdd", {"a": "Angry"})
    assert read("aesdd", str(data)).codes("speaker").tolist() == [0, 0, 1], "tested first"


def test_speakers_come_from_the_stm_file_when_no_path_matches(data: Path):
    for part in ("train", "test"):
        write_list(data, "turevdb", part, 1, [(f"x{part}", f"flat/clip {part}.wav", "joy")])
    write_map(data, "turevdb", {"joy": "Happy"})
    assert read("turevdb", str(data)).column("speaker").tolist() == ["", ""]
    write_speakers(data, "turevdb", {"xtrain": "1984", "xtest": "1984"})
    assert read("turevdb", str(data)).column("speaker").tolist() == ["1984", "1984"]


def test_emobox_and_parser_of_a_corpus_share_people(data: Path):
    assert read("cremad", str(data)).people == "crema_d"
    assert read("emodb", str(data)).people == "emodb"
