"""What methods are called where people read of them."""

import pytest

from farsight.methods.grammar import parse_method
from farsight.methods.in_requests import tokens_of
from farsight.tune.candidates import CANDIDATES
from farsight.tune.told import label_of_tokens, told


@pytest.mark.parametrize(("tokens", "name"), [(1, "1 register token"), (10, "10 register tokens")])
def test_registers_as_tokens_are_told_as_what_they_are(tokens: int, name: str) -> None:
    label = label_of_tokens(tokens)
    assert label in CANDIDATES
    assert told(label) == name
    assert tokens_of(label, parse_method(label)) == tokens


@pytest.mark.parametrize(
    "label",
    [
        "farsight",
        "beam(num_beams=2)",
        "farsight(sigma=0.1, horizon=infinite)",
        "farsight(sigma=0.09531, horizon=infinite)",
        "farsight(sigma=0.0953102, horizon=infinite, rows=generated)",
        "farsight(sigma=0, horizon=infinite)",
        "farsight(sigma=e, horizon=infinite)",
    ],
)
def test_anything_else_is_told_by_its_label(label: str) -> None:
    assert told(label) == label
