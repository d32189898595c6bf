"""``method.yaml`` as every face takes it: the method that was written is the one that is on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny_checkpoint import save_tiny_llava
from typer.testing import CliRunner, Result

import farsight
from farsight import FarSight, Method
from farsight.cli import app
from farsight.lmms_eval.arguments import choose_method
from farsight.methods.registry import settings_of
from farsight.register_tokens import sigma_of
from farsight.tune.method_file import write_method

TUNED = FarSight(sigma=sigma_of(10), horizon="infinite")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "method.yaml"
    write_method(path, TUNED, comments=["Turn on: it helps"])
    return path


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.stderr
    return result


def test_python_loads_it(file: Path) -> None:
    assert farsight.load_method(file) == TUNED


def test_describe_and_eval_take_it(file: Path, tmp_path: Path) -> None:
    model = save_tiny_llava(tmp_path / "model")
    (tmp_path / "objects.jsonl").write_text('{"image_id": "red", "objects": ["dog"]}\n')
    images = tmp_path / "images"
    images.mkdir()
    Image.new("RGB", (30, 20), "red").save(images / "red.png")
    found = run(
        "describe", images / "red.png", "-m", model, "-n", 2, "--device", "cpu", "--method", f"@{file}", "--json"
    )
    assert settings_of(TUNED) in [one["method"] for one in json.loads(found.stdout)]
    run(
        "eval", "--images", images, "--objects", tmp_path / "objects.jsonl", "-m", model, "-n", 2, "--device", "cpu",
        "--methods", f"@{file}", "--out", tmp_path / "run",
    )  # fmt: skip
    [settings] = json.loads((tmp_path / "run" / "results.json").read_text())["config"]["methods"].values()
    assert settings["horizon"] == "infinite"


def test_serve_has_it_on(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("uvicorn", reason="pip install uvicorn")
    from farsight.serve import app as serving

    seen: list[Method] = []

    class EnoughError(Exception):
        pass

    def application(loaded: Any, method: Method, *more: Any, **others: Any) -> None:
        seen.append(method)
        raise EnoughError

    monkeypatch.setattr(serving, "application", application)
    model = save_tiny_llava(tmp_path / "model")
    result = CliRunner().invoke(app, ["serve", str(model), "--device", "cpu", "--port", "0", "--method", f"@{file}"])
    assert isinstance(result.exception, EnoughError)
    assert seen == [TUNED]


def test_vllm_is_told_its_registers(file: Path) -> None:
    words = run("serve", "some/model", "--engine", "vllm", "--dry-run", "--method", f"@{file}").stdout
    assert '"horizon": "infinite"' in words
    assert f'"sigma": {TUNED.sigma}' in words


def test_lmms_eval_takes_it(file: Path) -> None:
    class Base:
        def __init__(self, pretrained: str = "") -> None: ...

    assert choose_method(f"@{file}", {"pretrained": "x"}, "llava_hf", Base) == (TUNED, {"pretrained": "x"})
