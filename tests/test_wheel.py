"""The wheel builds without a warning, has everything in it, and runs the demo's commands in an empty environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import farsight

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=kept | environment, capture_output=True, text=True, timeout=3000
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("build")
    folder = tmp_path_factory.mktemp("dist")
    said = run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    assert "warning" not in (said.stdout + said.stderr).lower()
    return folder


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    [wheel] = built.glob("*.whl")
    run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel, cwd=folder)
    return python


def test_the_wheel_has_the_package_with_its_models_and_nothing_else(built: Path) -> None:
    [wheel] = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {
        "farsight",
        "farsight_scenes",
        f"farsight_mllm-{farsight.__version__}.dist-info",
    }
    tracked = run("git", "ls-files", "src", cwd=ROOT).stdout.splitlines()
    missing = {name.removeprefix("src/") for name in tracked} - set(names)
    assert not missing
    assert "farsight_scenes/checkpoint/model.safetensors" in names
    assert "farsight_scenes/video/checkpoint/model.safetensors" in names


def test_the_source_distribution_has_what_builds_and_tests_it(built: Path) -> None:
    [source] = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "Makefile", "constraints.txt", "LICENSE", "README.md", "tests/test_wheel.py"} <= names
    assert not [name for name in names if name.startswith((".git/", ".ci", "build/", ".venv"))]


def test_the_version_is_the_packages(python: Path, tmp_path: Path) -> None:
    command = python.with_name("farsight")
    assert run(command, "--version", cwd=tmp_path).stdout == f"farsight {farsight.__version__}\n"


def test_the_demo_runs_without_a_network(python: Path, tmp_path: Path) -> None:
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "1"}
    command, examples = python.with_name("farsight"), ROOT / "examples"
    described = run(
        command, "describe", "--compare", examples / "kitchen.png", "--objects", examples / "objects.jsonl",
        "--synonyms", "scenes", cwd=tmp_path, **nowhere,
    )  # fmt: skip
    assert "kitchen" in described.stdout
    run(
        command, "eval", "--task", "scenes:test", "--count", "2", "--methods", "greedy,farsight", "--out", "run",
        cwd=tmp_path, **nowhere,
    )  # fmt: skip
    assert json.loads((tmp_path / "run" / "results.json").read_text())
    assert (tmp_path / "run" / "report.html").exists()


def test_the_video_model_is_inside(python: Path, tmp_path: Path) -> None:
    code = (
        "from transformers import LlavaNextVideoForConditionalGeneration as Model\n"
        "from farsight_scenes import video_checkpoint_path\n"
        "print(Model.from_pretrained(video_checkpoint_path()).num_parameters() > 1e6)"
    )
    assert run(python, "-c", code, cwd=tmp_path, HF_HUB_OFFLINE="1").stdout == "True\n"
