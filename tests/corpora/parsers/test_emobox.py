"""EmoBox's lists in miniature: its syntax, its folds, its spellings, and the speakers it shares."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.folds import make_folds
from seenet.corpora.leak_audit import audit_leaks
from seenet.corpora.loading import DATASET_SETTINGS
from seenet.corpora.parsers._spellings import extract_speakers
from seenet.corpora.parsers.emobox import SPEAKERS, read
from seenet.corpora.protocols import Paper, Strict

Clip = tuple[str, str, str]
"""Key, path below downloads/<corpus>, emotion as the list spells it."""

EMODB: list[Clip] = [
    (f"{speaker}{text}{letter}a", f"wav/{speaker}{text}{letter}a.wav", emotion)
    for speaker in ("03", "08", "09", "10")
    for text in ("a01", "b02")
    for letter, emotion in (("W", "anger"), ("L", "boredem"), ("N", "neutral"), ("T", "sad"), ("F", "happy"))
]
EMODB_MAP = {"anger": "Angry", "boredem": "Boredom", "happy": "Happy", "Neutral": "Neutral", "sad": "Sad"}
CREMAD: list[Clip] = [
    (f"{actor}-IEO-{emotion}-XX", f"AudioWAV/{actor}_IEO_{emotion}_XX.wav", emotion)
    for actor in range(1001, 1011)
    for emotion in ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
]
CREMAD_MAP = {"ANG": "Angry", "DIS": "Disgust", "FEA": "Fear", "HAP": "Happy", "NEU": "Neutral", "SAD": "Sad"}


def entry(corpus: str, clip: Clip, **more: object) -> dict[str, object]:
    key, path, emotion = clip
    return {
        "key": f"{corpus}-{key}",
        "dataset": corpus,
        "wav": f"downloads/{corpus}/{path}",
        "type": "raw",
        "sample_rate": 16000,
        "num_frame": 30045.0,
        "task": "category",
        "length": 1.8778125,
        "emo": emotion,
        "channel": 1,
        **more,
    }


def write_list(data: Path, corpus: str, part: str, fold: int, clips: Sequence[Clip], joint: str = "_", **more) -> Path:
    path = data / corpus / f"fold_{fold}" / f"{corpus}_{part}_fold{joint}{fold}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(entry(corpus, clip, **more)) for clip in clips]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_map(data: Path, corpus: str, meanings: Mapping[str, str], name: str = "label_map.json") -> None:
    (data / corpus).mkdir(parents=True, exist_ok=True)
    (data / corpus / name).write_text(json.dumps(meanings, indent=4), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """EmoDB in five folds and CREMA-D in one; both deal clips, not speakers."""
    data = tmp_path / "EmoBox" / "data"
    for fold in range(5):
        test = EMODB[fold::5][::-1]
        write_list(data, "emodb", "test", fold + 1, test)
        write_list(data, "emodb", "train", fold + 1, [clip for clip in EMODB if clip not in test])
    write_map(data, "emodb", EMODB_MAP)
    write_list(data, "cremad", "test", 1, CREMAD[::4])
    write_list(data, "cremad", "train", 1, [clip for clip in CREMAD if clip not in CREMAD[::4]])
    write_map(data, "cremad", CREMAD_MAP)
    (data / "track2").mkdir()
    (data / "track2" / "SAVEE_selected_balenced.jsonl").touch()
    return data


def folds_of(manifest, config, protocol) -> list:
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
    assert manifest.root == data.parent, "downloads lies beside data"
    assert manifest.name == "emobox-emodb"
    assert [len(fold.test) for fold in folds_of(manifest, config, Paper())] == [8] * 5


@pytest.mark.parametrize(("corpus", "shared"), [("emodb", 4), ("cremad", 10)])
def test_audit_finds_speakers_that_lists_share(config, data: Path, corpus: str, shared: int):
    manifest = read(corpus, str(data))
    for fold in folds_of(manifest, config, Paper()):
        with pytest.raises(
            SeenetError, match=rf"{shared} speaker\(s\) in both train and test.*allow_leaks=\[speaker\]"
        ):
            audit_leaks(manifest, range(len(manifest)), fold, Paper())
        found = audit_leaks(manifest, range(len(manifest)), fold, Paper(allow_leaks=["speaker"]))
        assert (found["verdict"], found["speaker"]) == ("leaks allowed", shared)


def test_read_accepts_one_fold_with_a_development_part(config, data: Path):
    clips = [(f"dia{k}_utt0-{s}", f"{s}/dia{k}_utt0.mp4", "joy") for k, s in enumerate(["a", "a", "b", "c", "c", "c"])]
    for part, chosen in (("train", clips[:2]), ("valid", clips[2:3]), ("test", clips[3:])):
        write_list(data, "meld", part, 1, chosen)
    write_map(data, "meld", {"joy": "Happy"})
    manifest = read("meld", str(data))
    assert Counter(manifest.column("split")) == {"train": 2, "dev": 1, "test": 3}
    (fold,) = folds_of(manifest, config, Strict())
    assert (len(fold.train), len(fold.dev), len(fold.test)) == (2, 1, 3)
    assert audit_leaks(manifest, range(6), fold, Strict())["verdict"] == "speakers unknown"


def test_read_ignores_the_repeated_test_list_of_mer2023(config, data: Path):
    """Its lists test1, test2 and test3 are of an older make, with other names for two fields."""
    clips = {part: [(f"{part}_{k}", f"{part}/{k}.avi", "worried") for k in range(3)] for part in ("train", "t1", "t2")}
    write_list(data, "mer2023", "train", 1, clips["train"])
    write_list(data, "mer2023", "test", 1, clips["t1"])
    for part, chosen in (("test1", clips["t1"]), ("test2", clips["t2"])):
        path = write_list(data, "mer2023", part, 1, chosen)
        path.write_text(path.read_text().replace('"wav":', '"audio":').replace('"emo":', '"label":'))
    write_map(data, "mer2023", {"worried": "Worried"})
    manifest = read("mer2023", str(data))
    assert Counter(manifest.column("split")) == {"train": 3, "test1": 3, "test2": 3}
    assert [len(fold.test) for fold in folds_of(manifest, config, Paper())] == [3, 3]
    assert set(manifest.column("emotion")) == {"worried"}, "a word of its own, not 'other'"


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
    """A letter means what the corpus' map says; EMOVO's map has another name; numbers stay text."""
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


def test_read_finds_folders_in_another_unicode_form(data: Path):
    """The lists spell Oréau with a separate accent; a copy on disk may have one character."""
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
    """The published PAVOQUE lists are of this kind."""
    for part, start in (("train", 12951.04), ("test", 13000.0)):
        clip = (f"m{part}", "pavoque.flac", "angry")
        write_list(data, "pavoque", part, 1, [clip], start_time=start, end_time=start + 5)
    found = {row.split: (row.path, row.start, row.end) for row in read("pavoque", str(data))}
    assert found["train"] == ("downloads/pavoque/pavoque.flac", 12951.04, 12956.04)
    assert found["test"][1:] == (13000.0, 13005.0)


def test_read_rejects_invalid_lines_and_labels(data: Path):
    path = data / "cremad" / "fold_1" / "cremad_test_fold_1.jsonl"
    whole = path.read_text(encoding="utf-8")
    for line in ("{", '{"key": "x"}', "3", "[]"):
        path.write_text(whole + line + "\n", encoding="utf-8")
        with pytest.raises(SeenetError, match="cremad_test_fold_1.jsonl' line 16: not an entry with key, wav and emo"):
            read("cremad", str(data))
    path.write_text(whole.replace('"ANG"', '"GNA"'), encoding="utf-8")
    with pytest.raises(SeenetError, match=r"unknown meaning \(clips\): 'GNA'"):
        read("cremad", str(data))
    path.write_text(whole, encoding="utf-8")
    write_map(data, "cremad", {"ANG": 3})
    with pytest.raises(SeenetError, match=r"label_map.json' is not a map of labels to emotions"):
        read("cremad", str(data))
    write_map(data, "cremad", ["Angry"])
    with pytest.raises(SeenetError, match="is not a map of labels"):
        read("cremad", str(data))


def write_speakers(data: Path, corpus: str, speakers: Mapping[str, str]) -> None:
    lines = [
        f"{corpus}-{key} 1 {speaker} 0 1.0 <id={corpus}-{key},lang=en,spk={speaker},emotion=Joy> Joy"
        for key, speaker in speakers.items()
    ]
    (data / corpus / "data.seg.wrd.stm").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_speakers_come_from_the_stm_file_when_paths_have_none(data: Path):
    """Speakers with blanks and slashes are read whole; a clip that the file lacks has none."""
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
    """The file's `spk=Ses05F` is who wears the markers; the path says who speaks."""
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
    (fold,) = folds_of(read(corpus, str(data)), config, Paper())
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
