"""EmoDB, CREMA-D, SAVEE, TESS and ESD: all published names, layouts and irregularities."""

import itertools
import string
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from seenet.core.errors import SeenetError
from seenet.core.instantiate import instantiate_checked
from seenet.corpora.folds import make_folds
from seenet.corpora.leak_audit import audit_leaks
from seenet.corpora.loading import DATASET_SETTINGS
from seenet.corpora.manifest import Manifest
from seenet.corpora.parsers import crema_d, emodb, esd, savee, tess
from seenet.corpora.protocols import Paper, Strict

EMODB_TEXTS = ("a01", "a02", "a04", "a05", "a07", "b01", "b02", "b03", "b09", "b10")
EMODB_SPEAKERS = ("03", "08", "09", "10", "11", "12", "13", "14", "15", "16")


def touch(root: Path, names: Iterable[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def list_emodb_names() -> list[str]:
    """Return as many names of each letter as in the published corpus."""
    counts = {"W": 127, "L": 81, "E": 46, "A": 69, "F": 71, "T": 62, "N": 79}
    places = [
        f"{speaker}{text}{{}}{version}"
        for version, text, speaker in itertools.product("abc", EMODB_TEXTS, EMODB_SPEAKERS)
    ]
    return [f"wav/{place.format(letter)}.wav" for letter, count in counts.items() for place in places[:count]]


def list_crema_d_names() -> list[str]:
    """Return 82 names for each of 91 actors, except twenty that are not published (here all of the last actor)."""
    sentences = crema_d.TEXTS
    names = []
    for actor in range(1001, 1092):
        missing = Counter({"ANG": 3, "DIS": 3, "FEA": 3, "HAP": 3, "SAD": 3, "NEU": 5} if actor == 1091 else {})
        for sentence, emotion in itertools.product(sentences, crema_d.EMOTIONS):
            levels = ("LO", "MD", "HI") if sentence == "IEO" and emotion != "NEU" else ("XX",)
            for level in levels:
                if missing[emotion]:
                    missing[emotion] -= 1
                else:
                    names.append(f"AudioWAV/{actor}_{sentence}_{emotion}_{level}.wav")
    names.remove("AudioWAV/1040_ITH_SAD_XX.wav")
    return [*names, "AudioWAV/1040_ITH_SAD_X.wav"]


def list_savee_names() -> list[str]:
    counts = {"sa": 15, "su": 15, "a": 15, "d": 15, "f": 15, "h": 15, "n": 30}
    return [
        f"{speaker}/{letters}{number:02d}.wav"
        for speaker, (letters, count) in itertools.product(("DC", "JE", "JK", "KL"), counts.items())
        for number in range(1, count + 1)
    ]


def list_tess_names() -> list[str]:
    words = ["".join(pair) for pair in itertools.product(string.ascii_lowercase, string.ascii_lowercase[:8])][:200]
    return [f"{s}_{word}_{e}.wav" for s, word, e in itertools.product(("OAF", "YAF"), words, tess.EMOTIONS)]


def list_esd_names(split: Callable[[int], str] = lambda number: "") -> list[str]:
    """Return four names per speaker and emotion; the hundreds of the number depend on the emotion."""
    return [
        f"{speaker:04d}/{emotion}/{split(number)}{speaker:04d}_{350 * place + number:06d}.wav"
        for speaker in range(1, 21)
        for place, emotion in enumerate(("Neutral", "Angry", "Happy", "Sad", "Surprise"))
        for number in range(1, 5)
    ]


def read_as(config, choice: str, root: Path, *overrides: str) -> Manifest:
    """Read a corpus through its YAML file."""
    cfg = config(f"dataset={choice}", f"dataset.root={root}", *overrides)
    return instantiate_checked(cfg.dataset, "dataset", skip=DATASET_SETTINGS)


def measure_folds(config, manifest: Manifest, choice: str, scheme: str | None = None) -> list[int]:
    """Return the sizes of the test parts of a scheme; assert that each clip is tested once."""
    dataset = config(f"dataset={choice}").dataset
    scheme = instantiate_checked(dataset.schemes[scheme or dataset.folds], "scheme")
    folds = make_folds(manifest, np.arange(len(manifest)), scheme, Paper())
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(manifest)))
    for fold in folds:
        assert audit_leaks(manifest, range(len(manifest)), fold, Paper())["verdict"] == "clean"
    return [len(fold.test) for fold in folds]


