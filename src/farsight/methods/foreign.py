"""Methods that are not of this distribution: those of other packages by name, and those of files, ``file.py:Class``."""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import is_dataclass
from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from inspect import isabstract
from pathlib import Path
from typing import Any

from farsight.entries import Registry
from farsight.errors import FarSightError, InputError, SettingError
from farsight.files import told
from farsight.method import Method

PACKAGED: Registry[type] = Registry(kind=type, noun="method", group="farsight.methods", own={})
"""What other packages add: ``[project.entry-points."farsight.methods"]``, a line ``name = "package.module:Class"``."""

_SUFFIX = ".py:"
_MODULE = "farsight_method_"
"""In front of the fingerprint of a file, the name of its module."""


def packaged_methods() -> dict[str, type[Method]]:
    """All methods of other packages that can be imported and used, by name."""
    methods = {}
    for name in PACKAGED.names():
        with suppress(SettingError, InputError):
            methods[name] = _packaged(name)
    return {name: kind for name, kind in methods.items() if kind is not None}


def foreign_method(name: str) -> type[Method] | None:
    """Give the method that another package calls ``name``, or the class that ``file.py:Class`` names; None if neither.

    The file is run, as ``python file.py`` would.

    Raises
    ------
    SettingError
        If the file is missing or broken, or what is named is no method.
    InputError
        If the package is missing or broken.
    """
    if _SUFFIX in name:
        return _of_file(name)
    return _packaged(name)


def source_of(kind: type[Method]) -> str | None:
    """Fingerprint of the file that a method was read from by ``file.py:Class``; None of any other."""
    module = kind.__module__
    return module.removeprefix(_MODULE) if module.startswith(_MODULE) else None


def _packaged(name: str) -> type[Method] | None:
    if (found := PACKAGED.find(name)) is None:
        return None
    kind = _checked(found, f"the method '{name}'")
    if kind.name != name:
        raise SettingError(f"the method '{name}' calls itself '{kind.name}'; give its entry point that name")
    return kind


def _of_file(name: str) -> type[Method]:
    file, _, class_name = name.rpartition(":")
    path = Path(file).expanduser()
    try:
        module_name = _MODULE + sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise SettingError(f"'{name}': {path} cannot be read ({told(error)}); correct the path") from error
    if module_name not in sys.modules:
        _run(module_name, path)
    module = sys.modules[module_name]
    if not hasattr(module, class_name):
        here = [key for key, kind in vars(module).items() if getattr(kind, "__module__", "") == module_name]
        raise SettingError(f"{path} has no '{class_name}'; it has {', '.join(here) or 'no class'}")
    return _checked(getattr(module, class_name), f"'{class_name}' of {path}")


def _run(module_name: str, path: Path) -> None:
    spec = spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[module_name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever a file raises when it is run
        del sys.modules[module_name]
        why = str(error) if isinstance(error, FarSightError) else told(error)
        raise SettingError(f"{path} cannot be run ({why}); correct it") from error


def _checked(kind: Any, what: str) -> type[Method]:
    if not isinstance(kind, type) or not issubclass(kind, Method):
        raise SettingError(f"{what} is no Method; derive the class from farsight.Method")
    if (
        isabstract(kind)
        or not is_dataclass(kind)
        or not all(hasattr(kind, own) for own in ("name", "paper", "changes"))
    ):
        raise SettingError(f"{what} is not finished: a method is a dataclass with name, paper, changes and applied()")
    return kind
