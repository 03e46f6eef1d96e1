"""File format of a waveform store: the index, remarks on clips, and a test for damage."""

import csv
import hashlib
import json
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from seenet.audio.defects import Remark
from seenet.core.errors import one_line
from seenet.corpora.bad_files import BAD_FILES, read_bad_files

FORMAT = 3
FULL_SCALE = 32768
REMARKS = "remarks.json"
"""File in a store's folder: remarks on usable files, as kinds of findings with one line each, by manifest row."""
_VERIFIED_CLIPS = 8  # clips compared with their sample hashes when a store is opened

INDEX = np.dtype(
    [
        ("offset", "<i8"),
        ("length", "<i8"),
        ("scale", "<f4"),
        ("samples", "<u8"),
        ("content", "S32"),
        ("rate", "<i4"),
        ("channels", "<i2"),
        ("seconds", "<f8"),
        ("clipped", "<f4"),
        ("silent", "?"),
    ]
)
"""One row per clip: position and length of its samples, scale of a full-scale value, hashes of the samples and of the
file, and properties of the file. An unreadable clip has length 0."""


def hash_samples(samples: bytes) -> int:
    """Hash the samples of a clip to 64 bits."""
    return int.from_bytes(hashlib.blake2b(samples, digest_size=8).digest(), "little")


def read_remarks(folder: Path) -> dict[int, list[Remark]]:
    """Read remarks on usable files by row: kinds of findings with one line each."""
    remarks = json.loads((folder / REMARKS).read_text(encoding="utf-8"))
    return {int(row): [(kind, line) for kind, line in entries] for row, entries in remarks.items()}


def find_damage(folder: Path, clips: int) -> str:
    """Describe the damage of a finished store; return an empty text if there is none.

    The files of the store must agree with each other. The samples of a few clips must match their hashes.

    Args:
        folder: the store.
        clips: the expected number of clips.
    """
    try:
        index = np.load(folder / "index.npy", mmap_mode="r")
        bad, _ = read_bad_files(folder), read_remarks(folder)
        size = (folder / "audio.i16").stat().st_size
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, csv.Error, BadZipFile) as error:
        return f"one of its files cannot be read: {one_line(error)}"
    if index.dtype != INDEX or index.shape != (clips,):
        return "its index has the wrong type or length"
    lengths = index["length"]
    if 2 * lengths.sum() != size or (lengths < 0).any():
        return f"its samples have {size} bytes, expected {2 * lengths.sum()}"
    used = np.flatnonzero(lengths)
    is_list_complete = (folder / BAD_FILES).read_bytes().endswith(b"\n") and all(bad.values())
    if not is_list_complete or sorted(bad) != np.flatnonzero(lengths == 0).tolist():
        return "its list of unreadable files disagrees with its index"
    with (folder / "audio.i16").open("rb") as audio:
        for row in used[np.linspace(0, len(used) - 1, _VERIFIED_CLIPS).astype(int)] if len(used) else ():
            audio.seek(2 * int(index["offset"][row]))
            if hash_samples(audio.read(2 * int(lengths[row]))) != index["samples"][row]:
                return f"the samples of clip {row} do not match their hash"
    return ""
