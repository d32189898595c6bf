"""Engines that nobody changed: `make test-engines`. Without llama.cpp's package nothing here is collected."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("xllamacpp") else ["*.py"]
