"""What a request to an OpenAI-compatible server says of a method: registers as tokens, or a name that the server knows.

The API itself knows no methods. `farsight serve` takes the one that it was started with, or the model as it is, by
name. Any other server that fills in a chat template's variables (``chat_template_kwargs``) can put registers in front
of a prompt as tokens, if its model was written by ``farsight export``: see `farsight.register_tokens`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from farsight.errors import SettingError
from farsight.farsight import FarSight
from farsight.method import Method, Plain
from farsight.methods.grammar import label_of
from farsight.methods.registry import settings_of
from farsight.register_tokens import MOST_TOKENS, mass_of, sigma_of

CLOSE = 1e-3
"""How far a mass may be from a whole number of tokens, of the whole: what three digits of a sigma can say."""
CAN = "this engine asks for greedy, and for farsight(horizon=infinite, sigma=log(1 + 1/n)) as n tokens"

Counted = Callable[[Mapping[str, Any]], int | None]
"""How many tokens a server makes of one short prompt with these parameters; None if it does not take them."""


def named(method: Method, known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What is asked of a server that has methods by name.

    Parameters
    ----------
    method
        The method.
    known
        Settings of those that the server has, by the name that it has for each.

    Raises
    ------
    SettingError
        If it is none of them.
    """
    for name, settings in known.items():
        if settings == settings_of(method):
            return {"method": name}
    raise SettingError(
        f"method '{label_of(method)}' is none of what this server has ({', '.join(known)}): start "
        f'farsight serve with --method "{label_of(method)}"'
    )


def as_tokens(methods: Mapping[str, Method], count: Counted) -> dict[Method, dict[str, Any]]:
    """What is asked of a server that has none by name, for each of some methods; seen to arrive in the prompt.

    Parameters
    ----------
    methods
        The methods by label.
    count
        Asks the server how many tokens a prompt has.

    Raises
    ------
    SettingError
        If one of them cannot be asked for, or the prompt does not grow by as many tokens.
    """
    wanted = {method: tokens_of(label, method) for label, method in methods.items()}
    usual, none = count({}), count(_registers(0))
    if not any(wanted.values()) and none in (None, usual):
        return {method: {} for method in wanted}
    for label, method in methods.items():
        tokens = wanted[method]
        longer = None if none is None else count(_registers(tokens))
        if none is None or longer is None or longer - none != tokens:
            found = "does not take it" if longer is None or none is None else f"makes {longer - none} of it"
            raise SettingError(
                f"method '{label}' is {tokens} tokens in front of the prompt, asked for with "
                f"chat_template_kwargs={{'registers': {tokens}}}, and the server {found}: serve a model that "
                "'farsight export' has written, with its chat template"
            )
    return {method: _registers(tokens) for method, tokens in wanted.items()}


def _registers(tokens: int) -> dict[str, Any]:
    return {"chat_template_kwargs": {"registers": tokens}}


def tokens_of(label: str, method: Method) -> int:
    """How many tokens a method is; 0 for greedy decoding."""
    if type(method) is Plain:
        return 0
    if type(method) is not FarSight or method.horizon != "infinite":
        raise SettingError(f"method '{label}' cannot be asked of a server that has no methods by name: {CAN}")
    others = [field for field in fields(method) if field.name not in ("horizon", "sigma", "strength")]
    changed = [field.name for field in others if getattr(method, field.name) != field.default]
    changed += [] if isinstance(method.strength, int | float) else ["strength of single layers"]
    if changed:
        raise SettingError(f"method '{label}': tokens have no {changed[0]}, every row of every layer reads them; {CAN}")
    assert isinstance(method.strength, int | float)
    mass = method.strength * mass_of(method.sigma)
    tokens = round(mass)
    if not 1 <= tokens <= MOST_TOKENS or not math.isclose(mass, tokens, rel_tol=CLOSE):
        near = min(max(tokens, 1), MOST_TOKENS)
        raise SettingError(
            f"method '{label}' has registers of mass {mass:.4g}, and tokens are whole numbers: write "
            f"sigma={sigma_of(near):.6g}, which is {near}"
        )
    return tokens
