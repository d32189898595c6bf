"""Whatever the user got wrong is one clear line on stderr and exit code 2."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from refusals import refused

from farsight import FarSight, parse_method
from farsight.cli.options import SETTINGS
from farsight.methods import METHODS, called


def farsight(settings: str) -> list[str]:
    return ["--method", f"farsight({settings})"]


@pytest.mark.parametrize(
    ("args", "because"),
    [
        (farsight("sigma=0"), "sigma must be a finite number > 0, got 0"),
        (farsight("sigma=-1"), "sigma must be"),
        (farsight("sigma=nan"), "sigma must be"),
        (farsight("horizon=far"), "horizon must be one of generation, infinite"),
        (farsight("horizon=0"), "horizon must be"),
        (farsight("horizon=nan"), "horizon must be"),
        (farsight("profile=round"), "profile must be"),
        (farsight("profile=inf"), "profile must be"),
        (farsight("rows=some"), "rows must be one of all, generated, text"),
        (farsight("slopes=steep"), "slopes must be"),
        (farsight("score_scale=0"), "score_scale must be"),
        (farsight("strength=-2"), "strength must be"),
        (farsight("layers=0;1"), "layers must be"),
        (farsight("layers=3-1"), "layers='3-1' ends before it starts; write it like 0-3 or [0, 1]"),
        (farsight("layers="), "layers must be"),
        (farsight("heads=-1"), "heads must be"),
        (farsight("heads=0-99999999999"), "longer than any model"),
        (["--max-new-tokens", "0"], "--max-new-tokens must be at least 1, not 0"),
        (["--max-new-tokens", "-5"], "--max-new-tokens must be at least 1, not -5"),
        (["-n", "1000000000"], "--max-new-tokens must be at most 1000000, not 1000000000"),
        (["-n", "9" * 6000], "integer"),
        (farsight("layers=" + "9" * 6000), "longer than any model"),
        (farsight("layers=0-" + "9" * 6000), "longer than any model"),
        (farsight("horizon=" + "9" * 6000), "horizon must be"),
        (["--method", "farsight(sigma=" + "[" * 1000 + ")"], "sigma must be"),
        (["--prompt", "  "], "--prompt is empty"),
        (["--method", "plain(sigma=1)"], "method 'plain' has no setting 'sigma'; it has none"),
        (["--method", "plain", "--compare"], "choose one with --method"),
        (["--method", "greedy", "--compare"], "choose one with --method"),
        (["--method", "@"], "'@' names no file"),
        (["--method", "@no/such.yaml"], "no/such.yaml"),
        (["--device", "toaster"], "unknown device 'toaster'; choose cpu, cuda"),
        (["--dtype", "int3"], "unknown dtype 'int3'; choose float32, bfloat16, float16"),
        (["--model", "nobody/no-such-model"], "'nobody/no-such-model' was not found locally"),
        (["--model", "./no/such/folder"], "was not found; check the path"),
        (["--model", ""], "is empty"),
        (["--colour"], "No such option"),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_a_bad_option_is_one_line(
    run: Any, picture: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], because: str
) -> None:
    refused(run("describe", picture, *args), because)


def test_an_unknown_method_is_answered_with_those_that_exist(run: Any, picture: Path) -> None:
    refused(run("describe", picture, "--method", "magic"), "unknown method 'magic'", *map(called, METHODS))


def test_what_does_not_fit_the_model_is_one_line(run: Any, picture: Path, model: Path) -> None:
    args = ["describe", picture, "--model", model, "--json"]
    refused(run(*args, *farsight("layers=1-7")), "layers [3, 4, 5, 6, 7] are out of range: this model has 0 to 2")
    refused(run(*args, *farsight("heads=9")), "heads [9] are out of range")
    refused(run(*args, "--attn-implementation", "guess"), "attention implementation 'guess' cannot be used here")


def test_a_prompt_of_a_million_letters_is_refused(run: Any, picture: Path, model: Path) -> None:
    args = ["describe", picture, "--json", "--model", model, "--prompt", "a dog " * 170_000]
    refused(run(*args), "the prompt has ", "was made for; shorten it")


def test_a_command_that_does_not_exist_is_one_line(run: Any) -> None:
    refused(run("draw"), "there is no command 'draw'; farsight --help lists them")
    refused(run("trian"), "there is no command 'trian', did you mean 'train'?")
    refused(run("describe"), "there is nothing to describe: give a picture, or ask without one with --prompt")


def test_a_bad_picture_is_found_before_the_model_is_loaded(run: Any, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    for name, because in (
        ("gone.png", "was not found"),
        ("notes.png", "is not a picture"),
        ("empty.png", "is empty (0 bytes)"),
        ("*.gif", "matches no file"),
    ):
        for form in ([], ["--json"], ["--compare"]):
            refused(run("describe", picture, tmp_path / name, "--model", "./no/such/folder", *form), name, because)


def test_doctor_refuses_what_describe_refuses(run: Any, model: Path) -> None:
    refused(run("doctor", "--model", "./no/such/folder"), "was not found; check the path")
    refused(run("doctor", "--model", model, "--device", "toaster"), "unknown device 'toaster'")


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_is_written_as_an_option_is_told_where_it_belongs(run: Any, picture: Path, name: str) -> None:
    written = f'"farsight({name.replace("-", "_")}={SETTINGS[name]})"'
    parse_method(written.strip('"'))
    for command in (
        ["describe", picture],
        ["diagnose", picture, "--out", "out"],
        ["serve"],
        ["serve", "some/model"],
        ["serve", "some/model", "--engine", "vllm", "--dry-run"],
    ):
        refused(run(*command, f"--{name}", "0"), f"No such option --{name}; write it in the method: --method {written}")
        refused(run(*command, f"--{name}=0"), f"No such option --{name}; write it in the method: --method {written}")
    refused(run("eval", f"--{name}", "0"), f"write it in the method: --method {written}")


def test_those_are_the_settings_of_farsight() -> None:
    assert {name.replace("-", "_") for name in SETTINGS} == {field.name for field in fields(FarSight)}


def test_a_command_without_methods_says_no_more_than_that_there_is_no_such_option(run: Any) -> None:
    assert "method" not in run("chair", "a.jsonl", "--sigma", "1").stderr
