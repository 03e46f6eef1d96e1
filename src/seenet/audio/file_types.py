"""Detection of file types by content, never by name."""

from seenet.audio.byte_access import ReadableFile
from seenet.audio.containers import ASF_MAGIC, EBML_MAGIC, ISO_BOXES

HEAD_BYTES = 512
"""Number of bytes at the beginning of a file that the functions of this module need."""

_AUDIO_MAGICS = (
    *(b"RIFF", b"RIFX", b"RF64", b"BW64", b"riff", b"FORM", b"caff", b".snd", b"NIST_1A", b"fLaC", b"OggS", b"ID3"),
    *(EBML_MAGIC, b"FLV", ASF_MAGIC, b"#!AMR", b"\x0bw", b"\0\0\x01\xba", b"MAC ", b"wvpk", b"TTA1", b"MPCK", b"MP+"),
    *(b"ADIF", b"Creative Voice File", b".RMF", b".ra\xfd", b"\x7f\xfe\x80\x01"),
)

_CONTAINER_NAMES = {
    EBML_MAGIC: "a Matroska or WebM file",
    b"FLV": "an FLV file",
    ASF_MAGIC: "a WMA or ASF file",
    b"\0\0\x01\xba": "an MPEG file",
}
_OTHER_NAMES = {b"PK\3\4": "a zip archive", b"\x1f\x8b": "a gzip archive", b"%PDF": "a PDF"}

MP4_NAME = "an MP4 or MOV file"

MIN_TEXT_SHARE = 0.95
"""Share of printable characters above which a file counts as text."""


def looks_like_audio(head: bytes) -> bool:
    """Return whether the first 512 bytes of a file belong to a common audio or video format."""
    is_transport_stream = len(head) > 376 and head[0] == head[188] == head[376] == 0x47
    return head.startswith(_AUDIO_MAGICS) or head[4:8] in ISO_BOXES or is_transport_stream or has_frame_sync(head)


def has_frame_sync(head: bytes) -> bool:
    """Return whether a file begins like a frame of AAC or MPEG audio."""
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] not in (0xFE, 0xFF)


def name_container(head: bytes) -> str:
    """Return the name of a container format that only FFmpeg reads, or an empty string.

    Args:
        head: the first bytes of the file.
    """
    if head[4:8] in ISO_BOXES:
        return MP4_NAME
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return "an AVI file"
    if head.startswith(b"G") and head[188:189] == b"G":
        return "an MPEG transport stream"
    return next((name for magic, name in _CONTAINER_NAMES.items() if head.startswith(magic)), "")


def describe_unreadable_content(file: ReadableFile) -> str:
    """Return a description of a file that no audio reader accepts.

    Args:
        file: a file open for reading.
    """
    file.seek(0)
    head = file.read(HEAD_BYTES)
    text = head.lstrip().lower()
    if not head:
        return "empty: the file has no bytes"
    if not head.strip(b"\0"):
        return "not audio: the file contains only zeros"
    if text.startswith(b"version https://git-lfs"):
        return "a git-LFS pointer, not audio: fetch the file itself with 'git lfs pull'"
    if text.startswith((b"<!doctype html", b"<html", b"<?xml")):
        return "a web page, not audio: the download failed"
    for magic, name in _OTHER_NAMES.items():
        if head.startswith(magic):
            return f"{name}, not audio"
    if looks_like_audio(head):
        return "an audio or video file, damaged"
    return "text, not audio" if _is_text(head) else "an unknown audio format, or damaged"


def _is_text(head: bytes) -> bool:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) // 2 * 2].decode("utf-16", "replace")
    else:
        text = head.decode("utf-8", "replace")
    printable = sum(c.isprintable() or c in "\t\n\r\ufeff" for c in text if c != "\ufffd")
    return printable > MIN_TEXT_SHARE * len(text)
