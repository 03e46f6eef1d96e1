"""The rooms of the package: their order, what each may import, and which stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import seenet

ROOT = Path(seenet.__file__).parent
ROOMS = [
    *("core", "audio", "corpora", "evaluation", "data", "models"),
    *("runs", "features", "reporting", "training", "inference", "cli"),
]
"""A room imports only from itself and from rooms to its left."""

SEPARATE = {"inference": "training"}
"""A room and the one to its left that it must not import."""

LIGHT = (
    *("core", "audio", "corpora", "runs"),
    *("evaluation.scores", "evaluation.speaker_statistics", "evaluation.clusters"),
)
"""What imports no torch."""


def imports(path: Path) -> set[str]:
    """The modules of seenet that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "seenet":
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("seenet.")}
    return found


def find_wrong_imports(root: Path) -> list[str]:
    """Every import from a room to the right, or from one that is forbidden."""
    wrong = []
    for path in sorted(root.rglob("*.py")):
        room = path.relative_to(root).parts[0]
        for target in imports(path):
            other = target.split(".")[1]
            if room in ROOMS and other in ROOMS:
                is_right = ROOMS.index(other) > ROOMS.index(room) or SEPARATE.get(room) == other
                wrong += [f"{path.relative_to(root)} imports {target}"] if is_right else []
    return wrong


def test_package_holds_only_rooms():
    names = {path.name for path in ROOT.iterdir() if path.name not in ("__pycache__", "conf", "py.typed")}
    assert names <= {"__init__.py", *ROOMS}
    assert names >= {"__init__.py", *ROOMS} - {"inference"}


def test_rooms_import_only_from_their_left():
    assert find_wrong_imports(ROOT) == []


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("corpora", "from seenet.training.run import train"),
        ("core", "def late():\n    from seenet import audio\n    return audio"),
        ("inference", "import seenet.training.run"),
        ("data", "from seenet.models import pooling"),
    ],
)
def test_planted_import_is_found(tmp_path: Path, room: str, line: str):
    (tmp_path / room).mkdir()
    (tmp_path / room / "planted.py").write_text(line + "\n")
    assert len(find_wrong_imports(tmp_path)) == 1


def test_every_room_says_what_it_holds():
    for folder in (path.parent for path in ROOT.rglob("__init__.py")):
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
        assert len(text) > 40, folder


def test_light_rooms_import_no_torch():
    modules = []
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if any(name == light or name.startswith(f"{light}.") for light in LIGHT):
            modules.append(f"seenet.{name}".removesuffix(".__init__"))
    assert len(modules) > 30
    code = f"import importlib, sys\nfor name in {modules!r}:\n    importlib.import_module(name)\n"
    code += "    assert 'torch' not in sys.modules, name\n"
    subprocess.run([sys.executable, "-c", code], check=True)
