"""Find the folder of a corpus."""

import os
from collections.abc import Iterable
from pathlib import Path

from seenet.core.errors import SeenetError


def find_corpus_root(root: str | None, corpus: str, folder_names: Iterable[str]) -> Path:
    """The folder of a corpus.

    Args:
        root: what the user gave as `dataset.root`, or None to look below `SEENET_DATA`.
        corpus: the dataset's name, for messages.
        folder_names: names the corpus' folder goes by below `SEENET_DATA`, in any case.

    Raises:
        SeenetError: no folder was named, or the one named does not exist.
    """
    if root is not None:
        folder = Path(root).expanduser()
        if not root or not folder.is_dir():
            raise SeenetError(f"dataset.root='{root}' is not a folder; give the one that holds {corpus}")
        return folder.resolve()
    if "SEENET_DATA" not in os.environ:
        raise SeenetError(
            f"dataset={corpus} needs the corpus: dataset.root=FOLDER, or SEENET_DATA=FOLDER for the folder "
            "of all corpora (dataset=synthetic needs none)"
        )
    data = Path(os.environ["SEENET_DATA"]).expanduser()
    if not data.is_dir():
        raise SeenetError(f"SEENET_DATA='{data}' is not a folder; give the folder that holds the corpora")
    wanted = {name.lower() for name in folder_names}
    found = sorted(child for child in data.iterdir() if child.is_dir() and child.name.lower() in wanted)
    if not found:
        raise SeenetError(
            f"no folder named {' or '.join(sorted(wanted))} in SEENET_DATA='{data}'; "
            f"rename it or say dataset.root=FOLDER"
        )
    return found[0].resolve()
