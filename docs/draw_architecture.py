"""Draw docs/images/architecture.svg from the imports of the package.

Each box is a room, a package directly below src/seenet. An arrow points from a room to a room that it imports. Its
number counts the import statements, deferred ones included. The output depends on the source alone: the same imports
give the same bytes.

    python docs/draw_architecture.py          # write the picture
    python docs/draw_architecture.py --check  # exit with 1 if the picture is out of date
"""

import ast
import sys
from collections import Counter
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "seenet"
PICTURE = ROOT / "docs" / "images" / "architecture.svg"

DESCRIPTIONS = {
    "core": "errors, paths, seeds, locks, console",
    "audio": "decoding of audio and video files",
    "corpora": "parsers, manifest, store, folds, leak audit",
    "evaluation": "scores, calibration, statistics",
    "data": "batches, augmentation, test conditions",
    "models": "backbones, pooling, auxiliary tasks",
    "runs": "run identity, result, bundle",
    "reporting": "tables, plots, HTML report",
    "training": "experiments, folds, sweeps",
    "inference": "prediction, serving, export",
    "cli": "console commands",
}
"""The rooms in their order: a room imports only rooms above it."""

WIDTH, BOX, TOP, GAP, PORT = 800, 330, 44, 12, 9  # pixels
COLOURS = ("#3b6ea5", "#b5651d", "#3f7f4f", "#8a4f9e", "#a23b4a", "#2f7f86", "#7a6a1f", "#5a5fb0", "#a0527a", "#55606a")
WARNING = "#d00000"
FONT = "font-family='DejaVu Sans, Verdana, Helvetica, Arial, sans-serif'"


def rooms() -> list[str]:
    """Return the packages directly below src/seenet, known rooms first and in their order."""
    found = sorted(p.name for p in PACKAGE.iterdir() if p.is_dir() and any(p.rglob("*.py")))
    known = [room for room in DESCRIPTIONS if room in found]
    return known + [room for room in found if room not in known]


def list_imports(path: Path) -> list[str]:
    """Return the modules of the package that each import statement of a file names, one entry a statement."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "seenet":
            found += [f"seenet.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("seenet."):
            found.append(str(node.module))
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("seenet.")]
    return found


def count_imports() -> Counter[tuple[str, str]]:
    """Count the import statements between each pair of rooms: (importing room, imported room)."""
    known, counts = rooms(), Counter[tuple[str, str]]()
    for room in known:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            for module in list_imports(path):
                imported = module.split(".")[1]
                if imported in known and imported != room:
                    counts[room, imported] += 1
    return counts


def draw(names: list[str], counts: Counter[tuple[str, str]]) -> str:
    """Return the picture as SVG.

    Args:
        names: the rooms from top to bottom.
        counts: the number of import statements, by importing and imported room.
    """
    place = {name: k for k, name in enumerate(names)}
    above: dict[str, list[str]] = {name: [] for name in names}  # the other ends of a room's arrows, nearest first
    below: dict[str, list[str]] = {name: [] for name in names}
    for pair in counts:
        high, low = sorted(pair, key=place.__getitem__)
        above[low].append(high)
        below[high].append(low)
    for name in names:
        above[name].sort(key=lambda other: -place[other])
        below[name].sort(key=lambda other: place[other])
    tops, height = {}, TOP
    heights = {name: max(42, PORT * (len(above[name]) + len(below[name])) + 12) for name in names}
    for name in names:
        tops[name], height = height, height + heights[name] + GAP

    def port(name: str, other: str) -> float:
        """Return where the arrow between two rooms touches the first one: nested arrows do not cross."""
        if place[other] < place[name]:
            return tops[name] + 6 + PORT * (above[name].index(other) + 0.5)
        return tops[name] + heights[name] - 6 - PORT * (below[name].index(other) + 0.5)

    body, labels = [], []
    for (importer, imported), count in sorted(counts.items(), key=lambda item: (place[item[0][0]], place[item[0][1]])):
        distance = abs(place[importer] - place[imported])
        colour = COLOURS[place[imported] % len(COLOURS)] if place[imported] < place[importer] else WARNING
        start, end, edge, reach = port(importer, imported), port(imported, importer), BOX + 20, 40 + 48 * distance
        thickness = 1 + min(count, 40) / 16
        body.append(
            f"<path d='M{edge} {start:.1f} C{edge + reach} {start:.1f} {edge + reach} {end:.1f} {edge + 7} {end:.1f}' "
            f"fill='none' stroke='{colour}' stroke-width='{thickness:.2f}'/>"
            f"<path d='M{edge} {end:.1f} l8 -4 v8 z' fill='{colour}'/>"
        )
        x, y = edge + 0.75 * reach, (start + end) / 2 + 4
        text = f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='middle' font-size='11'"
        halo = f"{text} stroke='white' stroke-width='4'>{count}</text>"
        labels.append(f"{halo}{text} fill='{colour}' font-weight='bold'>{count}</text>")
    for name in names:
        middle, colour = tops[name] + heights[name] / 2, COLOURS[place[name] % len(COLOURS)]
        body.append(
            f"<rect x='20' y='{tops[name]}' width='{BOX}' height='{heights[name]}' rx='6' fill='#f6f7f9' "
            f"stroke='{colour}' stroke-width='1.5'/>"
            f"<text x='34' y='{middle - 2:.1f}' font-size='14' font-weight='bold' fill='{colour}'>{escape(name)}</text>"
            f"<text x='34' y='{middle + 14:.1f}' font-size='12' fill='#333'>{escape(DESCRIPTIONS.get(name, ''))}</text>"
        )
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' "
            f"width='{WIDTH}' height='{height}' {FONT}>",
            f"<rect width='{WIDTH}' height='{height}' fill='white'/>",
            "<text x='20' y='28' font-size='13' fill='#333'>Rooms of seenet: an arrow points to the imported room; "
            "the number counts import statements</text>",
            *body,
            *labels,
            "</svg>\n",
        ]
    )


def main(arguments: list[str]) -> int:
    """Write the picture, or with `--check` compare it with the file."""
    picture = draw(rooms(), count_imports())
    if "--check" in arguments:
        return int(not PICTURE.is_file() or PICTURE.read_text(encoding="utf-8") != picture)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(picture, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
