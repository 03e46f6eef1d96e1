"""Real speech and a real encoder, if present: the folder SEENET_TEST_DATA, or `shared` next to the project."""

import os
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("SEENET_TEST_DATA") or Path(__file__).parents[3] / "shared")
EMODB = FOLDER / "data" / "emodb"
WHISPER = FOLDER / "models" / "whisper-tiny-en-encoder"

needs_real_data = pytest.mark.skipif(
    not (EMODB.is_dir() and WHISPER.is_dir()), reason=f"no real speech and no real encoder in '{FOLDER}'"
)
