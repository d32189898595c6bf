"""FarSight(absorb=...): registers whose factor is measured on the prompt, against the rule written out in float64."""

from __future__ import annotations

import copy
from typing import Any

import models
import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from farsight import FarSight, SettingError, UnsupportedModelError
from farsight.attention import observed
from farsight.registers import log_strength_for_share
from farsight.rivals.beam_search import BeamSearch
from farsight.rivals.opera import OPERA
from farsight.rivals.vcd import VCD

NEW, SIGMA, SHARE = 6, 0.2, 0.15
HOW = {"max_new_tokens": NEW, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}


def literal(
    model: PreTrainedModel, inputs: dict[str, Tensor], generated: Tensor, counted: Tensor, owners: Tensor
) -> Tensor:
    """Logits of every step: one forward over all tokens; the factor is solved for, head by head, on the prompt's rows.

    ``counted`` marks the rows of the prompt on which the share is measured, ``owners`` all rows that own registers.
    """
    prompt = inputs["input_ids"].shape[1]
    horizon = prompt + NEW

    def attention(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, scaling: float, **_: Any
    ) -> tuple[Tensor, None]:
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
        scores = torch.einsum("bhid,bhjd->bhij", query, key) * scaling
        z = torch.where(attention_mask == 0, scores, -torch.inf).exp().sum(-1)
        mass = torch.tensor(
            [
                sum(float(torch.exp(torch.tensor(-k * SIGMA))) for k in range(1, horizon - i))
                for i in range(z.shape[-1])
            ],
            dtype=torch.float64,
        )
        kept = torch.ones_like(z)
        for head in range(z.shape[1]):
            rows = z[0, head, :prompt][counted]

            def lacking(factor: float, rows: Tensor = rows) -> float:
                registers = factor * mass[:prompt][counted]
                return float((registers / (rows + registers)).mean()) - SHARE

            factor = brentq(lacking, 1e-12, 1e12, xtol=1e-14, rtol=1e-13, maxiter=500)
            registers = torch.where(owners[: z.shape[-1]], factor * mass, 0.0)
            kept[0, head] = z[0, head] / (z[0, head] + registers)
        weights = torch.softmax(torch.where(attention_mask == 0, scores, -torch.inf), -1) * kept[..., None]
        return torch.einsum("bhij,bhjd->bihd", weights, value).contiguous(), None

    AttentionInterface.register("absorbing", attention)
    AttentionMaskInterface.register("absorbing", AttentionMaskInterface()["eager"])
    reference = copy.deepcopy(model)
    reference.config.get_text_config(decoder=True)._attn_implementation_internal = "absorbing"
    ids = torch.cat((inputs["input_ids"], generated[:, :-1]), 1)
    now = {**inputs, "input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if "mm_token_type_ids" in inputs:
        now["mm_token_type_ids"] = (ids == models.IMAGE_TOKEN).long()
    with torch.no_grad():
        return reference(**now, use_cache=False).logits[0, prompt - 1 :]


def double(model: PreTrainedModel) -> tuple[PreTrainedModel, dict[str, Any]]:
    inputs = {k: v.double() if v.is_floating_point() else v for k, v in models.prompt(model).items()}
    return model.double(), inputs


@pytest.mark.parametrize("rows", ["all", "generated", "text"])
@pytest.mark.parametrize("build", [models.llava, models.qwen2_vl])
def test_every_step_equals_the_rule_written_out(build: Any, rows: str) -> None:
    model, inputs = double(build())
    prompt = inputs["input_ids"].shape[1]
    with FarSight(absorb=SHARE, sigma=SIGMA, rows=rows)(model):
        found = model.generate(**inputs, **HOW)
    counted, owners = torch.ones(prompt, dtype=torch.bool), torch.ones(prompt + NEW, dtype=torch.bool)
    image = inputs["input_ids"][0] == models.IMAGE_TOKEN
    if rows == "text":
        counted, owners[:prompt] = ~image, ~image
    if rows == "generated":
        owners[: prompt - 1] = False
    expected = literal(model, inputs, found.sequences[:, prompt:], counted, owners)
    torch.testing.assert_close(torch.cat(found.logits).double(), expected, rtol=0, atol=2e-5)


def test_the_prompt_gives_the_wanted_share_in_every_head_of_every_layer() -> None:
    model, inputs = double(models.llava())
    first: dict[int, Tensor] = {}
    with FarSight(absorb=SHARE)(model), observed(lambda module, gate: first.setdefault(module.layer_idx, gate)):
        model.generate(**inputs, **HOW)
    for gate in first.values():
        torch.testing.assert_close(1 - gate.mean(-1), torch.full((1, 4), SHARE, dtype=torch.float64), rtol=0, atol=1e-9)


def padded(model: PreTrainedModel) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Two prompts of different lengths in one left-padded batch, and each alone."""
    alone = [models.prompt(model, before=2, after=5), models.prompt(model, before=4, after=9, seed=1)]
    longest = max(one["input_ids"].shape[1] for one in alone)
    batch = {
        name: torch.cat([torch.nn.functional.pad(one[name], (longest - one[name].shape[1], 0)) for one in alone])
        for name in ("input_ids", "attention_mask")
    }
    batch["pixel_values"] = torch.cat([one["pixel_values"] for one in alone])
    return batch, alone


@pytest.mark.parametrize("rows", ["all", "generated", "text"])
def test_a_left_padded_batch_equals_each_prompt_alone(rows: str) -> None:
    model = models.llava().double()
    batch, alone = padded(model)
    batch["pixel_values"] = batch["pixel_values"].double()
    with FarSight(absorb=SHARE, rows=rows)(model):
        together = model.generate(**batch, **HOW)
        for number, one in enumerate(alone):
            single = model.generate(**{**one, "pixel_values": one["pixel_values"].double()}, **HOW)
            for step, logits in zip(together.logits, single.logits, strict=True):
                torch.testing.assert_close(step[number], logits[0], rtol=0, atol=2e-5)


def test_without_a_cache_the_same_is_measured_at_every_step() -> None:
    model, inputs = double(models.llava())
    with FarSight(absorb=SHARE)(model):
        cached, recomputed = model.generate(**inputs, **HOW), model.generate(**inputs, **HOW, use_cache=False)
    torch.testing.assert_close(torch.cat(cached.logits), torch.cat(recomputed.logits), rtol=0, atol=2e-5)


def test_beams_and_other_methods_keep_their_prompts_factors() -> None:
    model = models.llava()
    batch, alone = padded(model)
    for other in (
        BeamSearch(num_beams=3),
        OPERA(num_beams=2, num_attn_candidates=3, threshold=2, image_tokens_first=1),
    ):
        with (FarSight(absorb=SHARE) + other)(model):
            together = model.generate(**batch, max_new_tokens=NEW)
            for number, one in enumerate(alone):
                single = model.generate(**one, max_new_tokens=NEW)
                assert together[number, -NEW:].tolist() == single[0, -NEW:].tolist()


def test_a_second_pass_has_factors_of_its_own() -> None:
    """With the weight of the second pass at 0 the logits are those of the model's own pass."""
    model, inputs = double(models.llava())
    with FarSight(absorb=SHARE)(model):
        alone = model.generate(**inputs, **HOW)
    with (FarSight(absorb=SHARE) + VCD(alpha=0.0, beta=0.0))(model):
        beside = model.generate(**inputs, **HOW)
    torch.testing.assert_close(torch.cat(alone.logits), torch.cat(beside.logits), rtol=0, atol=1e-6)


def test_heads_and_layers_that_get_no_registers_keep_all() -> None:
    model, inputs = double(models.llava())
    gates: dict[int, Tensor] = {}
    chosen = FarSight(absorb=SHARE, heads=(1,), layers=(1,))
    with chosen(model), observed(lambda module, gate: gates.setdefault(module.layer_idx, gate)):
        model.generate(**inputs, **HOW)
    assert list(gates) == [1]
    kept = gates[1].mean(-1)[0]
    assert kept[[0, 2, 3]].tolist() == [1.0, 1.0, 1.0]
    assert float(kept[1]) == pytest.approx(1 - SHARE, abs=1e-9)


def test_a_forward_alone_measures_itself_and_cannot_go_on() -> None:
    model, inputs = double(models.llava())
    gates: list[Tensor] = []
    with FarSight(absorb=SHARE)(model), torch.no_grad():
        with observed(lambda _, gate: gates.append(gate)):
            output = model(**inputs)
        # the last row has no registers, so it does not count
        torch.testing.assert_close(1 - gates[0][..., :-1].mean(-1), torch.full((1, 4), SHARE, dtype=torch.float64))
        with pytest.raises(SettingError, match="goes on from a cache"):
            model(input_ids=torch.tensor([[11]]), past_key_values=output.past_key_values)


def test_chunked_prefill_is_refused() -> None:
    model = models.llama()
    with FarSight(absorb=0.1)(model), pytest.raises(UnsupportedModelError, match="prefill_chunk_size"):
        model.generate(**models.prompt(model), max_new_tokens=2, prefill_chunk_size=3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"absorb": 0.0}, "absorb must be a share"),
        ({"absorb": 1.0}, "absorb must be a share"),
        ({"absorb": "much"}, "absorb must be a share"),
        ({"absorb": 0.1, "strength": 2.0}, "leave out strength"),
        ({"absorb": 0.1, "profile": "none"}, "profile='none'"),
    ],
)
def test_what_cannot_be_absorbed_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        FarSight(**settings)


def test_the_share_is_solved_for_over_the_rows_that_count() -> None:
    excess = torch.randn(3, 5, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 6
    excess[0, 0, 7:] = -1e30
    excess[1] = -1e30
    factor = log_strength_for_share(excess, 0.07)
    absorbed = torch.sigmoid(excess + factor[..., None])
    assert float(absorbed[0, 0, :7].mean()) == pytest.approx(0.07, abs=1e-12)
    assert torch.allclose(absorbed[2].mean(-1), torch.full((5,), 0.07, dtype=torch.float64), atol=1e-12)
    assert factor[1].tolist() == [0.0] * 5
