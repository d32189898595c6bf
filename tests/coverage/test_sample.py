"""A sample of `make coverage`: architectures that differ in what registers must get right, and what a defect is."""

from __future__ import annotations

import check
import pytest
from check import DefectError
from page import page
from tiny_model import CLASSES

import farsight.attention.names
from farsight import FarSight, Plain
from farsight.methods.constant_gate import ConstantGate


@pytest.mark.parametrize(
    ("name", "where"),
    [
        pytest.param("instructblip", [0, 1], id="Q-former in front of Vicuna"),
        pytest.param("video_llava", [0, 1], id="image and video"),
        pytest.param("llava_next", [0, 1], id="tiles"),
        pytest.param("mllama", [0, 2], id="cross-attention to the image in layer 1"),
        pytest.param("qwen3_5", [1], id="linear attention in layer 0"),
        pytest.param("paligemma", [0, 1], id="a prompt that reads both ways"),
        pytest.param("dots3_note", [0, 1, 2], id="keys chosen by an indexer"),
        pytest.param("inkling2", [0, 1], id="a sink of its own for every row"),
        pytest.param("florence2", [0, 1], id="a decoder behind an encoder"),
    ],
)
def test_generation_equals_the_definition_in(name: str, where: list[int]) -> None:
    row = check.check(name)
    assert row["result"] == "ok"
    assert [index for index, _ in row["where"]] == where
    assert row["image"]["absorbed"] > 0.05


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("muse_spark", "normalises each head's attention output"),
        ("t5gemma2", "in one softmax"),
        ("blip", "without Transformers' attention interface"),
        ("diffusion_gemma", "no causal self-attention"),
    ],
)
def test_what_cannot_be_served_is_refused_with_the_reason(name: str, reason: str) -> None:
    row = check.check(name)
    assert row["result"] == "refused"
    assert reason in row["reason"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("llava", "ok"),
        ("qwen3_vl", "ok"),
        ("qwen2_5_vl", "no: biases"),
        ("gemma3", "no: in texts alone, with a picture the logits differ"),
        ("mistral3", "ok"),
    ],
)
def test_registers_are_tokens_or_there_is_a_reason(name: str, found: str) -> None:
    row = check.ROWS.get(name, check.Row())
    assert check.check_registers_as_tokens(name, row, "image") == found


@pytest.mark.parametrize(
    "method", [FarSight(sigma=0.31), Plain(), ConstantGate(value=0.9)], ids=["a little off", "nothing", "another gate"]
)
def test_wrong_numbers_are_a_defect(method: FarSight, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "METHOD", method)
    with pytest.raises(DefectError, match="differs from the definition"):
        check.check("llava")


def test_registers_in_too_few_layers_are_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "METHOD", FarSight(sigma=check.SIGMA, layers=(1,)))
    with pytest.raises(DefectError):
        check.check("llava")


def test_a_mask_that_is_built_for_known_names_only_would_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The indexer of dots3 masks keys where the attention implementation is called "eager" or "sdpa"."""
    monkeypatch.setattr(farsight.attention.names, "asks_for_the_name", lambda kind: False)
    with pytest.raises(DefectError, match="differs from the definition"):
        check.check("dots3_note")


def test_the_page_counts_and_explains() -> None:
    name = next(iter(CLASSES))
    ok = {
        "architecture": name,
        "class": CLASSES[name],
        "result": "ok",
        "where": [[0, "A"], [2, "A"]],
        "elsewhere": ["B"],
        "attention": "eager",
        "image": {"error": 0.0},
        "batch": "not in plain decoding either: E",
        "static cache": "ok",
        "restored": True,
        "tokens": "no: biases",
    }
    refused = {"architecture": "x", "class": "X", "result": "refused", "reason": "because | of y"}
    text = page([ok, refused], {"torch": "2", "transformers": "5"})
    assert "**1 ok, 1 refused, 0 defects.**" in text
    assert f"| {name} | {CLASSES[name]} | A (eager); none in B | ok | – | (1) | ok | ok | no (2) |  |" in text
    assert "1. not in plain decoding either: E\n2. biases\n" in text
    assert "| x | X | because \\| of y |" in text
    assert "Defects" not in text
