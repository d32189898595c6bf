"""Draw which file or room directly under ``src/farsight`` imports which, floor by floor; on top what stands beside it.

    python docs/images/draw_imports.py docs/images/imports.png
    python docs/images/draw_imports.py docs/images/imports_before.png --commit d5e16c2~1

Floors are those of ``tests/test_architecture.py``. Grey: down; blue: beside each other; red: up, of which there must be
none, as of imports that go round in a circle. What everybody imports is counted, but its arrows are not drawn.
"""

from __future__ import annotations

import argparse
import ast
import io
import subprocess
import tarfile
from collections import Counter
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch

ROOT = Path(__file__).parents[2]
HOME, NEIGHBOUR, RULES = "src/farsight", "src/farsight_scenes", "tests/test_architecture.py"
FACE = "__init__"
EVERYBODYS = {"errors", "setting_checks"}
DOWN, BESIDE, UP = "#9aa4b2", "#2f6fb5", "#c0392b"


def sources(commit: str) -> dict[str, str]:
    """Every Python file of a commit, by its path; the rules of the house beside them."""
    git = ["git", "-C", str(ROOT)]
    there = subprocess.check_output([*git, "ls-tree", "--name-only", commit, HOME, NEIGHBOUR, RULES], text=True)
    packed = subprocess.check_output([*git, "archive", commit, *there.split()])
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        files = {entry.name: archive.extractfile(entry) for entry in archive if entry.name.endswith(".py")}
        return {name: file.read().decode() for name, file in files.items() if file is not None}


def floors_of(rules: str) -> dict[str, int]:
    """The table of floors in the architecture test, and the package beside above them all."""
    assigned = {
        ast.unparse(node.targets[0]): node.value for node in ast.parse(rules).body if isinstance(node, ast.Assign)
    }
    floors: dict[str, int] = ast.literal_eval(assigned["FLOORS"])
    return {**floors, FACE: ast.literal_eval(assigned["FACE_FLOOR"]), Path(NEIGHBOUR).name: max(floors.values()) + 1}


def imports(files: dict[str, str]) -> Counter[tuple[str, str]]:
    """How many imports there are from one unit to another, those inside functions as well."""
    found: Counter[tuple[str, str]] = Counter()
    units = {unit(name) for name in files}
    for name, text in files.items():
        here = list(Path(name).relative_to("src").with_suffix("").parts)
        for node in ast.walk(ast.parse(text)):
            targets = []
            if isinstance(node, ast.Import):
                targets = [alias.name.split(".") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = here[: -node.level] if node.level else []
                base = [*base, *(node.module.split(".") if node.module else [])]
                targets = [[*base, alias.name] for alias in node.names]
            for target in targets:
                if target[0] == "farsight":
                    other = target[1] if len(target) > 1 and target[1] in units else FACE
                elif target[0] == Path(NEIGHBOUR).name:
                    other = target[0]
                else:
                    continue
                found[unit(name), other] += unit(name) != other
    return +found


def unit(name: str) -> str:
    """The file or room directly under the package that a path belongs to, or the package beside it."""
    parts = Path(name).relative_to("src").with_suffix("").parts
    return parts[1] if parts[0] == "farsight" else parts[0]


def circles(edges: Counter[tuple[str, str]]) -> list[str]:
    """The units from which imports lead back to themselves."""

    def reached(start: str) -> set[str]:
        seen, waiting = set[str](), [start]
        while waiting:
            here = waiting.pop()
            new = {other for one, other in edges if one == here} - seen
            seen |= new
            waiting += new
        return seen

    return sorted(one for one in {one for one, _ in edges} if one in reached(one))


def places_of(floors: dict[str, int], edges: Counter[tuple[str, str]]) -> dict[str, tuple[float, float]]:
    """Where each unit stands: its floor, and beside those of its floor near what it imports and is imported by."""
    rows: dict[int, list[str]] = {}
    for name, floor in sorted(floors.items()):
        rows.setdefault(floor, []).append(name)
    across = {name: (place + 0.5) / len(row) for row in rows.values() for place, name in enumerate(row)}
    for _ in range(12):
        for row in rows.values():
            near = {name: [across[b if a == name else a] for a, b in edges if name in (a, b)] for name in row}
            row.sort(key=lambda name: sum(near[name]) / max(1, len(near[name])))
            across |= {name: (place + 0.5) / len(row) for place, name in enumerate(row)}
    return {name: (across[name], float(floor)) for name, floor in floors.items()}


def draw(axes: Axes, floors: dict[str, int], edges: Counter[tuple[str, str]]) -> None:
    places = places_of(floors, edges)
    for (one, other), count in edges.items():
        if other in EVERYBODYS:
            continue
        up, beside = floors[other] > floors[one], floors[other] == floors[one]
        (x, y), (to_x, to_y) = places[one], places[other]
        side = 0 if beside else 0.17 if up else -0.17
        axes.add_patch(
            FancyArrowPatch(
                (x, y + side),
                (to_x, to_y - side),
                arrowstyle="-|>",
                mutation_scale=7,
                connectionstyle=f"arc3,rad={bend(to_x - x)}" if beside else "arc3",
                color=UP if up else BESIDE if beside else DOWN,
                linewidth=0.5 + 0.25 * min(count, 6),
                alpha=0.95 if up or beside else 0.45,
                zorder=3 if up else 1,
                shrinkA=16 if beside else 0,
                shrinkB=16 if beside else 0,
            )
        )
    for name, (x, y) in places.items():
        shown = "farsight/__init__" if name == FACE else name
        box = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": "#1f2a37", "linewidth": 0.8}
        axes.text(x, y, shown, ha="center", va="center", fontsize=8, bbox=box, zorder=4)
    for floor in sorted(set(floors.values())):
        axes.text(-0.045, floor, str(floor), ha="center", va="center", fontsize=9, color="#5b6675")
    axes.set(xlim=(-0.06, 1.0), ylim=(-0.45, max(floors.values()) + 0.45))
    axes.axis("off")


def bend(distance: float) -> float:
    """How far an arc is bent upwards, so that it stays between two floors whatever its length."""
    return -0.07 / distance if abs(distance) > 0.2 else -0.35 if distance > 0 else 0.35


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--commit", default="HEAD")
    options = parser.parse_args()
    files = sources(options.commit)
    floors = floors_of(files.pop(RULES))
    edges = imports(files)
    floors = {name: floor for name, floor in floors.items() if name in {unit(path) for path in files}}
    up = [f"{one} to {other}" for one, other in edges if floors[other] > floors[one]]
    figure, axes = plt.subplots(figsize=(11, 7), layout="constrained")
    draw(axes, floors, edges)
    said = f"{len(floors)} files and rooms, {len(edges)} arrows; up: {len(up)}; in a circle: {len(circles(edges))}"
    axes.set_title(said, fontsize=10, loc="left")
    figure.savefig(options.out, dpi=110)
    print(said, *up, *circles(edges), sep="\n")


if __name__ == "__main__":
    main()
