"""Registers as tokens: which strength of `FarSight` ``n`` tokens with a zero embedding have, and which tokens a sigma.

In a decoder without biases a token whose embedding is zero has a zero key and a zero value in every layer as long as it
reads nothing but such tokens, that is, in front of everything. Each scores ``exp(q . 0) = 1`` with every row and adds
nothing to the output, so ``n`` of them are registers of mass ``R = n``: an infinite horizon with

    n = 1 / (exp(sigma) - 1),    sigma = log(1 + 1 / n)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from farsight.setting_checks import check_positive, check_whole

MOST_TOKENS = 4096
"""Tokens in front of a prompt; they take places of the context, and more of them leave a row hardly any attention."""


@dataclass(frozen=True, kw_only=True)
class Strength:
    """What is reachable with tokens next to what was wanted.

    Parameters
    ----------
    tokens
        How many; 0 is plain decoding.
    sigma
        Their decay in ``FarSight(horizon="infinite")``; None for no tokens.
    wanted_mass
        Mass ``1 / (exp(sigma) - 1)`` of the registers that were asked for.
    """

    tokens: int
    sigma: float | None
    wanted_mass: float

    @property
    def exact(self) -> bool:
        """Whether the tokens have the wanted mass, as far as fp32 can tell."""
        return math.isclose(self.tokens, self.wanted_mass, rel_tol=1e-6)


def sigma_of(tokens: int) -> float:
    """Decay ``log(1 + 1 / tokens)`` of the registers that so many tokens are.

    Raises
    ------
    SettingError
        If it is no whole number from 1 to `MOST_TOKENS`.
    """
    check_whole("tokens", tokens, 1, MOST_TOKENS)
    return math.log1p(1 / tokens)


def mass_of(sigma: float) -> float:
    """Mass ``1 / (exp(sigma) - 1)`` of registers without end: how many tokens they are, which may be no whole number.

    Raises
    ------
    SettingError
        If ``sigma`` is no finite number > 0.
    """
    check_positive("sigma", sigma)
    return 0.0 if sigma > 700 else 1 / math.expm1(sigma)


def nearest(sigma: float) -> Strength:
    """Find the number of tokens whose mass is nearest to that of ``sigma``; at most `MOST_TOKENS`.

    The paper's 0.8 has mass 0.82 and the nearest is 1 token, ``sigma = 0.693``; a sigma above 1.1 is nearest to none.

    Raises
    ------
    SettingError
        As `mass_of`.
    """
    mass = mass_of(sigma)
    tokens = min(round(mass), MOST_TOKENS)
    return Strength(tokens=tokens, sigma=sigma_of(tokens) if tokens else None, wanted_mass=mass)
