"""The house holds: every module has a floor, nothing lower imports anything higher, no two rooms import each other.

What stands beside it (``BESIDE``) is on top of all floors: it may import any of them, and none of them imports it.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "farsight"
SOURCE = Path(__file__).parents[1] / "src" / PACKAGE
BESIDE = "farsight_scenes"
"""The package that this one reaches by the names in its registries, and runs without."""

FLOORS = {
    "errors": 0,
    "setting_checks": 0,
    "files": 0,
    "entries": 0,
    "registers": 1,
    "register_tokens": 1,
    "horizon": 1,
    "logit_rules": 1,
    "cancelling": 1,
    "instances": 1,
    "images": 1,
    "inputs": 1,
    "metrics": 1,
    "attention": 2,
    "report": 2,
    "vllm_plugin": 2,
    "call": 3,
    "checkpointing": 3,
    "block": 3,
    "method": 3,
    "calibration": 3,
    "zero_cache": 3,
    "farsight": 3,
    "judging": 3,
    "methods": 4,
    "description": 5,
    "diagnose": 5,
    "export": 5,
    "evaluate": 5,
    "serve": 6,
    "tune": 6,
    "web": 6,
    "lmms_eval": 6,
    "vlmevalkit": 6,
    "cli": 7,
    "__main__": 8,
}
"""A module or a package directly under ``farsight``, which is a room, and its floor."""

FACE = "__init__"
"""What users import: it may use floors 0 to 4, and only floors from 5 up may use it."""
FACE_FLOOR = 4

ONLY_OURS = {
    "errors": set(),
    "setting_checks": {"errors"},
    "files": {"errors"},
    "entries": {"errors"},
    "vllm_plugin": {"errors", "logit_rules", "registers", "setting_checks"},
}
"""Modules that may import these of ours and no others."""
FLOOR_1_FILES_MAY_IMPORT = {"registers"}

NEVER = {
    "errors": {"torch", "transformers"},
    "registers": {"transformers"},
    "register_tokens": {"torch", "transformers"},
    "metrics": {"torch", "transformers"},
    "report": {"torch", "transformers"},
    "images": {"torch", "transformers"},
    "files": {"torch", "transformers"},
}
"""Modules and the libraries that they do without."""

VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "misc"}
MOST_LINES = 400


def problems(source: Path) -> list[str]:
    """Say what is wrong in a package, one sentence each."""
    found: list[str] = []
    modules = {name_of(path, source): path for path in sorted(source.rglob("*.py"))}
    same_floor: dict[str, set[str]] = {}
    for name, path in modules.items():
        where = path.relative_to(source.parent).as_posix()
        found += appearance(where, path)
        room = unit(name)
        if room != FACE and room not in FLOORS:
            found.append(f"{where} is on no floor: place '{room}' in FLOORS of {Path(__file__).name}")
            continue
        for line, target in imports(path, name, set(modules)):
            at = f"{where}:{line}"
            if target.split(".")[0] == BESIDE:
                found.append(f"{at} imports {target}, which is reached by a name in a registry")
            elif target.split(".")[0] != PACKAGE:
                if target.split(".")[0] in NEVER.get(room, ()):
                    found.append(f"{at} imports {target}, which {room} does without")
            elif (other := unit(target)) != room:
                found += direction(at, room, other, source)
                if FLOORS.get(room) == FLOORS.get(other):
                    same_floor.setdefault(room, set()).add(other)
    return found + [f"{circle} import each other in a circle" for circle in circles(same_floor)]


def appearance(where: str, path: Path) -> Iterator[str]:
    if path.stem in VAGUE_NAMES or path.parent.name in VAGUE_NAMES:
        yield f"{where} has a name that says nothing: call it what it is"
    if (lines := len(path.read_text(encoding="utf-8").splitlines())) > MOST_LINES:
        yield f"{where} has {lines} lines, more than {MOST_LINES}: split it"


def direction(at: str, room: str, other: str, source: Path) -> Iterator[str]:
    """What is wrong with ``room`` importing ``other``."""
    if other != FACE and other not in FLOORS:
        return  # reported where it stands
    floor = FACE_FLOOR if room == FACE else FLOORS[room]
    if other == FACE:
        if floor <= FACE_FLOOR:
            yield f"{at}: {room} (floor {floor}) imports the package's face: import the module that has the name"
        return
    if room in ONLY_OURS:
        if other not in ONLY_OURS[room]:
            yield f"{at}: {room} may import {', '.join(sorted(ONLY_OURS[room])) or 'nothing'} of ours, not {other}"
        return
    if FLOORS[other] > floor:
        yield f"{at}: {room} (floor {floor}) imports {other} (floor {FLOORS[other]}), which is higher"
    if room == FACE or FLOORS[other] != floor:
        return
    if is_room(source, room) or is_room(source, other):
        yield f"{at}: {room} and {other} are both on floor {floor}, where rooms do not import each other"
    elif floor == 1 and other not in FLOOR_1_FILES_MAY_IMPORT:
        yield f"{at}: {room} imports {other}, but on floor 1 only {', '.join(FLOOR_1_FILES_MAY_IMPORT)} may be shared"


def is_room(source: Path, name: str) -> bool:
    return (source / name).is_dir()


def name_of(path: Path, source: Path) -> str:
    """Name of a file as Python imports it, such as ``farsight.cli.app``; a package's own file is the package."""
    parts = path.relative_to(source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def unit(module: str) -> str:
    """Which file or room directly under the package a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else FACE


def imports(path: Path, name: str, modules: set[str]) -> Iterator[tuple[int, str]]:
    """Every import of a file, inside functions as well: line and full name of the module."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parents, *([node.module] if node.module else [])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield node.lineno, full if full in modules else base


def circles(edges: dict[str, set[str]]) -> list[str]:
    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = list(edges.get(start, ()))
        while waiting:
            if (here := waiting.pop()) not in seen:
                seen.add(here)
                waiting += edges.get(here, ())
        return seen

    around = sorted(name for name in edges if name in reached(name))
    return [" and ".join(around)] if around else []


def test_every_module_keeps_to_its_floor() -> None:
    found = problems(SOURCE)
    for path in sorted((SOURCE.parent / BESIDE).rglob("*.py")):
        found += appearance(path.relative_to(SOURCE.parent).as_posix(), path)
    assert not found, "\n".join(["", *found])


def test_importing_the_package_changes_nothing_and_loads_no_face() -> None:
    """Every function and class attribute of PyTorch and Transformers that a patch could aim at is the same object."""
    script = """
import sys
import torch.nn.functional, transformers.masking_utils, transformers.modeling_utils
from transformers import AttentionInterface, AttentionMaskInterface, GenerationMixin, PreTrainedModel
from transformers.models.llama import modeling_llama
places = [torch.nn.functional, torch.nn.Module, PreTrainedModel, GenerationMixin, modeling_llama.LlamaAttention,
          transformers.masking_utils, transformers.modeling_utils]
def state():
    values = {(str(place), name): value for place in places for name, value in vars(place).items()}
    for registry in (AttentionInterface, AttentionMaskInterface):
        values |= {(str(registry), name): registry()[name] for name in registry().valid_keys()}
    return values
before = state()
import farsight
[getattr(farsight, name) for name in farsight.__all__]
after = state()
assert all(after[key] is before[key] for key in before), [k for k in before if after[k] is not before[k]]
faces = {"typer", "gradio", "lmms_eval", "vllm", "farsight.cli", "farsight.web", "farsight.lmms_eval",
         "farsight.vllm_plugin"} & set(sys.modules)
assert not faces, faces
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("registers.py", "from farsight.attention.tap import Tap", "registers (floor 1) imports attention (floor 2)"),
        ("method.py", "def f():\n    import farsight.cli", "method (floor 3) imports cli (floor 7)"),
        ("attention/eager.py", "from ..farsight import FarSight", "attention (floor 2) imports farsight (floor 3)"),
        ("attention/eager.py", "from .. import methods", "attention (floor 2) imports methods (floor 4)"),
        ("attention/eager.py", "from farsight import FarSight", "imports the package's face"),
        ("errors.py", "from . import registers", "errors may import nothing of ours, not registers"),
        ("__init__.py", "from farsight.diagnose import maps", "__init__ (floor 4) imports diagnose (floor 5)"),
        ("report/page.py", "from farsight.attention import tap", "are both on floor 2, where rooms do not import"),
        (
            "images.py",
            "from farsight_scenes import checkpoint_path",
            "imports farsight_scenes, which is reached",
        ),
        ("images.py", "from farsight.horizon import Horizon", "on floor 1 only registers may be shared"),
        (
            "vllm_plugin.py",
            "from farsight import method",
            "vllm_plugin may import errors, logit_rules, registers, setting_checks of ours",
        ),
        ("registers.py", "import transformers.models", "imports transformers.models, which registers does without"),
        ("metrics/chair.py", "def f():\n    from torch import nn", "imports torch, which metrics does without"),
        ("novelty.py", "", "farsight/novelty.py is on no floor: place 'novelty' in FLOORS"),
        ("attention/utils.py", "", "attention/utils.py has a name that says nothing"),
        ("method.py", "\n" * 401, "method.py has 401 lines, more than 400: split it"),
    ],
)
def test_the_check_finds_what_is_wrong(tmp_path: Path, file: str, text: str, problem: str) -> None:
    source = made_up(tmp_path)
    assert problems(source) == []
    (source / file).write_text(text)
    found = problems(source)
    assert [problem in sentence for sentence in found].count(True) == 1, found


def test_the_check_finds_circles_on_a_floor(tmp_path: Path) -> None:
    source = made_up(tmp_path)
    (source / "method.py").write_text("from farsight.farsight import FarSight")
    assert problems(source) == ["farsight and method import each other in a circle"]


def made_up(tmp_path: Path) -> Path:
    """A small house in which everything is right."""
    source = tmp_path / PACKAGE
    files = {
        "__init__.py": "from farsight.farsight import FarSight",
        "errors.py": "",
        "registers.py": "import torch\nfrom farsight.errors import SettingError",
        "horizon.py": "from . import registers",
        "method.py": "",
        "attention/__init__.py": "from farsight.attention import tap",
        "attention/tap.py": "from farsight import registers\nfrom .eager import eager",
        "attention/eager.py": "from ..horizon import Horizon",
        "report/__init__.py": "",
        "metrics/__init__.py": "import numpy",
        "diagnose/__init__.py": "from farsight import FarSight",
        "farsight.py": "from farsight.attention import tap\nfrom farsight.method import Method",
        "methods/__init__.py": "from farsight.farsight import FarSight",
        "cli/__init__.py": "from farsight import methods, FarSight",
        "__main__.py": "from farsight.diagnose import maps",
    }
    for name, text in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return source
