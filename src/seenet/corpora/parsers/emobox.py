"""The lists of EmoBox: 32 corpora with published folds (Ma et al. 2024, github.com/emo-box/EmoBox, folder `data`)."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from seenet.core.errors import SeenetError, one_line
from seenet.corpora.manifest import Manifest
from seenet.corpora.parsers._files import as_on_disk
from seenet.corpora.parsers._label_files import read_text
from seenet.corpora.parsers._spellings import (
    GENDERS,
    SPELLINGS,
    SPLITS,
    emotions_of,
    merged_into_other,
    plain,
    speakers_of,
)

SPEAKERS = {
    "aesdd": r" \((\d+)\)[^/]*$",
    "ased": r"-(\d+)\.wav$",
    "asvpesd": r"/\d\d-\d\d-\d\d-\d+-\d+-(\d+)-[^/]*$",
    "cafe": r"/(\d\d)-[A-Z]-\d-\d",
    "casia": r"casia/([^/]+)/",
    "cremad": r"/(\d{4})_[A-Z]{3}_",
    "emodb": r"/(\d\d)[ab]\d\d[A-Z]",
    "emovdb": r"emovdb/([a-z]+)_",
    "emovo": r"/[a-z]{3}-([mf]\d)-",
    "enterface": r"/s_?(\d+)_",
    "esd": r"/(\d{4})_\d{6}",
    "iemocap": r"/Ses0(\d)[FM]_[^/]*_([FM])[^_/]*$",
    "jlcorpus": r"/((?:fe)?male\d)_",
    "mead": r"mead/([MW]\d+)/",
    "oreau": r"/(\d\d)[a-z]\d\d[A-Z]",
    "polish": r"/([a-z]\d)\.[a-z]_",
    "ravdess": r"-(\d\d)\.wav$",
    "savee": r"/(DC|JE|JK|KL)_",
    "shemo": r"/([FM]\d\d)[A-Z]",
    "subesco": r"/([FM]_\d\d)_",
    "tess": r"/([OY]A)F?_",
    "turevdb": r"/(\d+)_[a-z]+_",
    "urdu": r"/(S[FM]\d+)_",
}
"""Where the paths of a corpus say who speaks. Other corpora name speakers in `data.seg.wrd.stm` or nowhere."""

PEOPLE = {"cremad": "crema_d", "msppodcast": "msp_podcast"}
"""Corpora whose speakers seenet's own parser knows under another name of the corpus."""

GENDER_WORDS = {*GENDERS, "child", "children", "boy", "girl"}
"""What `data.seg.wrd.stm` has in place of a speaker, e.g. for MESD: a gender is no speaker."""

LANGUAGES = {
    **dict.fromkeys(("cremad", "emns", "emovdb", "enterface", "iemocap", "jlcorpus", "mead", "meld"), "en"),
    **dict.fromkeys(("msppodcast", "ravdess", "savee", "tess"), "en"),
    **dict.fromkeys(("casia", "m3ed", "mer2023"), "zh"),
    **dict.fromkeys(("emodb", "pavoque"), "de"),
    **dict.fromkeys(("emovo", "emozionalmente"), "it"),
    **dict.fromkeys(("cafe", "oreau"), "fr"),
    **{"aesdd": "el", "ased": "am", "mesd": "es", "polish": "pl", "resd": "ru", "shemo": "fa", "subesco": "bn"},
    **{"turevdb": "tr", "urdu": "ur"},
}


def read(
    corpus: str | None = None,
    lists: str | None = None,
    root: str | None = None,
    speaker: str | None = None,
    labels: dict[str, str | None] | None = None,
) -> Manifest:
    """The clips of one corpus, with the published folds as their `split`.

    With several folds that is the fold that tests the clip; with one, `train`, `dev` or `test…`. Speakers are what the
    paths say, or else `data.seg.wrd.stm`, so that the audit finds the lists that share speakers.

    Args:
        corpus: the name of its folder in `lists`, e.g. `emodb`.
        lists: EmoBox's folder `data`.
        root: what the lists' paths, `downloads/…`, start from; None is the folder that holds `lists`.
        speaker: a regular expression whose groups are the speaker, searched for in the path; None takes the one of
            `SPEAKERS`, or else the corpus' `data.seg.wrd.stm`.
        labels: meanings of labels, before the corpus' `label_map.json`; null leaves the clips out.

    Raises:
        SeenetError: no such folder, corpus or list, a line that is none, a label of unknown meaning, or folds that do
            not test each clip once and train on the rest.
    """
    if lists is None or not Path(lists).expanduser().is_dir():
        raise SeenetError(f"dataset=emobox needs dataset.lists=FOLDER, the folder data of EmoBox, not '{lists}'")
    home = Path(lists).expanduser().resolve()
    there = sorted(child.name for child in home.iterdir() if (child / "fold_1").is_dir())
    if corpus not in there:
        raise SeenetError(
            f"dataset.corpus={corpus}: expected one of {', '.join(there) or f'none: {home} holds no lists'}"
        )
    folder = home.parent if root is None else Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise SeenetError(f"dataset.root='{root}' is not a folder; give the one that holds downloads")
    rows = _divided(_lists(home / corpus, corpus), home / corpus)
    meanings = _label_map(home / corpus)
    emotions = emotions_of(rows["emotion"], {**meanings, **(labels or {})}, f"'{home / corpus}'")
    merged = merged_into_other(rows["emotion"].map(meanings).fillna(rows["emotion"]), emotions)
    rows["emotion"] = emotions
    rows = rows[rows["emotion"].notna()].copy()
    rows["path"] = as_on_disk(folder, rows["path"])
    rows["language"] = LANGUAGES.get(corpus, "")
    rule = SPEAKERS.get(corpus)
    if speaker or (rule and any(re.search(rule, path) for path in rows["path"])):
        rows["speaker"] = speakers_of(rows["path"], speaker or rule)
    else:
        rows["speaker"] = rows["utterance"].map(_listed_speakers(home / corpus)).fillna("")
    return Manifest(f"emobox-{corpus}", folder, rows, people=PEOPLE.get(corpus, corpus), parser="emobox", **merged)


