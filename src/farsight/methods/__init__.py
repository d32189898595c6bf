"""Every method, one file each, and the registry by which commands and tables know them."""

from farsight.methods.registry import (
    METHODS,
    all_methods,
    defaults_of,
    make_method,
    name_of,
    settings_of,
)

__all__ = ["METHODS", "all_methods", "defaults_of", "make_method", "name_of", "settings_of"]
