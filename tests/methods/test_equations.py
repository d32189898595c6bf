"""Methods that change what a step says, against their equations; a reference stands in each method's own file.

A reference computes each step from scratch in float64, over the whole text and without a cache.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import contrasts
import models
import pytest
import test_avisc
import test_flb
import test_iat
import test_icd
import test_m3id
import test_pai
import test_rudder
import test_shift
import test_vcd
import torch
from test_grid import greedy
from transformers import PreTrainedModel

from farsight import FLB, IAT, RUDDER, Method, Shift
from farsight.methods.avisc import AvisC
from farsight.methods.icd import ICD
from farsight.methods.m3id import M3ID
from farsight.methods.pai import PAI
from farsight.methods.vcd import VCD


class Row(NamedTuple):
    """A method, what it should say, and the settings with which it changes nothing."""

    method: Method
    reference: Callable[[PreTrainedModel, Any], contrasts.Reference]
    neutral: Method
    builders: list[Any] = contrasts.BUILDERS


ANY = [*contrasts.BUILDERS, models.llama]
ROWS = {
    "flb": Row(test_flb.METHOD, test_flb.reference, FLB(gamma=0, beta=0), ANY),
    "iat": Row(test_iat.METHOD, test_iat.reference, IAT(alpha=0), ANY),
    "rudder": Row(test_rudder.METHOD, test_rudder.reference, RUDDER(strength=0), ANY),
    "shift": Row(test_shift.METHOD, test_shift.reference, Shift(token_ids=(11,), value=0), ANY),
    "vcd": Row(test_vcd.METHOD, test_vcd.reference, VCD(alpha=0.0, beta=0.0)),
    "icd": Row(test_icd.METHOD, test_icd.reference, ICD(alpha=0.0, beta=0.0, prefix_ids=(33, 34))),
    "m3id": Row(test_m3id.METHOD, test_m3id.reference, M3ID(decay=0.0)),
    "pai": Row(test_pai.METHOD, test_pai.reference, PAI(alpha=0.0, gamma=1.0, beta=0.0, start_layer=0)),
    "pai, without a constraint": Row(
        test_pai.UNCONSTRAINED, test_pai.reference, PAI(alpha=0.0, gamma=1.0, beta=0.0, start_layer=0)
    ),
    "avisc": Row(test_avisc.METHOD, test_avisc.reference, AvisC(alpha=0.0, beta=0.0)),
}
rows = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
on_each_model = pytest.mark.parametrize(
    ("row", "build"),
    [pytest.param(row, build, id=f"{name}-{build.__name__}") for name, row in ROWS.items() for build in row.builders],
)


@on_each_model
def test_every_greedy_step_of_a_left_padded_batch_is_the_equation(row: Row, build: Any) -> None:
    expected = row.reference(contrasts.exact(build), row.method)
    contrasts.check_greedy_batch(contrasts.exact(build), row.method, expected)


@rows
def test_every_sampled_step_is_the_equation(row: Row) -> None:
    expected = row.reference(contrasts.exact(models.llava), row.method)
    contrasts.check_sampling(contrasts.exact(models.llava), row.method, expected)


@rows
def test_beams_walk_over_the_equation(row: Row) -> None:
    """In the model whose rows have positions of their own, which beams have to take along."""
    expected = row.reference(contrasts.exact(models.qwen2_vl), row.method)
    contrasts.check_beams(contrasts.exact(models.qwen2_vl), row.method, expected)


@on_each_model
def test_neutral_settings_are_plain_decoding(row: Row, build: Any) -> None:
    contrasts.check_neutral(build(), row.neutral)


WAYS: dict[str, dict[str, Any]] = {
    "without a cache": {"use_cache": False},
    "a static cache": {"cache_implementation": "static", "disable_compile": True},
    "a prompt in chunks": {"prefill_chunk_size": 3},
    "looked-up candidates": {"prompt_lookup_num_tokens": 3},
}
IN_ANY_WAY = {
    "flb": (test_flb.METHOD, models.llama),
    "rudder": (test_rudder.METHOD, models.llama),
    "iat": (IAT(alpha=3, layers=(0, 1)), models.llama),
    "iat, a sliding window": (IAT(alpha=3, layers=(0, 1)), models.mistral),
}


@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS.keys())
@pytest.mark.parametrize(("method", "build"), IN_ANY_WAY.values(), ids=IN_ANY_WAY.keys())
def test_every_way_to_run_the_model_gives_the_same_tokens(method: Method, build: Any, how: dict[str, Any]) -> None:
    model = build()
    with method(model):
        expected = greedy(model).sequences
        assert torch.equal(greedy(model, **how).sequences, expected)
    assert not torch.equal(greedy(model).sequences, expected)
