"""A rule for logits is met by every forward of the model that generates, and never put on in vain."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import models
import pytest
import torch
from architectures import ROWS
from inputs import prompt
from test_grid import greedy
from tiny_model import tiny_model
from torch import Tensor, nn

from farsight import ICD, M3ID, VCD, DeCo, DoLa, Method, SettingError, UnsupportedModelError
from farsight.methods.logits import logits_changed


@dataclass(frozen=True, kw_only=True)
class Turned(Method):
    """The least likely token first."""

    name: ClassVar[str] = "turned"
    changes: ClassVar[str] = "logits"

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        with logits_changed(model, torch.neg):
            yield


def test_every_way_into_the_forward_meets_the_rule() -> None:
    model, inputs = models.llava(), models.prompt(models.llava())
    with torch.no_grad():
        plain = model(**inputs).logits
        with Turned()(model):
            ways = [
                model(**inputs).logits,
                model.forward(**inputs).logits,
                model(**inputs, return_dict=False)[0],
                model(inputs.pop("input_ids"), **inputs).logits,
            ]
    for logits in ways:
        assert torch.equal(logits, -plain)


def test_each_step_is_the_rule_on_the_models_own_logits() -> None:
    model = models.llava()
    with Turned()(model):
        found = greedy(model)
    ids = found.sequences
    pixels = models.prompt(model)["pixel_values"]
    with torch.no_grad():
        own = model(input_ids=ids[:, :-1], pixel_values=pixels, use_cache=False).logits[0, -len(found.logits) :]
    torch.testing.assert_close(torch.cat(found.logits), -own, atol=1e-5, rtol=0)


def test_a_rule_gets_half_precision_as_fp32() -> None:
    model, seen = models.llama().to(torch.bfloat16), []

    def rule(logits: Tensor) -> Tensor:
        seen.append(logits.dtype)
        return logits

    with logits_changed(model, rule), torch.no_grad():
        assert model(**models.prompt(model)).logits.dtype == torch.float32
    assert seen == [torch.float32]


def test_a_loss_is_refused() -> None:
    model = models.llama()
    inputs = models.prompt(model)
    with Turned()(model), pytest.raises(SettingError, match="a loss would be that of the plain logits"):
        model(**inputs, labels=inputs["input_ids"])


@pytest.mark.parametrize(
    "method",
    [Turned(), DoLa(layers=(0, 1)), DeCo(), VCD(), ICD(prefix_ids=(3,)), M3ID(alpha=1.0)],
    ids=lambda method: method.name,
)
def test_a_model_that_generates_with_a_part_of_itself_is_refused(method: Method) -> None:
    model = tiny_model("instructblip", ROWS["instructblip"].config)
    inputs = prompt(model, ROWS["instructblip"])
    with method(model), pytest.raises(UnsupportedModelError, match="generates with a part of itself"):
        model.generate(**inputs, max_new_tokens=2)


@pytest.mark.parametrize("method", [Turned(), DoLa(layers=(0, 1)), DeCo()], ids=lambda method: method.name)
def test_put_on_that_part_a_method_changes_what_the_model_says(method: Method) -> None:
    model: Any = tiny_model("instructblip", ROWS["instructblip"].config)
    inputs = prompt(model, ROWS["instructblip"])
    how = {"max_new_tokens": 2, "output_logits": True, "return_dict_in_generate": True, "do_sample": False}
    plain = model.generate(**inputs, **how).logits
    with method(model.language_model):
        changed = model.generate(**inputs, **how).logits
    assert not torch.equal(changed[0], plain[0])


@pytest.mark.parametrize("method", [Turned(), DoLa(layers=(0, 1)), DeCo()], ids=lambda method: method.name)
def test_a_peft_wrapper_generates_what_its_model_does(method: Method) -> None:
    peft = pytest.importorskip("peft", reason="pip install peft")
    model = models.llava()
    with method(model):
        expected = torch.cat(greedy(model).logits)
    lora = peft.LoraConfig(r=2, target_modules=r".*language_model.*(q_proj|v_proj)")  # as it begins: it adds nothing
    wrapped = peft.get_peft_model(model, lora).eval()
    with method(wrapped):
        found = wrapped.generate(
            **models.prompt(models.llava()),
            max_new_tokens=6,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
    assert torch.equal(torch.cat(found.logits), expected)


def test_a_generate_that_fails_in_one_thread_says_nothing_of_another() -> None:
    model = models.llama()
    inputs, found = models.prompt(model), []
    with Turned()(model):
        with pytest.raises(ZeroDivisionError):
            model.generate(**inputs, max_new_tokens=1, stopping_criteria=[lambda *_: 1 / 0])
        thread = threading.Thread(target=lambda: found.append(model.generate(**inputs, max_new_tokens=1)))
        thread.start()
        thread.join()
    assert len(found) == 1
