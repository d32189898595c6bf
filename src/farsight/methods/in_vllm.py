"""What vLLM is told of a method: nothing of greedy decoding, registers that are one constant per head, FLB."""

from __future__ import annotations

from typing import Any

from farsight.errors import SettingError
from farsight.farsight import FarSight
from farsight.method import Method, Plain, parts
from farsight.methods.flb import FLB
from farsight.methods.registry import name_of, settings_of
from farsight.vllm_plugin import FLB as FLB_KEY
from farsight.vllm_plugin import NAME, Sinks


def additional_config(method: Method, *, otherwise: str = "--engine local") -> dict[str, Any]:
    """Give vLLM's ``additional_config`` for a method: none for greedy decoding, settings for FarSight, FLB and both.

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
    if any(type(part) not in (Plain, FarSight, FLB) for part in parts(method)):
        raise SettingError(
            f"method '{name_of(method)}' does not run in vLLM, which takes greedy, farsight(horizon=infinite) and flb: "
            f"leave it out, or pass {otherwise}"
        )
    config: dict[str, Any] = {}
    for part in parts(method):
        settings = {name: value for name, value in settings_of(part).items() if name != "name"}
        if isinstance(part, FLB):
            config[FLB_KEY] = settings
        elif isinstance(part, FarSight):
            _check_registers(part, settings, otherwise)
            config[NAME] = settings
    return config


def _check_registers(method: FarSight, settings: dict[str, Any], otherwise: str) -> None:
    if method.horizon != "infinite":
        raise SettingError(
            f"method 'farsight' with horizon={method.horizon} is no constant per head, which is what vLLM can serve: "
            f"write farsight(horizon=infinite), or pass {otherwise}"
        )
    try:
        Sinks.read({NAME: settings})
    except SettingError as error:
        raise SettingError(f"method 'farsight' in vLLM: {error}, or pass {otherwise}") from error
