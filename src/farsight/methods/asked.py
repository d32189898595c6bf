"""What a call of `generate` asks for, whether as an argument, in a generation config or by the model's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def asked_of(model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Callable[[str], Any]:
    """Give a function that says what a setting of generation is, by its name; None if nothing says."""
    config = kwargs.get("generation_config", args[1] if len(args) > 1 else None) or model.generation_config

    def asked(name: str) -> Any:
        return kwargs[name] if name in kwargs else getattr(config, name, None)

    return asked
