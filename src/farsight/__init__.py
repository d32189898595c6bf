"""Fewer objects that are not there: training-free hallucination mitigation for multimodal LLMs in Transformers.

::

    from farsight import FarSight

    with FarSight(sigma=0.1, rows="generated")(model):
        model.generate(**inputs, max_new_tokens=256)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from farsight.errors import FarSightError, InputError, SettingError, UnsupportedModelError
    from farsight.farsight import FarSight
    from farsight.method import Composed, Method, Plain, active_method, disable, enable
    from farsight.methods import METHODS
    from farsight.methods.adaiat import AdaIAT
    from farsight.methods.avisc import AvisC
    from farsight.methods.beam_search import BeamSearch
    from farsight.methods.constant_gate import ConstantGate
    from farsight.methods.deco import DeCo
    from farsight.methods.dola import DoLa
    from farsight.methods.edvt import EDVT
    from farsight.methods.farsight_released import FarSightReleased
    from farsight.methods.fixvpe import FixVPE
    from farsight.methods.flb import FLB
    from farsight.methods.grammar import load_method, parse_method
    from farsight.methods.iat import IAT
    from farsight.methods.icd import ICD
    from farsight.methods.m3id import M3ID
    from farsight.methods.opera import OPERA
    from farsight.methods.pai import PAI
    from farsight.methods.plausible import Plausible
    from farsight.methods.rudder import RUDDER
    from farsight.methods.shift import Shift
    from farsight.methods.vcd import VCD
    from farsight.methods.verified import Verified

__version__ = "0.1.0"

__all__ = [
    "EDVT",
    "FLB",
    "IAT",
    "ICD",
    "M3ID",
    "METHODS",
    "OPERA",
    "PAI",
    "RUDDER",
    "VCD",
    "AdaIAT",
    "AvisC",
    "BeamSearch",
    "Composed",
    "ConstantGate",
    "DeCo",
    "DoLa",
    "FarSight",
    "FarSightError",
    "FarSightReleased",
    "FixVPE",
    "InputError",
    "Method",
    "Plain",
    "Plausible",
    "SettingError",
    "Shift",
    "UnsupportedModelError",
    "Verified",
    "active_method",
    "disable",
    "enable",
    "load_method",
    "parse_method",
]

# PyTorch and Transformers take seconds to import, which `farsight --help` must not wait for.
_HOMES = {
    "AdaIAT": "methods.adaiat",
    "AvisC": "methods.avisc",
    "BeamSearch": "methods.beam_search",
    "Composed": "method",
    "ConstantGate": "methods.constant_gate",
    "DeCo": "methods.deco",
    "DoLa": "methods.dola",
    "EDVT": "methods.edvt",
    "FLB": "methods.flb",
    "FarSight": "farsight",
    "FarSightReleased": "methods.farsight_released",
    "FixVPE": "methods.fixvpe",
    "IAT": "methods.iat",
    "ICD": "methods.icd",
    "M3ID": "methods.m3id",
    "METHODS": "methods",
    "Method": "method",
    "OPERA": "methods.opera",
    "PAI": "methods.pai",
    "Plain": "method",
    "Plausible": "methods.plausible",
    "RUDDER": "methods.rudder",
    "Shift": "methods.shift",
    "VCD": "methods.vcd",
    "Verified": "methods.verified",
    "active_method": "method",
    "disable": "method",
    "enable": "method",
    "load_method": "methods.grammar",
    "parse_method": "methods.grammar",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'farsight' has no attribute '{name}'")
    value = getattr(import_module(f"farsight.{_HOMES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
