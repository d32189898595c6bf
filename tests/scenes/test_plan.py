"""Every setting of a training plan is looked at before anything is drawn, and one training has a folder."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from farsight.errors import InputError
from farsight_scenes.plan import default_plan_path, make_plan
from farsight_scenes.progress import FILE, LOCK, held, position
from farsight_scenes.train import train
from farsight_scenes.video.plan import make_video_plan, video_plan_path

NUMBERS = (None, "x", "", True, [], {}, [1], {"a": 1}, float("nan"), float("inf"), -1, 10**30, -(10**30))
WRONG: dict[str, tuple[Any, ...]] = {
    "seed": (*NUMBERS, 0.5), "scenes": (*NUMBERS, 0, 0.5, 16000.0), "videos": (*NUMBERS, 0, 8000.0),
    "false_share": (*NUMBERS, 1.5), "snowball": (*NUMBERS, 1.5), "save_every": (*NUMBERS, 0, 0.5),
    "sizes": (7, "x", [], {"depth": 3}, {"vision_width": 130}, {"language_heads": 5}, {"vocabulary": 10}),
    "sizes.vision_width": NUMBERS, "sizes.vision_layers": (*NUMBERS, 10_000), "sizes.vision_heads": (*NUMBERS, 0),
    "sizes.language_width": (*NUMBERS, 9_600), "sizes.language_layers": (*NUMBERS, 4.0),
    "sizes.language_heads": NUMBERS, "sizes.vocabulary": (*NUMBERS, 768.0, 10**7),
    "tower": (None, 7, "x", [], {}, {"steps": 1}), "tower.steps": (*NUMBERS, 0, 850.0),
    "tower.rate": (*NUMBERS[:-2], 0),
    "tower.sinks": (0.5,), "tower.lessons": ({"list": 1},), "tower.name": ("x",),
    "projector.batch": (*NUMBERS, 0, 1.5), "projector.false_share": (0.5,), "projector.decay": (0.5,),
    "language": (None, 7, "x", [], {}, [7], [[]]), "language.0": (None, 7, {}),
    "language.0.name": (None, 7, "", "a\nb", [], True, "x" * 101),
    "language.0.steps": (*NUMBERS, 0, 800.0), "language.0.batch": (*NUMBERS, 0, 16.0), "language.0.rate": NUMBERS[:-2],
    "language.0.sinks": (*NUMBERS[1:], 1, 1.5), "language.0.decay": NUMBERS[:-2], "language.0.false_share": NUMBERS[1:],
    "language.0.lessons": (None, 7, "list", [], {}, {"list": 0}, {"list": -1}, {"list": "1"}, {"list": True},
                           {"list": float("nan")}, {"list": 1e308, "caption": 1e308}, {"sing": 1}),
    "start": (None, 7, "embedded", {"weights": "abc"}), "start.model": (None, 7, "", [], "nowhere"),
    "start.language": (None, 1, "yes"), "kind": ("films",), "speed": (1,),
}  # fmt: skip


@pytest.mark.parametrize(("shipped", "make"), [(default_plan_path(), make_plan), (video_plan_path(), make_video_plan)])
@pytest.mark.parametrize("setting", WRONG)
def test_a_wrong_setting_is_refused_in_one_line_that_names_the_file(
    setting: str, shipped: Path, make: Callable[[Path, dict[str, Any]], Any]
) -> None:
    whole = tomllib.loads(shipped.read_text(encoding="utf-8"))
    make(shipped, deepcopy(whole))
    *within, last = (int(key) if key.isdigit() else key for key in setting.split("."))
    if within and within[0] not in whole:
        return
    for value in WRONG[setting]:
        data = deepcopy(whole)
        place: Any = data
        for key in within:
            place = place[key]
        place[last] = value
        if setting == "kind" and "kind" in whole:
            continue  # who reads a plan by its kind has looked at it
        with pytest.raises(InputError, match=shipped.name) as refusal:
            make(shipped, data)
        assert "\n" not in str(refusal.value), (setting, value)


def test_a_second_training_in_a_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    plan = make_plan(default_plan_path(), tomllib.loads(default_plan_path().read_text(encoding="utf-8")))
    with held(tmp_path / "out"), pytest.raises(InputError, match="out: another training is running there"):
        train(plan, tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} <= {LOCK}
    with held(tmp_path / "out"):
        pass


def test_a_damaged_state_is_refused_in_one_line(tmp_path: Path) -> None:
    plan = make_plan(default_plan_path(), tomllib.loads(default_plan_path().read_text(encoding="utf-8")))
    for damage in (b"", b"hello" * 9, None, {"plan": "{", "stage": "0", "step": "0"}):
        if isinstance(damage, bytes):
            (tmp_path / FILE).write_bytes(damage)
        else:
            save_file({"a": torch.zeros(1)}, tmp_path / FILE, metadata=damage)
        with pytest.raises(InputError, match=f"{FILE}: is not the state of a training") as refusal:
            position(tmp_path, plan)
        assert "\n" not in str(refusal.value)
