"""The command line run in this process, on a tiny random model and a small picture."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from tiny_checkpoint import save_tiny_llava
from typer.testing import CliRunner, Result

from farsight.cli import app

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """Call the command with these arguments, as in a terminal of ``columns`` that is no terminal."""

    def run(*args: object, columns: int = 80) -> Result:
        env = {"COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "dumb"}
        return CliRunner().invoke(app, [str(arg) for arg in args], env=env)

    return run


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("tiny-llava"))


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "red.png"
    Image.new("RGB", (40, 30), "red").save(path)
    return path
