"""Whatever the user got wrong is one clear line on stderr and exit code 2."""

from pathlib import Path
from typing import Any

import pytest
from refusals import refused

from farsight.methods import METHODS


@pytest.mark.parametrize(
    ("args", "because"),
    [
        (["--sigma", "0"], "sigma must be a finite number > 0, got 0"),
        (["--sigma", "-1"], "sigma must be"),
        (["--sigma", "nan"], "sigma must be"),
        (["--sigma", "wide"], "'--sigma'"),
        (["--horizon", "far"], "horizon must be one of generation, infinite"),
        (["--horizon", "0"], "horizon must be"),
        (["--horizon", "nan"], "horizon must be"),
        (["--profile", "round"], "profile must be"),
        (["--profile", "inf"], "profile must be"),
        (["--rows", "some"], "rows must be one of all, generated, text"),
        (["--slopes", "steep"], "slopes must be"),
        (["--score-scale", "0"], "score_scale must be"),
        (["--strength", "-2"], "strength must be"),
        (["--layers", "0;1"], "--layers '0;1' is not a list of indices; write it like 0,1 or 0-3"),
        (["--layers", "3-1"], "is not a list of indices"),
        (["--layers", ""], "is not a list of indices"),
        (["--heads", "-1"], "is not a list of indices"),
        (["--heads", "0-99999999999"], "longer than any model"),
        (["--max-new-tokens", "0"], "--max-new-tokens must be at least 1, not 0"),
        (["--max-new-tokens", "-5"], "--max-new-tokens must be at least 1, not -5"),
        (["-n", "1000000000"], "--max-new-tokens must be at most 1000000, not 1000000000"),
        (["-n", "9" * 6000], "integer"),
        (["--layers", "9" * 6000], "longer than any model"),
        (["--layers", "0-" + "9" * 6000], "longer than any model"),
        (["--horizon", "9" * 6000], "horizon must be one of"),
        (["--method", "farsight(sigma=" + "[" * 1000 + ")"], "sigma must be"),
        (["--prompt", "  "], "--prompt is empty"),
        (["--method", "plain", "--sigma", "1"], "method 'plain' has no setting 'sigma'; it has none"),
        (["--method", "plain", "--compare"], "choose one with --method"),
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
    refused(run("describe", picture, "--method", "magic"), "unknown method 'magic'", *METHODS)


def test_what_does_not_fit_the_model_is_one_line(run: Any, picture: Path, model: Path) -> None:
    args = ["describe", picture, "--model", model, "--json"]
    refused(run(*args, "--layers", "1-7"), "layers [3, 4, 5, 6, 7] are out of range: this model has 0 to 2")
    refused(run(*args, "--heads", "9"), "heads [9] are out of range")
    refused(run(*args, "--attn-implementation", "guess"), "attention implementation 'guess' cannot be used here")


def test_a_prompt_of_a_million_letters_is_refused(run: Any, picture: Path, model: Path) -> None:
    args = ["describe", picture, "--json", "--model", model, "--prompt", "a dog " * 170_000]
    refused(run(*args), "the prompt has ", "was made for; shorten it")


def test_a_command_that_does_not_exist_is_one_line(run: Any) -> None:
    refused(run("draw"), "No such command 'draw'")
    refused(run("describe"), "Missing argument 'IMAGE'")


def test_a_bad_picture_is_found_before_the_model_is_loaded(run: Any, picture: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("not a picture")
    (tmp_path / "empty.png").touch()
    for name, because in (
        ("gone.png", "was not found"),
        ("notes.png", "is not a picture"),
        ("empty.png", "is empty (0 bytes)"),
        ("", "is a folder"),
    ):
        for form in ([], ["--json"], ["--compare"]):
            refused(run("describe", picture, tmp_path / name, "--model", "./no/such/folder", *form), name, because)


def test_doctor_refuses_what_describe_refuses(run: Any, model: Path) -> None:
    refused(run("doctor", "--model", "./no/such/folder"), "was not found; check the path")
    refused(run("doctor", "--model", model, "--device", "toaster"), "unknown device 'toaster'")
