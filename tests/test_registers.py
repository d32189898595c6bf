"""The closed form equals the sum that it stands for, at every sigma and every number of slots."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from farsight.registers import (
    PAPER_SIGMA,
    alibi_slopes,
    log_constant_mass,
    log_profile_mass,
    log_register_mass,
    token_positions,
)

SIGMAS = [1e-4, 1e-3, 0.05, 0.3, PAPER_SIGMA, 3.0, 50.0]


def summed(slots: int, sigma: float, start: int = 1) -> float:
    """log of the register mass, term by term in float64."""
    terms = -sigma * torch.arange(start, slots + 1, dtype=torch.float64)
    return float(torch.logsumexp(terms, 0)) if len(terms) else -math.inf


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("slots", [1, 2, 3, 17, 256, 5000])
def test_closed_form_equals_the_sum_in_fp32(slots: int, sigma: float) -> None:
    found = log_register_mass(torch.tensor(float(slots)), sigma)
    assert found.dtype == torch.float32
    expected = summed(slots, sigma)
    assert float(found) == pytest.approx(expected, rel=2e-6, abs=2e-6)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_no_slots_one_slot_and_infinitely_many(sigma: float) -> None:
    none, below, one, infinite = log_register_mass(torch.tensor([0.0, -3.0, 1.0, math.inf]), sigma).tolist()
    assert none == below == -math.inf
    assert one == float(torch.tensor(-sigma))
    assert infinite == pytest.approx(-sigma - math.log(-math.expm1(-sigma)), rel=2e-6, abs=2e-6)


@given(st.floats(1e-4, 50), st.integers(0, 10_000))
def test_mass_grows_with_every_slot_and_stays_below_its_limit(sigma: float, slots: int) -> None:
    fewer, more, limit = log_register_mass(torch.tensor([slots, slots + 1, math.inf]), sigma).tolist()
    assert fewer <= more <= limit
    assert not math.isnan(fewer)


def test_sigma_per_head_broadcasts_against_rows() -> None:
    sigma = torch.tensor([[0.1], [0.8]])
    found = log_register_mass(torch.tensor([1.0, 4.0, math.inf]), sigma)
    assert found.shape == (2, 3)
    assert float(found[1, 1]) == pytest.approx(summed(4, 0.8), rel=1e-6)


def test_slots_that_the_mask_already_uses_hold_no_register() -> None:
    found = log_profile_mass(torch.tensor([10.0]), "linear", 0.8, used=torch.tensor([4.0]))
    assert float(found) == pytest.approx(summed(10, 0.8, start=5), rel=1e-6)
    constant = log_profile_mass(torch.tensor([10.0]), 1e-3, 0.8, used=torch.tensor([4.0]))
    assert float(constant) == pytest.approx(math.log(6) + 1e-3)


@pytest.mark.parametrize("constant", [0.0, 1e-3, -2.0])
def test_constant_registers_count_slots(constant: float) -> None:
    found = log_constant_mass(torch.tensor([0.0, 1.0, 7.0]), constant).exp()
    assert found.tolist() == pytest.approx([0.0, math.exp(constant), 7 * math.exp(constant)])


def test_no_profile_is_plain_causal_attention() -> None:
    assert log_profile_mass(torch.tensor([5.0, math.inf]), "none", 0.8).tolist() == [-math.inf, -math.inf]


def test_slopes_are_alibis_for_powers_of_two_and_interleaved_otherwise() -> None:
    assert alibi_slopes(8).tolist() == pytest.approx([2.0**-k for k in range(1, 9)])
    assert alibi_slopes(1).tolist() == pytest.approx([2.0**-8])
    # ALiBi's own code, `get_slopes(6)` and `get_slopes(12)`
    assert alibi_slopes(6).tolist() == pytest.approx([0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125])
    assert alibi_slopes(12).tolist() == pytest.approx(
        [2.0**-k for k in range(1, 9)] + [2.0 ** -(k + 0.5) for k in range(4)]
    )


def test_positions_count_real_tokens_only() -> None:
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 0]])
    assert token_positions(mask).tolist() == [[-1, -1, 0, 1], [0, 1, 2, 2]]
