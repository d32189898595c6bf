"""``farsight serve --engine vllm``: which command it becomes, and what it refuses before that."""

import json
import shlex
import sys
from typing import Any

import pytest

from farsight import FarSight
from farsight.vllm_plugin import Sinks
from farsight_scenes import checkpoint_path


def command(run: Any, *arguments: object) -> list[str]:
    result = run("serve", *arguments, "--engine", "vllm", "--dry-run")
    assert (result.exit_code, result.stderr) == (0, "")
    return shlex.split(result.stdout)


def test_a_model_is_named_by_its_option_or_its_place(run: Any) -> None:
    more = ["--enforce-eager", "--max-model-len", 5]
    assert command(run, "-m", "some/model", *more) == command(run, "some/model", *more)
    result = run("serve", "some/model", "-m", "other", "--engine", "vllm", "--dry-run")
    assert (result.exit_code, result.stderr) == (
        2,
        "error: two models are named, other and some/model; leave one out\n",
    )


def settings(words: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(words[words.index("--additional-config") + 1])
    return found


def test_it_is_vllms_command_on_this_machine_alone(run: Any) -> None:
    words = command(run, "some/model")
    assert words[:7] == ["vllm", "serve", "some/model", "--host", "127.0.0.1", "--port", "8000"]
    assert Sinks.read(settings(words)) == Sinks(sigma=FarSight().sigma)


def test_settings_are_farsights_and_the_rest_is_vllms(run: Any) -> None:
    words = command(
        run, "some/model", "--method", "farsight(sigma=0.1, horizon=infinite, layers=0-2, heads=1)", "--port", 81,
        "--tensor-parallel-size", 2, "--additional-config", '{"other": 1}', "--enforce-eager",
    )  # fmt: skip
    config = settings(words)
    assert config["other"] == 1
    assert Sinks.read(config) == Sinks(sigma=0.1, layers=(0, 1, 2), heads=(1,))
    assert words[-3:] == ["--tensor-parallel-size", "2", "--enforce-eager"]
    assert words[words.index("--port") + 1] == "81"


def test_a_key_is_vllms_own(run: Any) -> None:
    words = command(run, "some/model", "--api-key", "secret")
    assert words[words.index("--api-key") + 1] == "secret"


def test_greedy_is_vllm_without_registers(run: Any) -> None:
    assert settings(command(run, "some/model", "--method", "greedy")) == {}


def test_the_embedded_model_is_served_under_its_name(run: Any) -> None:
    assert command(run, "embedded")[1:5] == ["serve", str(checkpoint_path()), "--served-model-name", "embedded"]


def farsight(settings: str) -> list[str]:
    return ["--method", f"farsight(horizon=infinite, {settings})"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--engine", "sglang"], "unknown engine 'sglang'; choose transformers, vllm"),
        (farsight("sigma=0"), "sigma must be a finite number > 0"),
        (farsight("slopes=steep"), "slopes must be"),
        (farsight("layers=x"), "layers must be"),
        (farsight("profile=none"), "is no constant per head, which is what vLLM can serve"),
        (["--method", "farsight"], "write farsight(horizon=infinite), or pass --engine transformers"),
        (["--method", "opera"], "does not run in vLLM, which takes greedy, farsight(horizon=infinite) and flb"),
        (["--method", "farsight(horizon=infinite)+beam"], "does not run in vLLM"),
        (["--additional-config", "{"], "--additional-config: is not JSON"),
        (["--additional-config", "[1]"], "must be a JSON object without 'farsight'"),
        (["--additional-config", '{"farsight": {}}'], "must be a JSON object without 'farsight'"),
    ],
)
def test_what_makes_no_sense_is_refused(run: Any, options: list[str], problem: str) -> None:
    refused(run, problem, *options)


def refused(run: Any, problem: str, *options: str) -> None:
    result = run("serve", "some/model", "--engine", "vllm", *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert problem in result.stderr


def test_vllm_must_be_there_and_load_the_plugin(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farsight.vllm_plugin.installation.find_spec", lambda name: None)
    refused(run, "pip install '.[vllm]' in a clone of farsight")
    monkeypatch.setattr("farsight.vllm_plugin.installation.find_spec", lambda name: name)
    monkeypatch.setenv("VLLM_PLUGINS", "lora_filesystem_resolver")
    refused(run, "keeps farsight out: add farsight to it")


@pytest.mark.parametrize("option", [["--attn-implementation", "sdpa"], ["--device", "cpu"]])
def test_what_vllm_does_not_take_is_refused(run: Any, option: list[str]) -> None:
    refused(run, "--engine vllm chooses the rest itself", *option)


def test_settings_are_checked_without_vllm(run: Any) -> None:
    command(run, "some/model")
    assert "vllm" not in sys.modules
