"""Every method by name: the rows of a comparison, the choices of the command line."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

from farsight.errors import SettingError
from farsight.farsight import FarSight
from farsight.method import Composed, Method, Plain, parts
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
from farsight.methods.foreign import foreign_method, packaged_methods, source_of
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

GREEDY = "greedy"
"""What users call plain decoding; its class is `Plain`, and ``plain`` is understood too."""
LOAD = "load"
"""A setting that is no parameter: the file that has them, for methods that read one."""
METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        Plain,
        FarSight,
        FarSightReleased,
        BeamSearch,
        OPERA,
        VCD,
        ICD,
        M3ID,
        PAI,
        AvisC,
        DoLa,
        DeCo,
        FLB,
        FixVPE,
        EDVT,
        IAT,
        AdaIAT,
        RUDDER,
        ConstantGate,
        Plausible,
        Shift,
        Verified,
    )
}


def all_methods() -> dict[str, type[Method]]:
    """Every method by name: `METHODS`, and those that other packages add as entry points of ``farsight.methods``."""
    return packaged_methods() | METHODS


def find_method(name: str) -> type[Method]:
    """Give the method called ``name``, of this or of another package, or that of a file, ``file.py:Class``.

    Raises
    ------
    SettingError
        If there is none, with the nearest that there is.
    """
    kind = METHODS.get(Plain.name if name == GREEDY else name) or foreign_method(name)
    if kind is None:
        known = [called(one) for one in all_methods()]
        raise SettingError(f"unknown method '{name}'{_nearest(name, known)}; choose one of {', '.join(known)}")
    return kind


def make_method(name: str, settings: Mapping[str, Any]) -> Method:
    """Make the method called ``name`` with these settings.

    Raises
    ------
    SettingError
        If there is no such method or setting, with the nearest that there is; or if a value has no meaning.
    """
    kind = find_method(name)
    if LOAD in settings:
        return _loaded(name, settings)
    known = [field.name for field in fields(kind)]
    for setting in settings:
        if setting not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise SettingError(f"method '{name}' has no setting '{setting}'{_nearest(setting, known)}; {has}")
    if missing := [field.name for field in fields(kind) if field.default is MISSING and field.name not in settings]:
        raise SettingError(f"method '{name}' needs a value of {missing[0]}: write {name}({missing[0]}=...)")
    return kind(**settings)


def _loaded(name: str, settings: Mapping[str, Any]) -> Method:
    kind: Any = find_method(name)
    if not hasattr(kind, LOAD):
        raise SettingError(f"method '{name}' reads no file of settings; leave out {LOAD}")
    beside = {setting: value for setting, value in settings.items() if setting != LOAD}
    if more := [setting for setting in beside if setting not in getattr(kind, "beside_file", ())]:
        raise SettingError(f"a file has that setting of '{name}': leave out {more[0]}, or {LOAD}")
    path = settings[LOAD]
    if not isinstance(path, str | Path):
        raise SettingError(f"{LOAD} must be the name of a file, got {path!r}")
    made: Method = kind.load(path)
    return replace(made, **beside)


def settings_of(method: Method) -> dict[str, Any]:
    """Settings of a method as JSON can write them, its name first; of a composed one, those of all its parts."""
    if isinstance(method, Composed):
        return {"name": name_of(method), "methods": [settings_of(part) for part in method.methods]}

    source = source_of(type(method))
    return {
        "name": method.name,
        **({} if source is None else {"source": source}),
        **{field.name: _as_json(getattr(method, field.name)) for field in fields(method)},
    }


def defaults_of(kind: type[Method]) -> dict[str, Any]:
    """Give the parameters of a method with their defaults, as JSON can write them; None for one that must be given."""
    return {field.name: None if field.default is MISSING else _as_json(field.default) for field in fields(kind)}


def called(name: str) -> str:
    """Give the name of a method as it is shown: `GREEDY` for plain decoding."""
    return GREEDY if name == Plain.name else name


def name_of(method: Method) -> str:
    """Name a method: ``farsight``, or ``farsight+beam`` if it is composed."""
    return "+".join(part.name for part in parts(method))


def _as_json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, tuple | list | set | frozenset | range):
        return [_as_json(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f", did you mean '{near[0]}'?" if near else ""
