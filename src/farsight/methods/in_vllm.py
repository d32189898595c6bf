"""What vLLM is told of a method: nothing of greedy decoding, and registers that are one constant per head."""

from __future__ import annotations

from typing import Any

from farsight.errors import SettingError
from farsight.farsight import FarSight
from farsight.method import Method, Plain
from farsight.methods.registry import name_of, settings_of
from farsight.vllm_plugin import NAME, Sinks


def additional_config(method: Method, *, otherwise: str = "--engine local") -> dict[str, Any]:
    """Give vLLM's ``additional_config`` for a method: none for greedy decoding, registers for FarSight.

    Parameters
    ----------
    method
        The method.
    otherwise
        The option by which it runs elsewhere, for messages.

    Raises
    ------
    SettingError
        If the method is not one of these, or has settings that are no constant per head.
    """
    if type(method) is Plain:
        return {}
    if type(method) is not FarSight:
        raise SettingError(
            f"method '{name_of(method)}' does not run in vLLM, which takes greedy and farsight(horizon=infinite): "
            f"leave it out, or pass {otherwise}"
        )
    if method.horizon != "infinite":
        raise SettingError(
            f"method 'farsight' with horizon={method.horizon} is no constant per head, which is what vLLM can serve: "
            f"write farsight(horizon=infinite), or pass {otherwise}"
        )
    settings = {name: value for name, value in settings_of(method).items() if name != "name"}
    try:
        Sinks.read({NAME: settings})
    except SettingError as error:
        raise SettingError(f"method 'farsight' in vLLM: {error}, or pass {otherwise}") from error
    return {NAME: settings}
