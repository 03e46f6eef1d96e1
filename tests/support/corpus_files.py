"""Small tables and empty files that imitate a corpus on disk."""

from pathlib import Path

TABLE_ROWS = [("d/a.wav", "happy", "s1", "one"), ("d/b.wav", "sad", "s2", "two"), ("d/c.wav", "sad", "s1", "three")]
"""Rows of a table: path, emotion, speaker and text."""


def write_text(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write a text file and create its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


def touch_files(root: Path, *names: str) -> Path:
    """Create empty files and their folders."""
    for name in names:
        write_text(root / name, "")
    return root


def format_table(rows: list[tuple[str, ...]], mark: str = ",", end: str = "\n") -> str:
    """Format rows as delimited text with a header."""
    return "".join(mark.join(row) + end for row in [("path", "emotion", "speaker", "text"), *rows])
