"""On real weights every method that needs no picture does what it promises, also in two threads; the others refuse."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
from model_state import state
from test_grid import LEAVE_THE_FIRST_TOKEN, NEED_IMAGES, ROWS
from torch import Tensor

from farsight import Method, Plain, UnsupportedModelError
from farsight.inputs.checkpoints import LoadedModel
from farsight.inputs.prompts import text_inputs

pytestmark = pytest.mark.slow

NEW = 6
PROMPTS = ["Describe a picture of a dog on a beach.", "Name three things that one finds in a kitchen, please."]
NEED_NONE = {name: method for name, method in ROWS.items() if method.name not in NEED_IMAGES}
CLOSE = 1e-3


def said(loaded: LoadedModel, prompt: str) -> Tensor:
    """Logits of each step of greedy decoding of a request, ``(new, vocabulary)``."""
    model: Any = loaded.model
    found = model.generate(
        **text_inputs(loaded, [prompt], chat=True), max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False,
        output_logits=True, return_dict_in_generate=True,
    )  # fmt: skip
    return torch.cat(found.logits)


@pytest.mark.parametrize("method", NEED_NONE.values(), ids=NEED_NONE.keys())
def test_a_method_changes_what_is_said_repeats_it_in_threads_and_leaves_the_model_as_it_was(
    smollm2: LoadedModel, method: Method
) -> None:
    plain, before = [said(smollm2, prompt) for prompt in PROMPTS], state(smollm2.model)
    with method(smollm2.model):
        alone = [said(smollm2, prompt) for prompt in PROMPTS]
        found: dict[int, Tensor] = {}
        errors: list[BaseException] = []

        def say(number: int) -> None:
            try:
                with torch.no_grad():
                    found[number] = said(smollm2, PROMPTS[number])
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=say, args=(number,)) for number in range(len(PROMPTS))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not errors
    for number, expected in enumerate(alone):
        torch.testing.assert_close(found[number], expected, atol=CLOSE, rtol=0)
        steps = slice(None) if method.name in LEAVE_THE_FIRST_TOKEN else slice(1)
        assert torch.equal(expected[steps], plain[number][steps]) == isinstance(method, Plain)
    assert state(smollm2.model) == before
    assert torch.equal(said(smollm2, PROMPTS[0]), plain[0])


@pytest.mark.parametrize("name", sorted(NEED_IMAGES))
def test_a_method_that_needs_a_picture_says_so(smollm2: LoadedModel, name: str) -> None:
    method = next(method for method in ROWS.values() if method.name == name)
    before = state(smollm2.model)
    with pytest.raises(UnsupportedModelError, match="image"), method(smollm2.model):
        pass
    assert state(smollm2.model) == before
