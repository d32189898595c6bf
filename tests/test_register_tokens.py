"""Sigma, tokens and mass: one number in three forms, held against FarSight's own log mass."""

from __future__ import annotations

import math

import pytest
import torch

from farsight.errors import SettingError
from farsight.register_tokens import MOST_TOKENS, mass_of, nearest, sigma_of
from farsight.registers import PAPER_SIGMA, log_register_mass


@pytest.mark.parametrize("tokens", [1, 2, 5, 10, 20, 100, MOST_TOKENS])
def test_so_many_tokens_are_registers_of_that_mass(tokens: int) -> None:
    future = torch.tensor(math.inf, dtype=torch.float64)
    assert log_register_mass(future, sigma_of(tokens)).exp().item() == pytest.approx(tokens, rel=1e-9)
    assert mass_of(sigma_of(tokens)) == pytest.approx(tokens, rel=1e-9)
    found = nearest(sigma_of(tokens))
    assert (found.tokens, found.exact) == (tokens, True)


def test_one_token_is_softmax_off_by_one() -> None:
    assert sigma_of(1) == pytest.approx(math.log(2))


@pytest.mark.parametrize(("sigma", "tokens"), [(PAPER_SIGMA, 1), (0.1, 10), (0.05, 20), (0.5, 2), (1.5, 0)])
def test_the_nearest_whole_number_is_given_with_its_own_sigma(sigma: float, tokens: int) -> None:
    found = nearest(sigma)
    assert found.tokens == tokens
    assert not found.exact
    assert found.sigma == (sigma_of(tokens) if tokens else None)
    others = [abs(other - found.wanted_mass) for other in (tokens - 1, tokens + 1)]
    assert abs(tokens - found.wanted_mass) < min(others)


def test_a_sigma_without_mass_is_no_token() -> None:
    assert nearest(800.0).tokens == 0
    assert nearest(800.0).exact


def test_more_than_the_most_is_never_asked_for() -> None:
    assert nearest(1e-6).tokens == MOST_TOKENS


@pytest.mark.parametrize("tokens", [0, -1, 1.5, True, MOST_TOKENS + 1, "3"])
def test_what_is_no_number_of_tokens_is_refused_by_name(tokens: object) -> None:
    with pytest.raises(SettingError, match="tokens must be a whole number"):
        sigma_of(tokens)  # type: ignore[arg-type]


@pytest.mark.parametrize("sigma", [0, -0.1, math.inf, math.nan, "0.1"])
def test_what_is_no_sigma_is_refused_by_name(sigma: object) -> None:
    with pytest.raises(SettingError, match="sigma must be a finite number > 0"):
        nearest(sigma)  # type: ignore[arg-type]
