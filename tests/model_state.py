"""Everything about a model that a method might leave behind."""

from __future__ import annotations

import copy
from typing import Any

from transformers import PreTrainedModel


def state(model: PreTrainedModel) -> dict[str, Any]:
    """Attributes, hooks, implementations and configs, to be compared before and after a block."""
    return {
        "attributes": {name: sorted(vars(module)) for name, module in model.named_modules()},
        "hooks": {
            name: [len(hooks) for attribute, hooks in sorted(vars(module).items()) if attribute.endswith("_hooks")]
            for name, module in model.named_modules()
        },
        "implementations": [
            getattr(module.config, "_attn_implementation", None)
            for module in model.modules()
            if hasattr(module, "config")
        ],
        "config": copy.deepcopy(model.config.to_dict()),
        "generation": model.generation_config.to_dict(),
    }