@pytest.mark.parametrize(
    ("choice", "names"),
    [
        ("emodb", list_emodb_names),
        ("crema_d", list_crema_d_names),
        ("savee", list_savee_names),
        ("tess", list_tess_names),
    ],
)
def test_complete_corpus_matches_the_known_counts(config, tmp_path: Path, choice: str, names):
    manifest = read_as(config, choice, touch(tmp_path, names()))
    known = config(f"dataset={choice}").dataset.known
    assert len(manifest) == known.clips
    assert len(set(manifest.column("speaker"))) == known.speakers
    assert manifest.counts() == dict(known.emotions)
    assert manifest.unlabelled == ()


@pytest.mark.parametrize(
    ("choice", "folder"),
    [("emodb", "EmoDB"), ("crema_d", "CREMA-D"), ("savee", "SAVEE"), ("tess", "TESS"), ("esd", "ESD")],
)
def test_corpus_is_found_below_seenet_data(config, tmp_path: Path, monkeypatch, choice: str, folder: str):
    names = ("03a01Wa.wav", "1001_DFA_ANG_XX.wav", "DC_sa01.wav", "OAF_lid_fear.wav", "0001/Angry/0001_000351.wav")
    touch(tmp_path / folder, names)
    monkeypatch.setenv("SEENET_DATA", str(tmp_path))
    assert len(instantiate_checked(config(f"dataset={choice}").dataset, "dataset", skip=DATASET_SETTINGS)) == 1


@pytest.mark.parametrize("module", [emodb, crema_d, savee, tess, esd])
def test_read_rejects_a_folder_without_clips(tmp_path: Path, module):
    touch(tmp_path, ["03-01-03-01-01-01-01.wav", "notes.txt"])
    with pytest.raises(SeenetError, match="no clip such as .* dataset.root must contain"):
        module.read(str(tmp_path))
    with pytest.raises(SeenetError, match="is not a folder"):
        module.read(str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [
        (emodb, "03a01Xa", "03a01Xa.wav': unknown emotion 'X'; expected one of W, L, E, A, F, T, N"),
        (emodb, "04a01Wa", "unknown speaker '04'"),
        (emodb, "03a09Wa", "unknown text 'a09'"),
        (crema_d, "1001_DFA_CAL_XX", "unknown emotion 'CAL'"),
        (crema_d, "1001_ABC_ANG_XX", "unknown sentence 'ABC'"),
        (crema_d, "1092_DFA_ANG_XX", "unknown actor 1092; expected 1001 to 1091"),
        (savee, "DC_s01", "unknown emotion 's'"),
        (tess, "OAF_lid_calm", "unknown emotion 'calm'"),
        (esd, "0001/Calm/0001_000351", "unknown emotion 'Calm'"),
        (esd, "0021/Angry/0021_000351", "unknown speaker 0021; expected 0001 to 0020"),
    ],
)
def test_read_names_the_file_of_an_unknown_code(tmp_path: Path, module, name: str, words: str):
    with pytest.raises(SeenetError, match=words):
        module.read(str(touch(tmp_path, [f"{name}.wav"])))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (emodb, "wav/03a01Wa"),
        (crema_d, "AudioWAV/1001_DFA_ANG_XX"),
        (savee, "AudioData/DC/sa01"),
        (tess, "OAF_fear/OAF_lid_fear"),
        (esd, "0001/Angry/0001_000351"),
    ],
)
def test_read_lists_other_names_and_counts_copies_once(tmp_path: Path, module, name: str):
    names = [f"{name}.wav", f"copy/{name}.WAV", "copy/noise 1.wav", "._03a01Wa.wav"]
    manifest = module.read(str(touch(tmp_path, names)))
    assert [row.path for row in manifest] == [f"{name}.wav"], "the copy nearest to the root"
    assert manifest.unlabelled == ("copy/noise 1.wav",)


