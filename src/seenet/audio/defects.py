"""Defects of audio files: the error for unreadable files, and remarks on readable ones."""

TOLERATED_BYTES = 64
"""Bytes by which a header may overstate the file; some writers count the header itself."""

Remark = tuple[str, str]
"""The kind of a defect that does not make a file unusable, and a line that describes it."""


class UnreadableAudioError(Exception):
    """Error for an unusable file; the message gives the cause without the file name."""
