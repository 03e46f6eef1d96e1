"""From audio files to a finished store, through kills at any moment.

A store is a folder named after a hash of what it was made from: the bytes of every audio file, the rate and the crop.
A changed file makes another store. It grows under another name, with a journal, so that a killed preparation goes on
where it was; it is renamed when complete. Of two processes one makes it and the other waits.
"""

import contextlib
import csv
import hashlib
import itertools
import json
import os
import shutil
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock, Timeout

from seenet.audio.defects import Remark, UnreadableAudioError
from seenet.audio.reading import RATE, read_audio
from seenet.core.atomic import atomic_write_text, explain_write_errors
from seenet.core.console import print_line, track_progress
from seenet.core.errors import SeenetError, one_line
from seenet.core.locks import hold_lock
from seenet.corpora.bad_files import BAD_FILES, read_bad_files, write_bad_files
from seenet.corpora.manifest import Manifest

FORMAT = 3
FULL_SCALE = 32768
REMARKS = "remarks.json"
"""What is worth knowing of usable files, in a store's folder: by row of the manifest, kinds of findings and lines."""
_VERIFIED = 8  # clips whose samples are compared with their hashes when a store is opened
_ABANDONED = 7 * 24 * 3600.0  # seconds after which nobody goes on with a preparation
_BLOCK = 64  # clips between two writes: what a kill can cost

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
"""One row a clip: where its samples lie, what full scale stands for, hashes of its samples and of its file's bytes, and
what the file was. A clip that could not be used has length 0."""


def file_digest(path: Path) -> str:
    """A hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


@lru_cache(maxsize=256)
def _content(path: str, size: int, changed: int) -> str:
    """A hash of a file's bytes, once for all the clips that are cut from it."""
    return file_digest(Path(path))


Stretch = tuple[str, float, float]
"""A file, and where a clip starts and ends in it, in seconds; NaN is the file's beginning or end."""


def _decoded(stretch: Stretch, max_seconds: float) -> tuple[bytes, list[object]]:
    """A clip's samples as bytes, and its line of the journal; for a bad file no samples, and why."""
    path, start, end = stretch
    try:
        recording = read_audio(Path(path), max_seconds, start, end)
        status = os.stat(path)  # noqa: PTH116
        content = _content(path, status.st_size, status.st_mtime_ns)
    except UnreadableAudioError as error:
        return b"", [str(error)]
    wave = recording.waveform
    peak = float(np.abs(wave).max())
    scale = np.float32(max(peak, 1.0))
    samples = np.clip(np.rint(wave * (FULL_SCALE / scale)), -FULL_SCALE, FULL_SCALE - 1).astype("<i2").tobytes()
    digest = _digest(samples)
    facts = [recording.rate, recording.channels, recording.seconds, recording.clipped, peak == 0]
    return samples, [len(wave), float(scale), digest, content, *facts, recording.remarks]


def _digest(samples: bytes) -> int:
    """A hash of a clip's samples."""
    return int.from_bytes(hashlib.blake2b(samples, digest_size=8).digest(), "little")


