"""Parser for the lists of EmoBox: published folds of 32 corpora.

Source: Ma et al. 2024, folder `data` of github.com/emo-box/EmoBox.
"""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from seenet.core.errors import SeenetError, one_line
from seenet.corpora.manifest import Manifest
from seenet.corpora.parsers._files import match_unicode_form
from seenet.corpora.parsers._label_files import read_text
from seenet.corpora.parsers._spellings import (
    GENDERS,
    SPELLINGS,
    SPLITS,
    describe_merges,
    extract_speakers,
    normalize,
    translate_emotions,
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
"""Patterns of the speaker in paths, by corpus. Other corpora name speakers in `data.seg.wrd.stm` or nowhere."""

PEOPLE = {"cremad": "crema_d", "msppodcast": "msp_podcast"}
"""Names of corpora in the parsers of seenet, if they differ from those of EmoBox: the speakers are the same."""

GENDER_WORDS = {*GENDERS, "child", "children", "boy", "girl"}
"""Genders that `data.seg.wrd.stm` lists in place of speakers, e.g. for MESD."""

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
    """Read the clips of one corpus, with the published folds as their `split`.

    `split` is the fold that tests the clip; for a single fold it is `train`, `dev` or `test…`. Speakers come from the
    paths, or otherwise from `data.seg.wrd.stm`: the audit then finds lists that share speakers.

    Args:
        corpus: name of the folder of the corpus in `lists`, e.g. `emodb`.
        lists: the folder `data` of EmoBox.
        root: base folder of the paths in the lists, `downloads/…`; None is the parent of `lists`.
        speaker: regular expression to search in the path; its groups are the speaker. None uses that of `SPEAKERS`, or
            otherwise `data.seg.wrd.stm`.
        labels: meanings of labels, which override `label_map.json` of the corpus; null excludes the clips.

    Raises:
        SeenetError: a missing folder, corpus or list, an invalid line or a label of unknown meaning. Folds must test
            each clip once and train on the rest.
    """
    if lists is None or not Path(lists).expanduser().is_dir():
        raise SeenetError(f"dataset=emobox needs dataset.lists=FOLDER, the folder data of EmoBox, not '{lists}'")
    home = Path(lists).expanduser().resolve()
    available = sorted(child.name for child in home.iterdir() if (child / "fold_1").is_dir())
    if corpus not in available:
        expected = f"expected one of {', '.join(available)}" if available else f"'{home}' contains no lists"
        raise SeenetError(f"dataset.corpus={corpus}: {expected}")
    folder = home.parent if root is None else Path(root).expanduser().resolve()
    if not folder.is_dir():
        raise SeenetError(f"dataset.root='{root}' is not a folder; expected the parent of downloads")
    rows = _merge_lists(_read_lists(home / corpus, corpus), home / corpus)
    meanings = _read_label_map(home / corpus)
    emotions = translate_emotions(rows["emotion"], {**meanings, **(labels or {})}, f"'{home / corpus}'")
    merged = describe_merges(rows["emotion"].map(meanings).fillna(rows["emotion"]), emotions)
    rows["emotion"] = emotions
    rows = rows[rows["emotion"].notna()].copy()
    rows["path"] = match_unicode_form(folder, rows["path"])
    rows["language"] = LANGUAGES.get(corpus, "")
    pattern = speaker or SPEAKERS.get(corpus, "")
    if speaker or (pattern and any(re.search(pattern, path) for path in rows["path"])):
        rows["speaker"] = extract_speakers(rows["path"], pattern)
    else:
        rows["speaker"] = rows["utterance"].map(_read_listed_speakers(home / corpus)).fillna("")
    return Manifest(f"emobox-{corpus}", folder, rows, people=PEOPLE.get(corpus, corpus), parser="emobox", **merged)


def _read_listed_speakers(folder: Path) -> dict[str, str]:
    """Read the speaker of each clip from `data.seg.wrd.stm`; empty without this file.

    A gender (MESD) or the name of the clip (MER2023, RESD) is not a speaker.
    """
    path = folder / "data.seg.wrd.stm"
    if not path.is_file():
        return {}
    listed = re.findall(r"<id=(.*),lang=[^,]*,spk=(.*),emotion=", read_text(path))
    return {
        clip: speaker
        for clip, speaker in listed
        if normalize(speaker) not in GENDER_WORDS and clip != f"{folder.name}-{speaker}"
    }


def _read_lists(folder: Path, corpus: str) -> dict[int, dict[str, pd.DataFrame]]:
    """Read the lists of each fold by part: train, valid, test, and so on."""
    folds: dict[int, dict[str, pd.DataFrame]] = {}
    # Some lists exist twice. The newer `…_fold_1.jsonl` comes last and replaces the older `…_fold1.jsonl`.
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
            # Older lists have the keys audio and label.
            clip = (entry["key"], entry.get("wav") or entry["audio"], entry.get("emo") or entry["label"])
            times = (math.nan if entry.get(name) is None else float(entry[name]) for name in ("start_time", "end_time"))
            rows.append((*map(str, clip), *times))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise SeenetError(
                f"'{path}' line {number}: not an entry with key, wav and emo ({one_line(error)})"
            ) from error
    table = pd.DataFrame(rows, columns=["utterance", "path", "emotion", "start", "end"])
    return table.astype({"start": "float64", "end": "float64"})


def _select_parts(folds: Mapping[int, Mapping[str, pd.DataFrame]], folder: Path) -> dict[str, pd.DataFrame]:
    """Select lists that partition the corpus: the test lists, or all lists of a single fold."""
    if len(folds) != 1:
        incomplete = [k for k, lists in folds.items() if "test" not in lists] or ([] if folds else [1])
        if incomplete:
            raise SeenetError(f"'{folder}' lacks the test list of fold {incomplete[0]}")
        return {f"fold_{k}": lists["test"] for k, lists in folds.items()}
    parts = {SPLITS.get(part, part): listed for lists in folds.values() for part, listed in lists.items()}
    numbered = {key for part, listed in parts.items() if re.fullmatch(r"test\d+", part) for key in listed["utterance"]}
    if "test" in parts and set(parts["test"]["utterance"]) <= numbered:
        del parts["test"]  # MER2023 has its first test list under two names
    if "train" not in parts or not any(part.startswith("test") for part in parts):
        raise SeenetError(f"'{folder}' lacks a train or a test list; it has {', '.join(parts)}")
    return parts


def _merge_lists(folds: Mapping[int, Mapping[str, pd.DataFrame]], folder: Path) -> pd.DataFrame:
    """Merge the lists into one table of all clips, with their part or fold as `split`."""
    parts = _select_parts(folds, folder)
    rows = pd.concat([listed.assign(split=part) for part, listed in parts.items()], ignore_index=True)
    twice = rows["utterance"][rows["utterance"].duplicated()]
    if len(twice):
        where = ", ".join(rows["split"][rows["utterance"] == twice.iloc[0]])
        raise SeenetError(f"'{folder}' assigns the clip '{twice.iloc[0]}' to two parts: {where}")
    for k, lists in folds.items():
        trained = {key for part, listed in lists.items() if part != "test" for key in listed["utterance"]}
        rest = set(rows["utterance"][rows["split"] != f"fold_{k}"])
        if len(folds) > 1 and trained and trained != rest:
            raise SeenetError(
                f"fold {k} of '{folder}' does not train on exactly the clips that it does not test: "
                f"{len(rest - trained)} clips are missing, {len(trained - rest)} are too many"
            )
    return rows


def _read_label_map(folder: Path) -> dict[str, str]:
    """Read the meanings of labels, as shared names if possible."""
    for path in (folder / "label_map.json", folder / "label_dict.json"):  # the second is that of EMOVO
        if path.is_file():
            try:
                meanings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
                return {
                    code: SPELLINGS.get(normalize(meaning), normalize(meaning)) for code, meaning in meanings.items()
                }
            except (ValueError, TypeError, AttributeError) as error:
                raise SeenetError(f"'{path}' is not a map of labels to emotions ({one_line(error)})") from error
    return {}
