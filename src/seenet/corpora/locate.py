"""Search for the folder of a corpus."""

import os
from collections.abc import Iterable
from pathlib import Path

from seenet.core.errors import SeenetError


def find_corpus_root(root: str | None, corpus: str, folder_names: Iterable[str]) -> Path:
    """Return the folder of a corpus.

    Args:
        root: value of `dataset.root`; None searches below `SEENET_DATA`.
        corpus: name of the dataset, for messages.
        folder_names: possible names of the folder below `SEENET_DATA`, in any case.

    Raises:
        SeenetError: no folder is given, or the folder does not exist.
    """
    if root is not None:
        folder = Path(root).expanduser()
        if not root or not folder.is_dir():
            raise SeenetError(f"dataset.root='{root}' is not a folder; expected the folder of {corpus}")
        return folder.resolve()
    if "SEENET_DATA" not in os.environ:
        raise SeenetError(
            f"dataset={corpus} needs a folder: set dataset.root=FOLDER, or SEENET_DATA=FOLDER for the folder "
            "of all corpora (dataset=synthetic needs none)"
        )
    data = Path(os.environ["SEENET_DATA"]).expanduser()
    if not data.is_dir():
        raise SeenetError(f"SEENET_DATA='{data}' is not a folder; expected the folder of all corpora")
    wanted = {name.lower() for name in folder_names}
    found = sorted(child for child in data.iterdir() if child.is_dir() and child.name.lower() in wanted)
    if not found:
        raise SeenetError(
            f"no folder named {' or '.join(sorted(wanted))} in SEENET_DATA='{data}'; "
            f"rename the folder or set dataset.root=FOLDER"
        )
    return found[0].resolve()
