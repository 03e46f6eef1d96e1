"""Thirty kinds of damaged files in a corpus of 200 clips: the store names all of them and reads all others."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seenet.corpora.manifest import Manifest, Utterance
from seenet.corpora.waveform_store import open_store

RNG = np.random.default_rng(0)


def encode(path: Path, samples: np.ndarray | None = None, rate: int = 16000, **options: str) -> bytes:
    """Return the bytes of a file that soundfile writes."""
    wave = 0.1 * RNG.normal(size=4000) if samples is None else samples
    soundfile.write(path, wave, rate, **options)
    data = path.read_bytes()
    path.unlink()
    return data


def write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def encode_wav(path: Path) -> bytes:
    return encode(path, subtype="PCM_16")


def patch(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


def link(path: Path, target: Path) -> None:
    path.symlink_to(target)


KINDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda p: None, "No such file"),
    "folder": (lambda p: p.mkdir(), "not a file"),
    "pipe": (lambda p: os.mkfifo(p), "not a file"),
    "dangling link": (lambda p: link(p, p.with_name("nowhere")), "No such file"),
    "link to itself": (lambda p: link(p, p), "symbolic link"),
    "no bytes": (lambda p: write(p, b""), "empty"),
    "zeros": (lambda p: write(p, bytes(5000)), "contains only zeros"),
    "noise": (lambda p: write(p, RNG.bytes(5000)), "an unknown audio format"),
    "text": (lambda p: write(p, b"see the readme\n" * 20), "text, not audio"),
    "text in UTF-16": (lambda p: write(p, "see the readme\n".encode("utf-16") * 20), "text, not audio"),
    "text in Chinese": (lambda p: write(p, "\u8bf7\u770b\u8bf4\u660e".encode() * 50), "text, not audio"),
    "web page": (lambda p: write(p, b"<!DOCTYPE html><html><body>404</body></html>"), "a web page"),
    "xml error": (lambda p: write(p, b"\n<?xml version='1.0'?><Error>AccessDenied</Error>"), "a web page"),
    "lfs pointer": (lambda p: write(p, b"version https://git-lfs.github.com/spec/v1\n"), "git-LFS pointer"),
    "zip": (lambda p: write(p, b"PK\3\4" + RNG.bytes(500)), "zip"),
    "gzip": (lambda p: write(p, b"\x1f\x8b\x08" + RNG.bytes(500)), "gzip"),
    "pdf": (lambda p: write(p, b"%PDF-1.4" + RNG.bytes(500)), "PDF"),
    "mp4": (lambda p: write(p, b"\0\0\0\x20ftypisom" + RNG.bytes(500)), "an MP4 or MOV file: no index (moov)"),
    "matroska": (lambda p: write(p, b"\x1aE\xdf\xa3" + RNG.bytes(500)), "a Matroska or WebM file: cannot be decoded"),
    "riff alone": (lambda p: write(p, b"RIFF"), "damaged"),
    "header alone": (lambda p: write(p, encode_wav(p)[:44]), "truncated: 8000 bytes"),
    "half a header": (lambda p: write(p, encode_wav(p)[:20]), "damaged"),
    "half the samples": (lambda p: write(p, encode_wav(p)[:4000]), "truncated: 4044 bytes"),
    "12.5 ms short": (lambda p: write(p, encode_wav(p)[:-400]), "truncated: 400 bytes"),
    "no samples": (lambda p: write(p, encode(p, np.zeros(0))), "empty: no samples"),
    "rate of 0 Hz": (lambda p: write(p, patch(encode_wav(p), 24, struct.pack("<I", 0))), "damaged"),
    "rate of 4 GHz": (lambda p: write(p, patch(encode_wav(p), 24, struct.pack("<I", 2**31 - 1))), "Hz"),
    "no channels": (lambda p: write(p, patch(encode_wav(p), 22, struct.pack("<H", 0))), "damaged"),
    "unknown codec": (lambda p: write(p, patch(encode_wav(p), 20, struct.pack("<H", 0x7777))), "damaged"),
    "NaN": (lambda p: write(p, encode(p, np.full(400, np.nan), subtype="FLOAT")), "NaN"),
    "one infinity": (lambda p: write(p, encode(p, np.r_[np.zeros(400), np.inf], subtype="FLOAT")), "infinite"),
    "flac cut": (lambda p: write(p, encode(p, format="FLAC")[:-3000]), ""),
    "flac scrambled": (lambda p: write(p, patch(encode(p, format="FLAC"), 200, RNG.bytes(2000))), ""),
    "ogg cut at its head": (lambda p: write(p, encode(p, format="OGG")[:60]), ""),
    "text behind a wav header": (lambda p: write(p, encode_wav(p)[:36] + b"junk" * 50), ""),
}
"""Function that writes each kind of file, and words of the expected reason; empty if it depends on the decoder."""


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> tuple[Manifest, dict[int, str]]:
    """A corpus of 200 clips, and the kinds of damaged files by row."""
    folder = tmp_path_factory.mktemp("bad files")
    rows = dict(zip(range(3, 200, 5), KINDS, strict=False))
    for k in range(200):
        path = folder / f"clip {k}.wav"
        if k in rows:
            KINDS[rows[k]][0](path)
        else:
            soundfile.write(path, np.full(1000 + k, k / 400), 16000, subtype="PCM_16")
    names = [Utterance(str(k), f"clip {k}.wav", "sad" if k % 2 else "happy") for k in range(200)]
    return Manifest("damaged", folder, names), rows


def test_bad_file_kinds_are_at_least_thirty():
    assert len(KINDS) >= 30


def test_store_names_every_bad_file_and_no_other(planted):
    manifest, rows = planted
    store = open_store(manifest, 6.0)
    assert {k: rows.get(k) for k in store.bad} == rows
    for k, kind in rows.items():
        assert KINDS[kind][1] in store.bad[k], f"{kind}: {store.bad[k]}"
        assert "\n" not in store.bad[k]
    for k in set(range(200)) - set(rows):
        wave = store.waveform(k)
        assert len(wave) == 1000 + k
        np.testing.assert_allclose(wave, k / 400, atol=1e-4)
    listed = (store.folder / "bad_files.csv").read_text(encoding="utf-8").splitlines()
    assert len(listed) == 1 + len(rows)
