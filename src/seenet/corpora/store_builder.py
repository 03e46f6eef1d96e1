"""Build the waveform store of a corpus: resumable, atomic, and safe with several processes.

A hash of the source names the folder of a store: the content of every audio file, the rate and the crop. A changed
file therefore makes another store. A partial store has another name and a journal, from which an interrupted
preparation resumes. A rename publishes the complete store. A lock lets one process build while the others wait.
"""

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from seenet.audio.defects import Remark
from seenet.audio.reading import RATE
from seenet.core.atomic import atomic_write_text, explain_write_errors
from seenet.core.console import print_line, track_progress
from seenet.core.errors import SeenetError
from seenet.core.locks import hold_lock
from seenet.corpora.bad_files import BAD_FILES, read_bad_files, write_bad_files
from seenet.corpora.clip_decoder import decode_in_order, list_excerpts
from seenet.corpora.manifest import Manifest
from seenet.corpora.store_format import FORMAT, INDEX, REMARKS, find_damage, hash_samples

_ABANDONED_SECONDS = 7 * 24 * 3600.0  # age from which a partial store counts as abandoned
_BLOCK_CLIPS = 64  # clips per write; an interruption loses at most one block


def ensure_store(stores: Path, manifest: Manifest, max_seconds: float) -> Path:
    """Return the folder of a manifest's store; build the store if it does not exist.

    Raises:
        SeenetError: the cache is not writable and does not contain the store.
    """
    link = stores / f"{manifest.name}-{_hash_file_states(manifest, max_seconds)}.link"
    partial = link.with_suffix(".part")
    subject = f"the store of {manifest.name}"
    with contextlib.ExitStack() as held:
        try:
            with explain_write_errors(stores):
                stores.mkdir(parents=True, exist_ok=True)
                held.enter_context(hold_lock(Path(f"{partial}.lock"), subject))
        except SeenetError:  # a read-only cache of other users may still contain the store
            if not (link.is_file() and (folder := _find_linked_store(stores, link, manifest))):
                raise
            return folder
        held.enter_context(explain_write_errors(stores))
        if folder := _find_linked_store(stores, link, manifest):
            (folder / "journal.jsonl").unlink(missing_ok=True)  # remains after an interruption behind the rename
            if not _is_any_bad_file_readable(folder, manifest, max_seconds):
                return folder
        print_line(f"decoding {len(manifest)} clips of {manifest.name} into {stores} (once)")
        _decode_remaining(partial, manifest, max_seconds)
        folder = stores / f"{manifest.name}-{_write_index(partial, manifest, max_seconds)}"
        atomic_write_text(link, folder.name)  # before the rename: an interruption between the two loses nothing
        with hold_lock(Path(f"{folder}.lock"), subject):
            if folder.is_dir() and not find_damage(folder, len(manifest)):  # the same content at another path
                shutil.rmtree(partial)
            else:
                shutil.rmtree(folder, ignore_errors=True)
                partial.replace(folder)
        (folder / "journal.jsonl").unlink(missing_ok=True)
    _remove_abandoned(stores, manifest.name)
    return folder


def _hash_file_states(manifest: Manifest, max_seconds: float) -> str:
    """Hash names, sizes and times of all files, to detect changes without reading them."""
    state = hashlib.blake2b(json.dumps([FORMAT, RATE, max_seconds, str(manifest.root)]).encode(), digest_size=8)
    for clip, path in zip(_identify_clips(manifest), manifest.column("path"), strict=True):
        try:
            status = os.stat(os.path.join(manifest.root, path))  # noqa: PTH116, PTH118
            version = f"{status.st_size}-{status.st_mtime_ns}"
        except OSError as error:
            version = str(error.strerror)
        state.update(f"{clip}\x1f{path}\x1f{version}\x1e".encode())
    return state.hexdigest()


def _identify_clips(manifest: Manifest) -> Iterator[str]:
    """Yield name, start and end of each clip as one text."""
    columns = (manifest.column(name).tolist() for name in ("utterance", "start", "end"))
    return (f"{name}\x1f{start}\x1f{end}" for name, start, end in zip(*columns, strict=True))


def _find_linked_store(stores: Path, link: Path, manifest: Manifest) -> Path | None:
    """Return the finished store that a link names; None if it does not exist or is damaged."""
    try:
        name = link.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        name = ""
    folder = stores / name
    if name.startswith(f"{manifest.name}-") and folder.parent == stores and folder.is_dir():
        damage = find_damage(folder, len(manifest))
    else:
        damage = f"'{link}' does not name a store"
    if damage:
        print_line(f"! rebuilding the damaged store of {manifest.name}: {damage}")
    return None if damage else folder


