"""farsight as it is where the drawn world beside it is not installed."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def without_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every import of ``farsight_scenes`` fail, and forget what was imported of it before."""
    for module in [name for name in sys.modules if name.partition(".")[0] == "farsight_scenes"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "farsight_scenes", None)
