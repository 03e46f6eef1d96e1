"""Parser for EmoDB: 535 clips, 10 speakers, 7 emotions (Burkhardt et al. 2005)."""

import re
from pathlib import Path

from seenet.corpora.locate import find_corpus_root
from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.parsers._file_names import decode, read_named_clips
from seenet.corpora.parsers._files import find_files

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
    """Read the clips below a folder; of version 2.0 only those of its gold standard.

    Version 2.0 (Zenodo 17651657) adds 281 clips with an emotion that fewer than 80 % of the listeners recognised. Only
    its `db.emotion.categories.*.gold_standard.csv` distinguishes them; their names have the same form.

    Args:
        root: folder of the corpus; None searches for `EmoDB` below `SEENET_DATA`.
        low_agreement: whether to keep the added clips; published results exclude them.

    Raises:
        SeenetError: a missing folder, no clip, or a name with an unknown speaker, text or emotion.
    """
    folder = find_corpus_root(root, "emodb", ("emodb", "emo-db", "emodb_2.0"))
    gold = None if low_agreement else _read_gold_standard(folder)

    def row(match: re.Match[str], path: str) -> Utterance | None:
        speaker, text, emotion, version = match.groups()
        name = f"{speaker}{text}{emotion}{version}"
        clip = Utterance(
            utterance=name,
            path=path,
            emotion=decode(EMOTIONS, emotion, "emotion", path),
            speaker=speaker,
            gender=decode(GENDERS, speaker, "speaker", path),
            language="de",
            text=decode(TEXTS, text, "text", path),
        )
        return clip if gold is None or name in gold else None

    return read_named_clips("emodb", folder, GRAMMAR, "wav/03a01Wa.wav", row)


def _read_gold_standard(folder: Path) -> set[str] | None:
    """Read the names of the clips in the gold standard; None for a release without these tables."""
    ending = ".gold_standard.csv"
    tables = [*find_files(folder, ending)] or [*folder.parent.glob(f"db.*{ending}")]  # the root may be `wav` itself
    lines = [line for table in tables for line in table.read_text(encoding="utf-8").splitlines()[1:]]
    return {Path(line.split(",")[0]).stem for line in lines} if tables else None
