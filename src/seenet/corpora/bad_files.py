"""Unreadable audio files: their list on disk and the policy `dataset.on_bad_file`."""

import csv
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from seenet.core.atomic import atomic_path
from seenet.core.console import escape_unprintable, print_line
from seenet.core.errors import SeenetError
from seenet.core.paths import cache_dir
from seenet.corpora.manifest import Manifest

if TYPE_CHECKING:
    from seenet.corpora.waveform_store import WaveformStore

BAD_FILES = "bad_files.csv"
"""File in a store's folder that lists unreadable files: row of the manifest, file, reason."""


def write_bad_files(path: Path, manifest: Manifest, bad: Mapping[int, str]) -> None:
    """Write the list of unreadable files: row of the manifest, file, reason."""
    paths = manifest.column("path")
    with atomic_path(path) as building, building.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "file", "why"])
        writer.writerows([row, paths[row], reason] for row, reason in bad.items())


def read_bad_files(folder: Path) -> dict[int, str]:
    """Read the reason for each unreadable file of a finished store, by manifest row."""
    with (folder / BAD_FILES).open(newline="", encoding="utf-8") as file:
        return {int(line["row"]): line["why"] for line in csv.DictReader(file)}


def apply_bad_file_policy(manifest: Manifest, store: "WaveformStore", policy: str) -> None:
    """Print remarks on files; stop at unreadable files unless the policy excludes them.

    Args:
        manifest: the corpus.
        store: its waveforms.
        policy: `stop`, or `quarantine` to exclude unreadable files.

    Raises:
        SeenetError: unreadable files under `stop`, with the path of their list; or an unknown policy.
    """
    if policy not in ("stop", "quarantine"):
        raise SeenetError(f"dataset.on_bad_file={policy}: expected stop or quarantine")
    paths = manifest.column("path")
    if store.remarks:
        row, remarks = next(iter(store.remarks.items()))
        example = f"'{escape_unprintable(paths[row])}': {remarks[0][1]}"
        print_line(
            f"! remarks on {len(store.remarks)} clip(s) of {manifest.name}, e.g. {example}; seenet-data check lists all"
        )
    if not store.bad:
        return
    examples = [
        f"{escape_unprintable(paths[row])} ({reason})" for row, reason in itertools.islice(store.bad.items(), 5)
    ]
    more = f"; and {len(store.bad) - len(examples)} more" if len(store.bad) > len(examples) else ""
    message = (
        f"{len(store.bad)} of {len(manifest)} audio files of {manifest.name} cannot be used: "
        f"{'; '.join(examples)}{more}"
    )
    if policy == "stop":
        path = cache_dir() / "stores" / f"{manifest.name}-{store.key}-{BAD_FILES}"
        write_bad_files(path, manifest, store.bad)
        raise SeenetError(
            f"{message}; '{path}' lists all; repair them, or exclude them with dataset.on_bad_file=quarantine"
        )
    print_line(f"! {message}; excluded")