def _is_any_bad_file_readable(folder: Path, manifest: Manifest, max_seconds: float) -> bool:
    """Test whether an unreadable file is readable now, e.g. after a change of permissions."""
    bad = read_bad_files(folder)
    excerpts = (excerpt for row, excerpt in enumerate(list_excerpts(manifest)) if row in bad)
    return bool(bad) and any(samples for samples, _ in decode_in_order(excerpts, max_seconds))


def _decode_remaining(folder: Path, manifest: Manifest, max_seconds: float) -> None:
    """Decode the clips that a partial store does not contain yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for temporary in folder.glob("*.tmp-*"):  # from a write that was interrupted
        temporary.unlink()
    done, count = _truncate_to_journal(folder), len(manifest)
    if done:
        print_line(f"resuming the interrupted preparation of {manifest.name}: {done} of {count} clips are decoded")
    clips = decode_in_order(itertools.islice(list_excerpts(manifest), done, None), max_seconds)
    clips = track_progress(clips, count, f"preparing {manifest.name}", done)
    with (folder / "audio.i16").open("ab") as audio, (folder / "journal.jsonl").open("a", encoding="utf-8") as journal:
        while block := list(itertools.islice(clips, _BLOCK_CLIPS)):
            audio.writelines(samples for samples, _ in block)
            audio.flush()  # samples first: the journal never lists a clip without samples
            journal.writelines(json.dumps(entry) + "\n" for _, entry in block)
            journal.flush()


def _truncate_to_journal(folder: Path) -> int:
    """Truncate a partial store to the clips that agree with its journal; return their number."""
    journal, audio = folder / "journal.jsonl", folder / "audio.i16"
    journal.touch()
    audio.touch()
    clips, journal_bytes, samples = 0, 0, 0
    with journal.open("rb") as lines, audio.open("rb") as stored:
        for line in lines:
            entry = _parse_journal_line(line)
            if entry is None or (len(entry) > 1 and hash_samples(stored.read(2 * _count_samples(entry))) != entry[2]):
                break
            clips, journal_bytes, samples = clips + 1, journal_bytes + len(line), samples + _count_samples(entry)
    os.truncate(journal, journal_bytes)
    os.truncate(audio, 2 * samples)
    return clips


def _parse_journal_line(line: bytes) -> list[Any] | None:
    """Parse a line of the journal; return None if it is truncated or damaged."""
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    # The journal has no offset, a field of the index; the index has no remarks. The two have equal length.
    return entry if isinstance(entry, list) and len(entry) in (1, len(INDEX.descr)) else None


def _count_samples(entry: list[Any]) -> int:
    """Return the number of samples of a journal entry; an unreadable file has none."""
    return 0 if len(entry) == 1 else entry[0]


def _write_index(folder: Path, manifest: Manifest, max_seconds: float) -> str:
    """Write the index, the list of unreadable files and the remarks; return the store's key."""
    index = np.zeros(len(manifest), INDEX)
    bad: dict[int, str] = {}
    remarks: dict[int, list[Remark]] = {}
    state = hashlib.blake2b(json.dumps([FORMAT, RATE, max_seconds]).encode(), digest_size=8)
    offset = 0
    with (folder / "journal.jsonl").open("rb") as journal:
        for row, (clip, line) in enumerate(zip(_identify_clips(manifest), journal, strict=True)):
            entry = json.loads(line)
            if len(entry) == 1:
                bad[row] = entry[0]
            else:
                *values, clip_remarks = entry
                index[row] = (offset, *values)
                remarks |= {row: clip_remarks} if clip_remarks else {}
                offset += _count_samples(entry)
            state.update(f"{clip}\x1f{entry[0] if len(entry) == 1 else entry[3]}\x1e".encode())
    np.save(folder / "index.npy", index)
    write_bad_files(folder / BAD_FILES, manifest, bad)
    atomic_write_text(folder / REMARKS, json.dumps(remarks))
    return state.hexdigest()


def _remove_abandoned(stores: Path, name: str) -> None:
    """Remove old partial stores of a corpus that has changed since."""
    for partial in stores.glob(f"{name}-*.part"):
        if time.time() - partial.stat().st_mtime < _ABANDONED_SECONDS:
            continue
        try:
            with FileLock(f"{partial}.lock", timeout=0):
                shutil.rmtree(partial, ignore_errors=True)
        except Timeout:  # another process uses it
            continue