def test_emodb_fields_and_folds(config, tmp_path: Path):
    manifest = emodb.read(str(touch(tmp_path, list_emodb_names())))
    rows = {row.utterance: row for row in manifest}
    row = rows["03a04Ta"]
    assert (row.path, row.emotion, row.speaker, row.gender, row.language) == (
        "wav/03a04Ta.wav",
        "sad",
        "03",
        "male",
        "de",
    )
    assert row.text == "Heute abend könnte ich es ihm sagen."
    genders = {row.speaker: row.gender for row in manifest}
    assert [s for s in EMODB_SPEAKERS if genders[s] == "male"] == ["03", "10", "11", "12", "15"]
    tested = measure_folds(config, manifest, "emodb")
    assert (len(tested), sum(tested)) == (10, 535)


@pytest.mark.parametrize("below", ["", "wav"])
def test_emodb_uses_the_gold_standard_of_version_2(config, tmp_path: Path, below: str):
    names = list_emodb_names()
    doubtful = [name.replace("a.wav", "e.wav") for name in names[:20]]
    touch(tmp_path, [*names, *doubtful])
    for part, listed in (("train", names[:300]), ("test", names[300:])):
        lines = ["file,emotion,emotion.confidence", *(f"{name},happiness,0.9" for name in listed)]
        (tmp_path / f"db.emotion.categories.{part}.gold_standard.csv").write_text("\n".join(lines), encoding="utf-8")
    manifest = read_as(config, "emodb", tmp_path / below)
    assert manifest.counts() == dict(config("dataset=emodb").dataset.known.emotions)
    assert manifest.unlabelled == (), "clips of the corpus that are excluded on purpose"
    assert len(read_as(config, "emodb", tmp_path / below, "dataset.low_agreement=true")) == 555


def test_crema_d_fields_and_folds(config, tmp_path: Path):
    touch(tmp_path, list_crema_d_names())
    manifest = crema_d.read(str(tmp_path))
    assert measure_folds(config, manifest, "crema_d") == [1476, 1476, 1476, 1476, 1538]
    rows = {row.utterance: row for row in manifest}
    row = rows["1040_ITH_SAD_X"]
    assert (row.emotion, row.speaker, row.text, row.language) == (
        "sad",
        "1040",
        "I think I have a doctor's appointment",
        "en",
    )
    assert {row.gender for row in manifest} == {""}


@pytest.mark.parametrize("below", ["", "AudioWAV"])
def test_crema_d_reads_genders_from_the_table_of_actors(tmp_path: Path, below: str):
    touch(tmp_path, [f"AudioWAV/{actor}_IEO_NEU_XX.wav" for actor in (1001, 1002, 1003)])
    table = tmp_path / "VideoDemographics.csv"
    table.write_text("ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,x,y\n1002,21,Female,x,y\n", encoding="utf-8")
    assert [row.gender for row in crema_d.read(str(tmp_path / below))] == ["male", "female", ""]
    table.write_text("Actor,Gender\n1001,Male\n", encoding="utf-8")
    with pytest.raises(SeenetError, match="has the columns Actor, Gender; expected ActorID and Sex"):
        crema_d.read(str(tmp_path / below))
    table.write_text("", encoding="utf-8")
    with pytest.raises(SeenetError, match="VideoDemographics.csv' cannot be read"):
        crema_d.read(str(tmp_path / below))


def test_savee_reads_both_layouts(config, tmp_path: Path):
    published = savee.read(str(touch(tmp_path / "published", (f"AudioData/{name}" for name in list_savee_names()))))
    flat = savee.read(str(touch(tmp_path / "flat", (name.replace("/", "_") for name in list_savee_names()))))
    assert published.digest() == flat.digest()
    rows = {row.utterance: row for row in published}
    assert [rows[f"JE_{letters}01"].emotion for letters in ("sa", "su", "a", "n")] == [
        "sad",
        "surprised",
        "angry",
        "neutral",
    ]
    assert (rows["KL_sa15"].path, rows["KL_sa15"].gender) == ("AudioData/KL/sa15.wav", "male")
    assert measure_folds(config, flat, "savee") == [120, 120, 120, 120]


