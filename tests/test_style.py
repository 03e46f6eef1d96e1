"""Style of code and texts: standard words, short files, short functions."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = (".py", ".md", ".yaml", ".sh", ".j2")

AREAS = [
    *sorted(
        f"src/seenet/{path.name}" for path in (ROOT / "src" / "seenet").iterdir() if (path / "__init__.py").is_file()
    ),
    *("conf", "docs", "benchmarks", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", ".ci/run"),
    *sorted(f"tests/{path.name}" for path in (ROOT / "tests").iterdir() if path.is_dir() or path.suffix == ".py"),
]

NOT_YET_CLEAN: set[str] = set()
"""Areas that may still contain words of `PRIVATE_WORDS`. Remove an area once it is clean; add none."""

PRIVATE_WORDS = (
    *("way back", "goes on", "go on", "of chance", "leaves", "minds", "hears", "heard", "said", "told"),
    *("whole", "beside", "begun", "mended", "lies"),
)
"""Words of a private idiom. docs/glossary.md and the field have a term for each, e.g. backward pass, resume, random."""

ALLOWED_PHRASES = ("whole number", "whole numbers", "nobodi told")
"""Standard terms, and a sentence that the synthetic corpus speaks."""

MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60

LONG_FILES: set[str] = set()
"""Files above the limit. Remove an entry once the file is shorter; add none."""

LONG_FUNCTIONS: set[str] = set()
"""Functions above the limit. Remove an entry once the function is shorter; add none."""

WORD = re.compile(rf"(?<![\w-])({'|'.join(PRIVATE_WORDS)})(?![\w-])", re.IGNORECASE)


def files_of(area: str) -> Iterator[Path]:
    """Yield the text files of an area, without this file, which lists the words."""
    path = ROOT / area
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in files:
        is_text = file.suffix in SUFFIXES or file == path
        if file.is_file() and is_text and file != Path(__file__).resolve() and "recorded" not in file.parts:
            yield file


def find_private_words(text: str) -> list[str]:
    for phrase in ALLOWED_PHRASES:
        text = re.sub(rf"\b{phrase}\b", "", text, flags=re.IGNORECASE)
    return [match[1].lower() for match in WORD.finditer(text)]


def functions_of(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the name and the number of lines of each function of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.end_lineno - node.lineno + 1


@pytest.mark.parametrize("area", AREAS)
def test_texts_use_standard_words(area: str):
    if area in NOT_YET_CLEAN:
        pytest.skip("not yet clean")
    found = {}
    for path in files_of(area):
        words = find_private_words(path.read_text(encoding="utf-8"))
        if words:
            found[str(path.relative_to(ROOT))] = words
    assert not found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("the way back keeps it", ["way back"]),
        ("The file Lies beside it", ["lies", "beside"]),
        ("expected a whole number, not a whole file", ["whole"]),
        ("whole_clips, a_whole and whole-word", []),
    ],
)
def test_private_words_are_found(text: str, words: list[str]):
    assert find_private_words(text) == words


def test_every_exception_exists():
    assert set(AREAS) >= NOT_YET_CLEAN
    assert all((ROOT / name).is_file() for name in LONG_FILES)


@pytest.mark.parametrize("folder", ["src/seenet", "benchmarks", "docs"])
def test_files_are_short(folder: str):
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines())
        for path in sorted((ROOT / folder).rglob("*.py"))
    }
    assert lines
    assert {name: count for name, count in lines.items() if count > MAX_FILE_LINES and name not in LONG_FILES} == {}


@pytest.mark.parametrize("folder", ["src/seenet", "benchmarks"])
def test_functions_are_short(folder: str):
    long = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for name, count in functions_of(path):
            key = f"{path.relative_to(ROOT / folder)}:{name}"
            if count > MAX_FUNCTION_LINES and key not in LONG_FUNCTIONS:
                long[key] = count
    assert long == {}
