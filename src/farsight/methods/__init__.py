"""Every method, one file each, and the registry by which commands and tables know them."""

from farsight.methods.registry import (
    GREEDY,
    METHODS,
    all_methods,
    called,
    defaults_of,
    make_method,
    name_of,
    settings_of,
)

__all__ = ["GREEDY", "METHODS", "all_methods", "called", "defaults_of", "make_method", "name_of", "settings_of"]
