"""Whether vLLM is there, and finds the plugin: otherwise it would serve a model plainly and say nothing."""

from __future__ import annotations

import os
from importlib.metadata import entry_points
from importlib.util import find_spec

from farsight.errors import SettingError

from .sinks import NAME

GROUP = "vllm.general_plugins"
"""The entry points that vLLM loads in each of its processes."""


def check_installation() -> None:
    """Make sure that vLLM is installed and will load the plugin.

    Raises
    ------
    SettingError
        If it is not, if ``$VLLM_PLUGINS`` keeps the plugin out, or if farsight is run without being installed.
    """
    if find_spec("vllm") is None:
        raise SettingError(
            "--engine vllm needs vLLM, which is not installed here: pip install '.[vllm]' in a clone of farsight"
        )
    plugins = os.environ.get("VLLM_PLUGINS")
    if plugins is not None and NAME not in plugins.split(","):
        raise SettingError(f"$VLLM_PLUGINS is '{plugins}', which keeps farsight out: add farsight to it, or unset it")
    if not entry_points(group=GROUP, name=NAME):
        raise SettingError("vLLM finds its plugins among installed packages: install farsight with pip")
