"""`farsight.lmms_eval.arguments`: what --model_args says, without lmms-eval."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farsight import FarSight
from farsight.errors import SettingError
from farsight.lmms_eval.arguments import choose_base, choose_method, with_device_map
from farsight.method import Composed, Plain
from farsight.methods.vcd import VCD


class TakesNoMore:
    def __init__(self, pretrained: str = "", device: str = "cuda", device_map: str = "", seed: int = 0) -> None: ...


class TakesAnything:
    def __init__(self, pretrained: str = "", **kwargs: Any) -> None: ...


def test_settings_beside_a_method_are_its_own_and_the_rest_is_the_base_models() -> None:
    given = {"pretrained": "x", "sigma": 0.05, "rows": "generated", "layers": "[0,1]"}
    method, left = choose_method("farsight", given, "llava_hf", TakesNoMore)
    assert method == FarSight(sigma=0.05, rows="generated", layers=(0, 1))
    assert left == {"pretrained": "x"}


@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_settings_may_stand_in_brackets_in_the_quotes_that_lmms_eval_leaves(quote: str) -> None:
    text = f"{quote}farsight(sigma=0.05, rows=generated)+beam{quote}"
    method, left = choose_method(text, {"pretrained": "x"}, "llava_hf", TakesNoMore)
    assert isinstance(method, Composed)
    assert method.methods[0] == FarSight(sigma=0.05, rows="generated")
    assert left == {"pretrained": "x"}


def test_a_method_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "tuned.yaml").write_text("{method: farsight, sigma: 0.05}")
    text = f"@{tmp_path / 'tuned.yaml'}"
    assert choose_method(text, {"pretrained": "x"}, "llava_hf", TakesNoMore) == (
        FarSight(sigma=0.05),
        {"pretrained": "x"},
    )


def test_greedy_is_plain() -> None:
    assert choose_method("greedy", {}, "llava_hf", TakesNoMore) == (Plain(), {})


def test_a_base_that_takes_anything_gets_what_is_no_setting() -> None:
    assert choose_method("vcd", {"fps": 2}, "llava_hf", TakesAnything) == (VCD(), {"fps": 2})


def test_brackets_say_whose_a_shared_name_is() -> None:
    with pytest.raises(SettingError, match=r"both method 'vcd' and base 'llava_hf' have 'seed'.*'vcd\(seed=3\)'"):
        choose_method("vcd", {"seed": 3}, "llava_hf", TakesNoMore)
    assert choose_method("vcd(seed=3)", {"seed": 4}, "llava_hf", TakesNoMore) == (VCD(seed=3), {"seed": 4})


@pytest.mark.parametrize(
    ("method", "given", "problem"),
    [
        (None, {}, "names no method"),
        ("farsite", {}, "unknown method 'farsite', did you mean 'farsight'"),
        ("vcd", {"sigma": 1.0}, "method 'vcd' has no setting 'sigma'"),
        ("farsight", {"sigmma": 1.0}, "has 'sigmma', did you mean 'sigma'"),
        ("farsight", {"pretraned": "x"}, "has 'pretraned', did you mean 'pretrained'"),
        ("farsight+beam", {"sigma": 1.0}, "takes its settings in brackets: write sigma there"),
        ("farsight(sigma=-1)", {}, "sigma"),
        ("vcd+m3id", {}, "both change the logits"),
    ],
)
def test_what_does_not_fit_is_refused(method: object, given: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingError) as caught:
        choose_method(method, given, "llava_hf", TakesNoMore)
    assert problem in str(caught.value)


def test_a_misspelt_setting_does_not_slip_through_to_a_base_that_takes_anything() -> None:
    with pytest.raises(SettingError, match="did you mean 'sigma'"):
        choose_method("farsight", {"sigmma": 1.0}, "llava_hf", TakesAnything)


def test_the_base_must_be_named_and_known() -> None:
    known = ["llava_hf", "qwen2_5_vl"]
    assert choose_base("llava_hf", known) == "llava_hf"
    with pytest.raises(SettingError, match="names no base"):
        choose_base(None, known)
    with pytest.raises(SettingError, match="no model 'lava_hf' to be the base, did you mean 'llava_hf'"):
        choose_base("lava_hf", known)


def test_an_empty_device_map_is_filled_in_unless_there_are_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert with_device_map({}, TakesNoMore, "cpu") == {"device": "cpu", "device_map": "cpu"}
    assert with_device_map({"device": "cuda:1"}, TakesNoMore, "cuda") == {"device": "cuda:1", "device_map": "cuda:1"}
    given = {"device_map": "auto"}
    assert with_device_map(given, TakesNoMore, "cuda") == {"device": "cuda", "device_map": "auto"}
    assert with_device_map({}, TakesAnything, "cpu") == {}
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert with_device_map({}, TakesNoMore, "cuda") == {}
