"""Methods that change different things are used together; others say why not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import Any

import models
import pytest
import torch
from model_state import state
from test_grid import LEAVE_THE_FIRST_TOKEN, ROWS, greedy

import farsight
from farsight import METHODS, Composed, FarSight, Method, Plain, SettingError
from farsight.method import CHANGES, parts
from farsight.methods import name_of, settings_of
from farsight.methods.beam_search import BeamSearch
from farsight.methods.constant_gate import ConstantGate
from farsight.methods.dola import DoLa
from farsight.methods.edvt import EDVT
from farsight.methods.farsight_released import FarSightReleased
from farsight.methods.icd import ICD
from farsight.methods.m3id import M3ID
from farsight.methods.opera import OPERA
from farsight.methods.pai import PAI
from farsight.methods.vcd import VCD

TOGETHER = FarSight(sigma=0.3) + BeamSearch(num_beams=3)
SEARCH = OPERA(num_beams=2, threshold=2, image_tokens_first=1, num_attn_candidates=4, window=4)
SPECIAL = [5, 6, 7, 8]


@pytest.mark.parametrize("kind", METHODS.values(), ids=METHODS.keys())
def test_every_method_says_what_it_changes(kind: type[Method]) -> None:
    assert kind.changes == "nothing" or set(kind.changes.split(" and ")) <= set(CHANGES)
    assert set(kind.goes_with) <= set(CHANGES)
    assert kind.extra_forwards >= 0


@pytest.mark.parametrize("build", [models.llava, models.qwen2_vl, models.mistral])
@pytest.mark.parametrize("horizon", ["generation", "infinite"])
def test_farsight_with_beams_is_farsight_with_num_beams(build: Any, horizon: str) -> None:
    model = build()
    registers = FarSight(sigma=0.3, horizon=horizon)
    with registers(model):
        expected = greedy(model, num_beams=3)
    with (registers + BeamSearch(num_beams=3))(model):
        found = greedy(model)
    assert torch.equal(found.sequences, expected.sequences)
    assert torch.equal(torch.cat(found.logits), torch.cat(expected.logits))


@pytest.mark.parametrize("contrast", [VCD(alpha=0.5), DoLa(layers=(0, 1))], ids=["vcd", "dola"])
def test_registers_that_absorb_nothing_leave_a_contrast_as_it_is(contrast: Method) -> None:
    model = models.llava()
    with contrast(model):
        alone = greedy(model)
    with (FarSight(sigma=50.0) + contrast)(model):
        together = greedy(model)
    with (FarSight(sigma=0.1) + contrast)(model):
        changed = greedy(model)
    assert torch.equal(torch.cat(together.logits), torch.cat(alone.logits))
    assert not torch.equal(torch.cat(changed.logits), torch.cat(alone.logits))


def test_a_contrast_with_beams_is_the_contrast_with_num_beams() -> None:
    model = models.qwen2_vl()
    with VCD()(model):
        expected = greedy(model, num_beams=3)
    with (VCD() + BeamSearch(num_beams=3))(model):
        found = greedy(model)
    assert torch.equal(found.sequences, expected.sequences)


@pytest.mark.parametrize("search", [BeamSearch(num_beams=3), SEARCH])
def test_the_order_does_not_matter(search: Method) -> None:
    registers = FarSight(sigma=0.3)
    assert registers + search == search + registers
    assert hash(registers + search) == hash(search + registers)
    assert (search + registers).methods == (registers, search)


def test_leaving_the_block_restores_the_model() -> None:
    model = models.llava()
    tokens, before = greedy(model), state(model)
    with TOGETHER(model):
        assert farsight.active_method(model) is TOGETHER
        with pytest.raises(SettingError, match="already enabled"), FarSight()(model):
            pass
        greedy(model)
    assert state(model) == before
    with pytest.raises(ZeroDivisionError), TOGETHER(model):
        raise ZeroDivisionError
    assert state(model) == before
    assert torch.equal(greedy(model).sequences, tokens.sequences)


def test_a_part_that_is_refused_leaves_the_model_as_it_was() -> None:
    model = models.llava()
    greedy(model)
    before = state(model)
    with pytest.raises(SettingError, match="out of range"), (FarSight(layers=[7]) + BeamSearch())(model):
        pass
    assert state(model) == before


NONE: list[tuple[Any, str]] = [
    (lambda: FarSight() + FarSight(sigma=0.1), "farsight cannot be composed with itself"),
    (lambda: FarSight() + ConstantGate(), "farsight and constant both change the gate"),
    (lambda: BeamSearch() + OPERA(), "beam and opera both change the search"),
    (lambda: FarSight() + BeamSearch() + OPERA(), "both change the search"),
    (lambda: VCD() + DoLa(), "vcd and dola both change the logits"),
    (lambda: PAI() + EDVT(), "both change the scores"),
    (lambda: FarSightReleased() + EDVT(), "goes with methods that change the logits or the search"),
    (lambda: EDVT() + OPERA(), "opera goes with methods that change the gate; edvt changes the scores"),
    (lambda: FarSight(score_scale=0.8) + EDVT(), "farsight and edvt both change the scores"),
    (lambda: VCD() + FarSightReleased(), "farsight-released generates without a cache, and vcd needs one"),
    (lambda: FarSightReleased() + OPERA(), "farsight-released generates without a cache, and opera needs one"),
    (lambda: FarSight() + Plain(), "plain changes nothing"),
    (lambda: Composed(methods=(FarSight(),)), "two or more"),
]


@pytest.mark.parametrize(("make", "because"), NONE, ids=[because for _, because in NONE])
def test_what_makes_no_sense_is_refused(make: Any, because: str) -> None:
    with pytest.raises(SettingError, match=because):
        make()


KINDS: dict[str, Method] = {method.name: method for method in ROWS.values() if not isinstance(method, Composed)}


def pairs() -> Iterator[Method]:
    for one, other in combinations(KINDS.values(), 2):
        with suppress(SettingError):
            yield one + other


@cache
def said_by(method: Method) -> torch.Tensor:
    model = models.llava()
    with method(model):
        return torch.cat(greedy(model).logits)


@pytest.mark.parametrize("pair", list(pairs()), ids=name_of)
def test_whatever_may_be_composed_runs_and_is_neither_method_alone(pair: Composed) -> None:
    steps = slice(None) if any(part.name in LEAVE_THE_FIRST_TOKEN for part in pair.methods) else slice(1)
    for alone in pair.methods:
        assert not torch.equal(said_by(pair)[steps], said_by(alone)[steps])


@pytest.mark.parametrize("other", [M3ID(), ICD(), PAI()], ids=lambda method: method.name)
@pytest.mark.parametrize(
    "gate", [FarSight(rows="generated"), ConstantGate(rows="text")], ids=lambda method: method.name
)
def test_rows_are_not_told_in_a_second_pass_over_another_prompt(gate: Method, other: Method) -> None:
    with pytest.raises(
        SettingError, match=r"second pass over a prompt of its own, .* use rows='all', or leave one out"
    ):
        gate + other
    assert parts(replace(gate, rows="all") + other)
    assert parts(gate + VCD())


def test_only_methods_are_added() -> None:
    with pytest.raises(TypeError):
        FarSight() + 1


def test_settings_of_all_parts_are_recorded() -> None:
    recorded = settings_of(TOGETHER)
    assert name_of(TOGETHER) == recorded["name"] == "farsight+beam"
    assert recorded["methods"] == [settings_of(part) for part in TOGETHER.methods]


class TestOpera:
    """OPERA's search over a model that carries registers."""

    @pytest.mark.parametrize("attention", ["sdpa", "eager", pytest.param("flex_attention", marks=pytest.mark.slow)])
    def test_no_registers_give_opera_alone(self, attention: str) -> None:
        model = models.llava(attention="sdpa")
        with SEARCH(model):
            expected = greedy(model, suppress_tokens=SPECIAL)
        model.set_attn_implementation(attention)
        with (FarSight(sigma=50.0) + SEARCH)(model):
            found = greedy(model, suppress_tokens=SPECIAL)
        assert torch.equal(found.sequences, expected.sequences)
        torch.testing.assert_close(torch.cat(found.logits), torch.cat(expected.logits), rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("rows", ["all", "generated"])
    def test_a_penalty_of_nothing_gives_farsight_with_beams(self, rows: str) -> None:
        model = models.llava()
        nothing = OPERA(num_beams=3, num_attn_candidates=models.VOCABULARY, penalty_weights=1e-30, max_rollbacks=0)
        with (FarSight(sigma=0.3, rows=rows) + BeamSearch(num_beams=3))(model):
            expected = greedy(model)
        with (FarSight(sigma=0.3, rows=rows) + nothing)(model):
            found = greedy(model)
        assert torch.equal(found.sequences, expected.sequences)
        torch.testing.assert_close(torch.cat(found.logits), torch.cat(expected.logits), rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize(
        ("build", "rows"), [(models.llava, "all"), (models.qwen2_vl, "text"), (models.mistral, "generated")]
    )
    def test_a_left_padded_batch_is_each_prompt_alone(self, build: Any, rows: str) -> None:
        model = build().double()
        prompts = [_doubled(models.prompt(model, after=after, seed=after)) for after in (5, 9)]
        how = {"max_new_tokens": 9, "do_sample": False, "suppress_tokens": SPECIAL}
        with (FarSight(sigma=0.3, rows=rows) + SEARCH)(model):
            alone = [model.generate(**prompt, **how)[0, -9:] for prompt in prompts]
            together = model.generate(**_batched(prompts), **how)[:, -9:]
        assert torch.equal(together, torch.stack(alone))


def _doubled(inputs: dict[str, Any]) -> dict[str, Any]:
    return {name: x.double() if x.is_floating_point() else x for name, x in inputs.items()}


def _batched(prompts: list[dict[str, Any]]) -> dict[str, Any]:
    longest = max(prompt["input_ids"].shape[1] for prompt in prompts)
    padded = [
        {
            name: torch.nn.functional.pad(x, (longest - x.shape[1], 0)) if x.shape[:2] == p["input_ids"].shape else x
            for name, x in p.items()
        }
        for p in prompts
    ]
    return {name: torch.cat([p[name] for p in padded]) for name in padded[0]}
