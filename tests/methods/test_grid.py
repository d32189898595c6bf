"""What every method promises, on every kind of model: one row here is all that a new method needs."""

from __future__ import annotations

import copy
from typing import Any

import models
import pytest
import torch
from model_state import state
from transformers import PreTrainedModel

import farsight
from farsight import METHODS, FarSight, Method, Plain, SettingError, UnsupportedModelError
from farsight.method import parts
from farsight.methods.adaiat import AdaIAT
from farsight.methods.avisc import AvisC
from farsight.methods.beam_search import BeamSearch
from farsight.methods.constant_gate import ConstantGate
from farsight.methods.deco import DeCo
from farsight.methods.dola import DoLa
from farsight.methods.edvt import EDVT
from farsight.methods.farsight_released import FarSightReleased
from farsight.methods.fixvpe import FixVPE
from farsight.methods.flb import FLB
from farsight.methods.iat import IAT
from farsight.methods.icd import ICD
from farsight.methods.m3id import M3ID
from farsight.methods.opera import OPERA
from farsight.methods.pai import PAI
from farsight.methods.plausible import Plausible
from farsight.methods.rudder import RUDDER
from farsight.methods.shift import Shift
from farsight.methods.vcd import VCD

ROWS: dict[str, Method] = {
    "plain": Plain(),
    "farsight": FarSight(sigma=0.3),
    "farsight, infinite horizon": FarSight(sigma=0.3, horizon="infinite"),
    "farsight, generated rows": FarSight(sigma=0.3, rows="generated"),
    "farsight, released code": FarSightReleased(sigma=0.3),
    "beam search": BeamSearch(num_beams=3),
    "DoLa, dynamic": DoLa(layers=(0, 1)),
    "DoLa, static": DoLa(layers=(1,)),
    "DeCo": DeCo(),
    "flb": FLB(),
    "EDVT": EDVT(),
    "FixVPE": FixVPE(),
    "iat": IAT(alpha=2.0),
    "rudder": RUDDER(),
    "adaiat": AdaIAT(true_rows=4.0, false_rows=2.0, layers=(0, 1)),
    "opera": OPERA(num_beams=2, num_attn_candidates=3, threshold=2, image_tokens_first=1),
    "constant gate": ConstantGate(value=0.7),
    "constant gate on generated rows": ConstantGate(value=0.7, rows="generated"),
    "plausible, in beam search": Plausible(beta=0.5) + BeamSearch(num_beams=2),
    "shift": Shift(token_ids=(11, 30), value=3),
    "vcd": VCD(),
    "icd": ICD(prefix_ids=(33, 34, 35)),
    "m3id": M3ID(alpha=1.0),
    "pai": PAI(start_layer=0),
    "avisc": AvisC(),
}
NEED_IMAGES = {"vcd", "m3id", "pai", "avisc", "edvt", "fixvpe"}
LEAVE_THE_FIRST_TOKEN = {"iat", "adaiat"}
"""What they read differently is the answer itself"""
BUILDERS = [models.llava, models.llava_next_video, models.qwen2_vl, models.llama]

grid = pytest.mark.parametrize("method", ROWS.values(), ids=ROWS.keys())


def greedy(model: PreTrainedModel, **kwargs: Any) -> Any:
    return model.generate(
        **models.prompt(model),
        max_new_tokens=6,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
        **kwargs,
    )


def serves(method: Method, model: PreTrainedModel) -> bool:
    """Whether the method serves this model; one that needs images must refuse a model without them."""
    if method.name not in NEED_IMAGES or model.config.model_type != "llama":
        return True
    with pytest.raises(UnsupportedModelError, match="image"), method(model):
        pass
    return False


def test_every_method_has_a_row_here() -> None:
    decoding = {name for name, kind in METHODS.items() if kind.changes != "answer"}
    assert decoding == {part.name for method in ROWS.values() for part in parts(method)}


@grid
@pytest.mark.parametrize("build", BUILDERS)
def test_leaving_the_block_restores_the_model(method: Method, build: Any) -> None:
    model = build()
    if not serves(method, model):
        return
    tokens, before = greedy(model), state(model)  # the first forward of a model adds hooks of Transformers' own
    with method(model):
        greedy(model)
    assert state(model) == before
    after = greedy(model)
    assert torch.equal(after.sequences, tokens.sequences)
    assert torch.equal(torch.cat(after.logits), torch.cat(tokens.logits))


def fail_inside(method: Method, model: PreTrainedModel) -> None:
    with method(model):
        greedy(model)
        raise ZeroDivisionError


@grid
def test_an_exception_restores_the_model_too(method: Method) -> None:
    model = models.llava()
    greedy(model)
    before = state(model)
    with pytest.raises(ZeroDivisionError):
        fail_inside(method, model)
    assert state(model) == before


@grid
@pytest.mark.parametrize("build", BUILDERS)
def test_inside_the_block_generate_is_the_mitigated_one(method: Method, build: Any) -> None:
    model = build()
    if not serves(method, model):
        return
    plain = torch.cat(greedy(model).logits)
    with method(model):
        assert farsight.active_method(model) is method
        changed = torch.cat(greedy(model).logits)
    if method.name in LEAVE_THE_FIRST_TOKEN:
        assert torch.equal(plain[0], changed[0])
        assert not torch.equal(plain, changed)
    else:
        assert torch.equal(plain[0], changed[0]) == isinstance(method, Plain)
    assert farsight.active_method(model) is None


@grid
def test_generation_repeats_exactly(method: Method) -> None:
    model = models.llava()
    with method(model):
        first, second = greedy(model), greedy(model)
    assert torch.equal(torch.cat(first.logits), torch.cat(second.logits))


@grid
def test_enable_and_disable_do_the_same_without_a_block(method: Method) -> None:
    model = models.llava()
    greedy(model)
    before = state(model)
    with method(model):
        expected = greedy(model).sequences
    farsight.enable(model, method)
    assert torch.equal(greedy(model).sequences, expected)
    farsight.disable(model)
    assert state(model) == before
    farsight.disable(model)


@grid
def test_a_second_method_is_refused_and_the_first_stays(method: Method) -> None:
    model = models.llava()
    with method(model):
        with pytest.raises(SettingError, match="already enabled"), FarSight()(model):
            pass
        with pytest.raises(SettingError, match="already enabled"):
            farsight.enable(model, FarSight())
        assert farsight.active_method(model) is method
        greedy(model)
    with method(model):
        greedy(model)


@grid
def test_a_method_is_a_frozen_value(method: Method) -> None:
    assert method == copy.deepcopy(method)
    assert hash(method) == hash(copy.deepcopy(method))
    with pytest.raises(AttributeError):
        method.sigma = 1.0  # type: ignore[attr-defined]


@grid
def test_saving_inside_the_block_saves_the_plain_model(method: Method, tmp_path: Any) -> None:
    model = models.llava()
    with method(model):
        model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    assert loaded.config._attn_implementation == "sdpa"
    assert torch.equal(greedy(loaded).sequences, greedy(model).sequences)
