"""Fewer objects that are not there: training-free hallucination mitigation for multimodal LLMs in Transformers.

::

    from farsight import FarSight

    with FarSight()(model):
        model.generate(**inputs, max_new_tokens=256)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from farsight.errors import FarSightError, InputError, SettingError, UnsupportedModelError
    from farsight.farsight import FarSight
    from farsight.method import Composed, Method, Plain, active_method, disable, enable
    from farsight.methods import METHODS

__version__ = "0.1.0"

__all__ = [
    "METHODS",
    "Composed",
    "FarSight",
    "FarSightError",
    "InputError",
    "Method",
    "Plain",
    "SettingError",
    "UnsupportedModelError",
    "active_method",
    "disable",
    "enable",
]

# PyTorch and Transformers take seconds to import, which `farsight --help` must not wait for.
_HOMES = {
    "Composed": "method",
    "METHODS": "methods",
    "FarSight": "farsight",
    "Method": "method",
    "Plain": "method",
    "active_method": "method",
    "disable": "method",
    "enable": "method",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'farsight' has no attribute '{name}'")
    value = getattr(import_module(f"farsight.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