def _in_order(stretches: Iterator[Stretch], max_seconds: float) -> Iterator[tuple[bytes, list[object]]]:
    """Decode on all cores, in order, never far ahead: memory does not grow with the corpus."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # decoding and resampling release the interpreter's lock
        ahead: deque[Future[tuple[bytes, list[object]]]] = deque()
        try:
            for stretch in stretches:
                ahead.append(pool.submit(_decoded, stretch, max_seconds))
                if len(ahead) >= _BLOCK:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()


def _resume(folder: Path) -> int:
    """Truncate a partial store to the clips whose samples agree with its journal, and return how many these are."""
    journal, audio = folder / "journal.jsonl", folder / "audio.i16"
    journal.touch()
    audio.touch()
    clips, written, samples = 0, 0, 0
    with journal.open("rb") as lines, audio.open("rb") as stored:
        for line in lines:
            facts = _parse_facts(line)
            if facts is None or (len(facts) > 1 and _digest(stored.read(2 * _samples(facts))) != facts[2]):
                break
            clips, written, samples = clips + 1, written + len(line), samples + _samples(facts)
    os.truncate(journal, written)
    os.truncate(audio, 2 * samples)
    return clips


def _parse_facts(line: bytes) -> list[Any] | None:
    """Parse a line of the journal; None for one that is torn or damaged."""
    try:
        facts = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    # One field of the index, the offset, is not in the journal; the remarks are not in the index.
    return facts if isinstance(facts, list) and len(facts) in (1, len(INDEX)) else None


def _samples(facts: list[Any]) -> int:
    """How many samples a line of the journal stands for: none where it only says why."""
    return 0 if len(facts) == 1 else facts[0]


def _fill(folder: Path, manifest: Manifest, max_seconds: float) -> None:
    """Decode what is not yet in a half-made store."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.tmp-*"):  # by a kill in the middle of writing
        left.unlink()
    done, count = _resume(folder), len(manifest)
    if done:
        print_line(
            f"going on with a preparation of {manifest.name} that was interrupted: {done} of {count} clips are there"
        )
    stretches = _stretches(manifest)
    clips = _in_order(itertools.islice(stretches, done, None), max_seconds)
    clips = track_progress(clips, count, f"preparing {manifest.name}", done)
    with (folder / "audio.i16").open("ab") as audio, (folder / "journal.jsonl").open("a", encoding="utf-8") as journal:
        while block := list(itertools.islice(clips, _BLOCK)):
            audio.writelines(samples for samples, _ in block)
            audio.flush()  # the samples first: the journal never names what is not there
            journal.writelines(json.dumps(line) + "\n" for _, line in block)
            journal.flush()


def _stretches(manifest: Manifest) -> Iterator[Stretch]:
    """Where each clip lies."""
    paths = (os.path.join(manifest.root, path) for path in manifest.column("path"))  # noqa: PTH118
    return zip(paths, manifest.column("start").tolist(), manifest.column("end").tolist(), strict=True)


def _finish(folder: Path, manifest: Manifest, max_seconds: float) -> str:
    """Turn the journal into the index, and give the key of the content."""
    index, bad, remarks = np.zeros(len(manifest), INDEX), {}, {}
    state = hashlib.blake2b(json.dumps([FORMAT, RATE, max_seconds]).encode(), digest_size=8)
    offset = 0
    with (folder / "journal.jsonl").open("rb") as journal:
        for row, (clip, line) in enumerate(zip(_clips(manifest), journal, strict=True)):
            facts = json.loads(line)
            if len(facts) == 1:
                bad[row] = facts[0]
            else:
                *values, about = facts
                index[row] = (offset, *values)
                remarks |= {row: about} if about else {}
                offset += _samples(facts)
            state.update(f"{clip}\x1f{facts[0] if len(facts) == 1 else facts[3]}\x1e".encode())
    np.save(folder / "index.npy", index)
    write_bad_files(folder / BAD_FILES, manifest, bad)
    atomic_write_text(folder / REMARKS, json.dumps(remarks))
    return state.hexdigest()


def _clips(manifest: Manifest) -> Iterator[str]:
    """A clip's name and where in its file it lies."""
    columns = (manifest.column(name).tolist() for name in ("utterance", "start", "end"))
    return (f"{name}\x1f{start}\x1f{end}" for name, start, end in zip(*columns, strict=True))


def _signature(manifest: Manifest, max_seconds: float) -> str:
    """A hash of the files' names, sizes and times of change: what tells without reading that nothing moved."""
    state = hashlib.blake2b(json.dumps([FORMAT, RATE, max_seconds, str(manifest.root)]).encode(), digest_size=8)
    for clip, path in zip(_clips(manifest), manifest.column("path"), strict=True):
        try:
            status = os.stat(os.path.join(manifest.root, path))  # noqa: PTH116, PTH118
            moved = f"{status.st_size}-{status.st_mtime_ns}"
        except OSError as error:
            moved = str(error.strerror)
        state.update(f"{clip}\x1f{path}\x1f{moved}\x1e".encode())
    return state.hexdigest()


def read_remarks(folder: Path) -> dict[int, list[Remark]]:
    """What is worth knowing of usable files, by their rows: kinds of findings, each with a line."""
    remarks = json.loads((folder / REMARKS).read_text(encoding="utf-8"))
    return {int(row): [(kind, line) for kind, line in about] for row, about in remarks.items()}


