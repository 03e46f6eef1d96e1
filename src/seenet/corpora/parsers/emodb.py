"""EmoDB, the Berlin database of emotional speech: 535 clips, 10 speakers, 7 emotions (Burkhardt et al. 2005)."""

import re
from pathlib import Path

from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._file_names import decoded, named_clips
from seenet.corpora.parsers._files import files_below

GRAMMAR = r"(\d\d)([ab]\d\d)([A-Z])([a-z]?)"
EMOTIONS = {
    "W": "angry",
    "L": "bored",
    "E": "disgust",
    "A": "fearful",
    "F": "happy",
    "T": "sad",
    "N": "neutral",
}
GENDERS = {
    **dict.fromkeys(("03", "10", "11", "12", "15"), "male"),
    **dict.fromkeys(("08", "09", "13", "14", "16"), "female"),
}
TEXTS = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}


def read(root: str | None = None, low_agreement: bool = False) -> Manifest:
    """The clips below a folder; of version 2.0 those of its gold standard.

    Version 2.0 (Zenodo 17651657) adds 281 clips whose emotion fewer than 80 % of the listeners heard. Their names
    are like the others', so its `db.emotion.categories.*.gold_standard.csv` tells them apart.

    Args:
        root: the folder; None looks for `EmoDB` below `SEENET_DATA`.
        low_agreement: whether to keep the added clips too; published results are without them.

    Raises:
        SeenetError: no such folder, no clip in it, or a name with a speaker, text or emotion that is none.
    """
    folder = find_corpus_root(root, "emodb", ("emodb", "emo-db", "emodb_2.0"))
    gold = None if low_agreement else _gold_standard(folder)

    def row(match: re.Match[str], path: str) -> Utterance | None:
        speaker, text, emotion, version = match.groups()
        name = f"{speaker}{text}{emotion}{version}"
        clip = Utterance(
            utterance=name,
            path=path,
            emotion=decoded(EMOTIONS, emotion, "emotion", path),
            speaker=speaker,
            gender=decoded(GENDERS, speaker, "speaker", path),
            language="de",
            text=decoded(TEXTS, text, "text", path),
        )
        return clip if gold is None or name in gold else None

    return named_clips("emodb", folder, GRAMMAR, "wav/03a01Wa.wav", row)


def _gold_standard(folder: Path) -> set[str] | None:
    """The clips that the gold standard names; None for a release without such tables, which holds no others."""
    ending = ".gold_standard.csv"
    tables = [*files_below(folder, ending)] or [*folder.parent.glob(f"db.*{ending}")]  # or the root is `wav` itself
    lines = [line for table in tables for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    return {Path(line.split(",")[0]).stem for line in lines} if tables else None