def test_tess_fields_and_folds(config, tmp_path: Path):
    folder = "TESS Toronto emotional speech set data"
    names = [name for name in list_tess_names() if name != "OAF_aa_neutral.wav"]
    touch(tmp_path / folder, [*names, "OA_aa_neutral.wav"])
    touch(tmp_path / folder / folder, names[:100])
    manifest = tess.read(str(tmp_path))
    assert measure_folds(config, manifest, "tess") == [1400, 1400]
    rows = {row.utterance: row for row in manifest}
    row = rows["OAF_aa_neutral"]
    assert (Path(row.path).name, row.speaker, row.gender) == ("OA_aa_neutral.wav", "OAF", "female")
    assert (rows["YAF_ba_ps"].emotion, rows["YAF_ba_ps"].text) == ("surprised", "Say the word ba")


def test_strict_rejects_tess_without_a_second_training_speaker(config, tmp_path: Path):
    manifest = tess.read(str(touch(tmp_path, list_tess_names()[:2800:7])))
    scheme = instantiate_checked(config("dataset=tess").dataset.schemes.leave_one_speaker_out, "scheme")
    with pytest.raises(SeenetError, match="choose protocol=paper"):
        make_folds(manifest, np.arange(len(manifest)), scheme, Strict()).outline(0)


def test_esd_fields_and_folds(config, tmp_path: Path):
    manifest = read_as(config, "esd", touch(tmp_path, list_esd_names()))
    assert manifest.counts() == dict.fromkeys(("happy", "neutral", "sad", "angry", "surprised"), 80)
    assert measure_folds(config, manifest, "esd") == [80] * 5
    assert measure_folds(config, manifest, "esd", "leave_one_language_out") == [200, 200]
    rows = {row.utterance: row for row in manifest}
    row = rows["0010_000351"]
    assert (row.path, row.emotion, row.speaker, row.language, row.split) == (
        "0010/Angry/0010_000351.wav",
        "angry",
        "0010",
        "zh",
        "",
    )
    assert rows["0011_000351"].language == "en"


@pytest.mark.parametrize(("language", "speakers"), [("zh", range(1, 11)), ("en", range(11, 21))])
def test_esd_selects_one_language(config, tmp_path: Path, language: str, speakers: range):
    manifest = read_as(config, "esd", touch(tmp_path, list_esd_names()), f"dataset.language={language}")
    assert sorted(set(manifest.column("speaker"))) == [f"{speaker:04d}" for speaker in speakers]
    assert measure_folds(config, manifest, "esd") == [40] * 5
    with pytest.raises(SeenetError, match="dataset.language=de: expected one of zh, en or null"):
        read_as(config, "esd", tmp_path, "dataset.language=de")


def test_esd_reads_the_official_parts(config, tmp_path: Path):
    parts = {1: "train/", 2: "train/", 3: "evaluation/", 4: "test/"}
    manifest = read_as(config, "esd", touch(tmp_path / "ESD", list_esd_names(parts.__getitem__)))
    assert Counter(manifest.column("split")) == {"train": 200, "dev": 100, "test": 100}
    scheme = instantiate_checked(config("dataset=esd").dataset.schemes.given, "scheme")
    (fold,) = make_folds(manifest, np.arange(400), scheme, Strict())
    assert (len(fold.train), len(fold.dev), len(fold.test)) == (200, 100, 100)
    with pytest.raises(SeenetError, match="20 speaker.* in both train and dev"):
        audit_leaks(manifest, range(400), fold, Strict())
    assert audit_leaks(manifest, range(400), fold, Strict(allow_leaks=["speaker"]))["verdict"] == "leaks allowed"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030"])
def test_esd_reads_transcripts_in_every_encoding(tmp_path: Path, encoding: str):
    touch(tmp_path, [f"0001/Angry/0001_00035{k}.wav" for k in (1, 2, 3)])
    touch(tmp_path, ["0011/Angry/0011_000351.wav"])
    lines = "0001_000351\t今天天气很好。\t生气\r\n0001_000352 他说 好 生气\r\n\r\n"
    (tmp_path / "0001" / "0001.txt").write_bytes(lines.encode(encoding))
    (tmp_path / "0011" / "0011.txt").write_bytes("0011_000351\tDéjà vu.\tAngry\n".encode("cp1252"))
    texts = [row.text for row in esd.read(str(tmp_path))]
    assert texts == ["今天天气很好。", "他说 好", "", "Déjà vu."]