def find_damage(folder: Path, clips: int) -> str:
    """Return the damage of a finished store in words, or an empty text if there is none.

    Its files must agree with one another, and a few clips with the hashes of their samples.

    Args:
        folder: the store.
        clips: how many it should hold.
    """
    try:
        index = np.load(folder / "index.npy", mmap_mode="r")
        bad, _ = read_bad_files(folder), read_remarks(folder)
        size = (folder / "audio.i16").stat().st_size
    except (OSError, ValueError, EOFError, KeyError, TypeError, AttributeError, csv.Error, BadZipFile) as error:
        return f"a file of it cannot be read: {one_line(error)}"
    if index.dtype != INDEX or index.shape != (clips,):
        return "its index is not one"
    lengths = index["length"]
    if 2 * lengths.sum() != size or (lengths < 0).any():
        return f"its samples fill {size} bytes, not {2 * lengths.sum()}"
    used = np.flatnonzero(lengths)
    listed = (folder / BAD_FILES).read_bytes().endswith(b"\n") and all(bad.values())
    if not listed or sorted(bad) != np.flatnonzero(lengths == 0).tolist():
        return "its list of bad files and its index differ"
    with (folder / "audio.i16").open("rb") as audio:
        for row in used[np.linspace(0, len(used) - 1, _VERIFIED).astype(int)] if len(used) else ():
            audio.seek(2 * int(index["offset"][row]))
            if _digest(audio.read(2 * int(lengths[row]))) != index["samples"][row]:
                return f"the samples of its clip {row} are not those that were stored"
    return ""


def _mended(folder: Path, manifest: Manifest, max_seconds: float) -> bool:
    """Whether a file that could not be used can be now: by a change of rights, say."""
    bad = read_bad_files(folder)
    stretches = (stretch for row, stretch in enumerate(_stretches(manifest)) if row in bad)
    return bool(bad) and any(samples for samples, _ in _in_order(stretches, max_seconds))


def _linked(stores: Path, link: Path, manifest: Manifest) -> Path | None:
    """The finished store that a link names; None where it does not exist or is damaged."""
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
        damage = f"'{link}' names no folder"
    if damage:
        print_line(f"! the store of {manifest.name} is damaged and is built again: {damage}")
    return None if damage else folder


def ensure_store(stores: Path, manifest: Manifest, max_seconds: float) -> Path:
    """The folder of a manifest's store, which is made where it does not exist.

    Raises:
        SeenetError: the cache cannot be written and does not hold the store.
    """
    link = stores / f"{manifest.name}-{_signature(manifest, max_seconds)}.link"
    growing = link.with_suffix(".part")
    what = f"the store of {manifest.name}"
    with contextlib.ExitStack() as held:
        try:
            with explain_write_errors(stores):
                stores.mkdir(parents=True, exist_ok=True)
                held.enter_context(hold_lock(Path(f"{growing}.lock"), what))
        except SeenetError:  # a cache of others that cannot be written may still hold the store
            if not (link.is_file() and (folder := _linked(stores, link, manifest))):
                raise
            return folder
        held.enter_context(explain_write_errors(stores))
        if folder := _linked(stores, link, manifest):
            (folder / "journal.jsonl").unlink(missing_ok=True)  # left by a kill after the renaming
            if not _mended(folder, manifest, max_seconds):
                return folder
        print_line(f"decoding {len(manifest)} clips of {manifest.name} into {stores} (once)")
        _fill(growing, manifest, max_seconds)
        folder = stores / f"{manifest.name}-{_finish(growing, manifest, max_seconds)}"
        atomic_write_text(link, folder.name)  # before the renaming: a kill between the two costs nothing
        with hold_lock(Path(f"{folder}.lock"), what):
            if folder.is_dir() and not find_damage(folder, len(manifest)):  # the same content from another place
                shutil.rmtree(growing)
            else:
                shutil.rmtree(folder, ignore_errors=True)
                growing.replace(folder)
        (folder / "journal.jsonl").unlink(missing_ok=True)
    _tidy(stores, manifest.name)
    return folder


def _tidy(stores: Path, name: str) -> None:
    """Remove what a killed preparation left long ago, of a corpus that has changed since."""
    for left in stores.glob(f"{name}-*.part"):
        if time.time() - left.stat().st_mtime < _ABANDONED:
            continue
        try:
            with FileLock(f"{left}.lock", timeout=0):
                shutil.rmtree(left, ignore_errors=True)
        except Timeout:  # another process is at work in it
            continue
