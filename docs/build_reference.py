"""Generate the pages of the API reference, one for each room of the package (an MkDocs hook).

MkDocs calls the functions `on_config` and `on_files`. The pages exist during the build only, so none can be out of
date after a module has moved.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS))  # a hook is loaded by its path

from draw_architecture import PACKAGE, rooms  # noqa: E402

FOLDER = "reference"


def list_modules(room: str) -> Iterator[tuple[str, Path]]:
    """Yield the dotted name and the file of each public module of a room, in alphabetical order."""
    path = PACKAGE / room
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    for file in files:
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        if not any(part.startswith("_") for part in parts):
            yield ".".join(parts), file


def describe_room(room: str) -> str:
    """Return the docstring of a room's `__init__`, or an empty string."""
    path = PACKAGE / room / "__init__.py"
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" if path.is_file() else ""


def write_room_page(room: str) -> str:
    """Return the Markdown of a room's page: its docstring and a directive for each module."""
    directives = [f"::: {name}" for name, _ in list_modules(room)]
    return "\n\n".join([f"# seenet.{room}", describe_room(room), *directives]) + "\n"


def write_index_page() -> str:
    """Return the Markdown of the first page: a list of rooms and their modules."""
    about = "Each page describes the public modules of one room ([architecture](../architecture.md))."
    lines = ["# API reference", "", about, ""]
    for room in rooms():
        names = ", ".join(f"[`{name.removeprefix('seenet.')}`]({room}.md#{name})" for name, _ in list_modules(room))
        lines.append(f"- [`{room}`]({room}.md): {names}")
    return "\n".join(lines) + "\n"


def on_config(config: "MkDocsConfig") -> "MkDocsConfig":
    """Append the reference to the navigation."""
    pages = [{room: f"{FOLDER}/{room}.md"} for room in rooms()]
    config.nav = [*(config.nav or []), {"API reference": [{"Index": f"{FOLDER}/index.md"}, *pages]}]
    return config


def on_files(files: "Files", config: "MkDocsConfig") -> "Files":
    """Add the generated pages."""
    from mkdocs.structure.files import File

    pages = {room: write_room_page(room) for room in rooms()} | {"index": write_index_page()}
    for name, text in pages.items():
        files.append(File.generated(config, f"{FOLDER}/{name}.md", content=text))
    return files
