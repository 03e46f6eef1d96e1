"""Audio files that cannot be used: their list on disk, and the policy `dataset.on_bad_file`."""

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
"""The list, in a store's folder, of the files that could not be used: row of the manifest, file, why."""


def write_bad_files(path: Path, manifest: Manifest, bad: Mapping[int, str]) -> None:
    """Write the list of files that could not be used: row of the manifest, file, why."""
    paths = manifest.column("path")
    with atomic_path(path) as building, building.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "file", "why"])
        writer.writerows([row, paths[row], why] for row, why in bad.items())


def read_bad_files(folder: Path) -> dict[int, str]:
    """The rows of a finished store whose files could not be used, and why."""
    with (folder / BAD_FILES).open(newline="", encoding="utf-8") as file:
        return {int(line["row"]): line["why"] for line in csv.DictReader(file)}


def refuse_bad_files(manifest: Manifest, store: "WaveformStore", policy: str) -> None:
    """Stop where audio files cannot be used and the user has not said to go on without them.

    Args:
        manifest: the corpus.
        store: its waveforms.
        policy: `stop`, or `quarantine` to go on.

    Raises:
        SeenetError: bad files under `stop`, all of them in the list that it names; or another policy.
    """
    if policy not in ("stop", "quarantine"):
        raise SeenetError(f"dataset.on_bad_file={policy}: expected stop or quarantine")
    paths = manifest.column("path")
    if store.remarks:
        row, about = next(iter(store.remarks.items()))
        example = f"'{escape_unprintable(paths[row])}': {about[0][1]}"
        print_line(
            f"! remarks on {len(store.remarks)} clip(s) of {manifest.name}, e.g. {example}; seenet-data check lists all"
        )
    if not store.bad:
        return
    files = [
        f"{escape_unprintable(manifest.column('path')[row])} ({why})"
        for row, why in itertools.islice(store.bad.items(), 5)
    ]
    shown = "; ".join(files) + (f"; and {len(store.bad) - len(files)} more" if len(store.bad) > len(files) else "")
    bad = f"{len(store.bad)} of {len(manifest)} audio files of {manifest.name} cannot be used: {shown}"
    if policy == "stop":
        listed = cache_dir() / "stores" / f"{manifest.name}-{store.key}-{BAD_FILES}"
        write_bad_files(listed, manifest, store.bad)
        raise SeenetError(
            f"{bad}; all are listed in '{listed}': mend them, or go on without them by dataset.on_bad_file=quarantine"
        )
    print_line(f"! {bad}; left out")
