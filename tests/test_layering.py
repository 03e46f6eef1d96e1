"""A module imports only from rooms to its left in the way of the data."""

import ast
from pathlib import Path

import seenet

ROOT = Path(seenet.__file__).parent
ROOMS = [
    *("core", "audio", "corpora", "evaluation", "data", "models", "runs", "reporting", "training", "inference", "cli"),
    *("errors", "seeds", "processes", "signals", "console", "locks", "paths", "build", "emotions", "canonical"),
]
"""The rooms; each imports only from those to its left."""


def room(module: str) -> str:
    return module.split(".")[1]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("seenet."):
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {name.name for name in node.names if name.name.startswith("seenet.")}
    return found


def modules() -> dict[str, Path]:
    paths = (p for p in ROOT.rglob("*.py") if p.name != "__init__.py")
    return {"seenet." + ".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in paths}


def test_every_module_has_a_room():
    assert {room(module) for module in modules()} == set(ROOMS)


def test_imports_point_left():
    wrong = [
        f"{module} imports {target}"
        for module, path in modules().items()
        for target in imports(path)
        if ROOMS.index(room(target)) > ROOMS.index(room(module))
    ]
    assert not wrong


def test_the_walk_sees_imports():
    assert "seenet.core.errors" in imports(ROOT / "paths.py")
    assert "seenet.fit" in imports(ROOT / "training.py"), "a deferred import counts too"