def _listed_speakers(folder: Path) -> dict[str, str]:
    """Who speaks each clip, by `spk=` of `data.seg.wrd.stm`; empty where the corpus has no such file.

    A gender is no speaker (MESD), nor is the clip's own name (MER2023, RESD).
    """
    path = folder / "data.seg.wrd.stm"
    if not path.is_file():
        return {}
    listed = re.findall(r"<id=(.*),lang=[^,]*,spk=(.*),emotion=", read_text(path))
    return {
        clip: speaker
        for clip, speaker in listed
        if plain(speaker) not in GENDER_WORDS and clip != f"{folder.name}-{speaker}"
    }


def _lists(folder: Path, corpus: str) -> dict[int, dict[str, pd.DataFrame]]:
    """The lists of each fold by their part: train, valid, test, and so on."""
    folds: dict[int, dict[str, pd.DataFrame]] = {}
    # Some lists are there twice: `…_fold_1.jsonl`, and an older `…_fold1.jsonl`, which comes first in this order.
    for path in sorted(folder.glob("fold_*/*.jsonl"), key=lambda p: ("_fold_" in p.name, p.name)):
        match = re.fullmatch(rf"{re.escape(corpus)}_([a-z]+\d*)_fold_?(\d+)\.jsonl", path.name)
        if match:
            folds.setdefault(int(match[2]), {})[match[1]] = _read_list(path)
    return dict(sorted(folds.items()))


def _read_list(path: Path) -> pd.DataFrame:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        try:
            entry = json.loads(line)
            # Older lists say audio and label.
            clip = (entry["key"], entry.get("wav") or entry["audio"], entry.get("emo") or entry["label"])
            times = (math.nan if entry.get(name) is None else float(entry[name]) for name in ("start_time", "end_time"))
            rows.append((*map(str, clip), *times))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise SeenetError(f"'{path}' line {number}: no entry of key, wav and emo ({one_line(error)})") from error
    table = pd.DataFrame(rows, columns=["utterance", "path", "emotion", "start", "end"])
    return table.astype({"start": "float64", "end": "float64"})


def _parts(folds: Mapping[int, Mapping[str, pd.DataFrame]], folder: Path) -> dict[str, pd.DataFrame]:
    """Lists that together are the corpus: train, dev and test of a single fold, else what each fold tests."""
    if len(folds) != 1:
        lacking = [k for k, lists in folds.items() if "test" not in lists] or ([] if folds else [1])
        if lacking:
            raise SeenetError(f"'{folder}' lacks the test list of fold {lacking[0]}")
        return {f"fold_{k}": lists["test"] for k, lists in folds.items()}
    parts = {SPLITS.get(part, part): listed for lists in folds.values() for part, listed in lists.items()}
    numbered = {key for part, listed in parts.items() if re.fullmatch(r"test\d+", part) for key in listed["utterance"]}
    if "test" in parts and set(parts["test"]["utterance"]) <= numbered:
        del parts["test"]  # MER2023 has its first test list under two names
    if "train" not in parts or not any(part.startswith("test") for part in parts):
        raise SeenetError(f"'{folder}' lacks a train or a test list; it has {', '.join(parts)}")
    return parts


def _divided(folds: Mapping[int, Mapping[str, pd.DataFrame]], folder: Path) -> pd.DataFrame:
    """All clips, each with the part, or the fold, that it is given to."""
    parts = _parts(folds, folder)
    rows = pd.concat([listed.assign(split=part) for part, listed in parts.items()], ignore_index=True)
    twice = rows["utterance"][rows["utterance"].duplicated()]
    if len(twice):
        where = ", ".join(rows["split"][rows["utterance"] == twice.iloc[0]])
        raise SeenetError(f"'{folder}' gives the clip '{twice.iloc[0]}' to two parts: {where}")
    for k, lists in folds.items():
        trained = {key for part, listed in lists.items() if part != "test" for key in listed["utterance"]}
        rest = set(rows["utterance"][rows["split"] != f"fold_{k}"])
        if len(folds) > 1 and trained and trained != rest:
            raise SeenetError(
                f"fold {k} of '{folder}' does not train on all that it does not test: "
                f"{len(rest - trained)} clips lack, {len(trained - rest)} are too many"
            )
    return rows


def _label_map(folder: Path) -> dict[str, str]:
    """What the corpus' codes mean: shared names, or else the corpus' own words; EMOVO's file has another name."""
    for path in (folder / "label_map.json", folder / "label_dict.json"):
        if path.is_file():
            try:
                meanings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                return {code: SPELLINGS.get(plain(meaning), plain(meaning)) for code, meaning in meanings.items()}
            except (ValueError, TypeError, AttributeError) as error:
                raise SeenetError(f"'{path}' is no map of labels to emotions ({one_line(error)})") from error
    return {}
