"""Check files before a commit: size, audio and weights, merge markers, end of file.

    python docs/check_files.py FILE ...

Prints one line for each problem and exits with 1 if there is any.
"""

import sys
from pathlib import Path

MAX_BYTES = 2_000_000
FORBIDDEN = {".wav", ".mp3", ".flac", ".ogg", ".npy", ".npz", ".ckpt", ".pt", ".pth", ".bin", ".safetensors"}
"""Suffixes of audio, arrays and weights, which may be licensed or large; tests may record small ones."""

MARKERS = (b"<" * 7 + b" ", b">" * 7 + b" ")


def find_problems(path: Path) -> list[str]:
    """Return what is wrong with a file, one line each."""
    if path.is_symlink() or not path.is_file():
        return []
    problems = []
    content = path.read_bytes()
    if len(content) > MAX_BYTES:
        problems.append(f"{len(content)} bytes: expected at most {MAX_BYTES}")
    if path.suffix.lower() in FORBIDDEN and path.parts[0] != "tests":
        problems.append(f"a {path.suffix} file: audio and weights do not belong in the repository")
    if b"\0" in content:  # not text
        return problems
    if any(line.startswith(MARKERS) for line in content.splitlines()):
        problems.append("a merge marker")
    if content and not content.endswith(b"\n"):
        problems.append("no newline at the end")
    return problems


def main(names: list[str]) -> int:
    """Check some files and return the exit code."""
    found = [f"{name}: {problem}" for name in names for problem in find_problems(Path(name))]
    for line in found:
        print(line)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
