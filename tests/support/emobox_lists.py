"""Lists of EmoBox in miniature: entries, lists of folds, label maps and lists of speakers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

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


def build_entry(corpus: str, clip: Clip, **more: object) -> dict[str, object]:
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
    lines = [json.dumps(build_entry(corpus, clip, **more)) for clip in clips]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_map(data: Path, corpus: str, meanings: Mapping[str, str], name: str = "label_map.json") -> None:
    (data / corpus).mkdir(parents=True, exist_ok=True)
    (data / corpus / name).write_text(json.dumps(meanings, indent=4), encoding="utf-8")


def write_speakers(data: Path, corpus: str, speakers: Mapping[str, str]) -> None:
    lines = [
        f"{corpus}-{key} 1 {speaker} 0 1.0 <id={corpus}-{key},lang=en,spk={speaker},emotion=Joy> Joy"
        for key, speaker in speakers.items()
    ]
    (data / corpus / "data.seg.wrd.stm").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_emobox(data: Path) -> Path:
    """Write EmoDB in five folds and CREMA-D in one; both divide clips, not speakers."""
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
