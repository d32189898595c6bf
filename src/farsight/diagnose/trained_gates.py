"""Is there a trained gate behind a model's attention? It is looked for in what a layer does, not in its names.

Some models multiply what attention gives by a learned factor before they project it (Qwen3-Next; Qiu et al., 2025, who
find that it takes the place of attention sinks). Registers are such a factor too, so they find less to do there.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from farsight.attention import LanguageModel, LayerCall, watched
from farsight.diagnose.layout import Layout
from farsight.diagnose.replay import generated
from farsight.inputs.checkpoints import LoadedModel, answering
from farsight.method import Plain

ROWS = 8
"""So many of the prompt's last rows are compared."""
_CLOSE = 0.02
"""Of the largest value: what is that near is the same, in the precision of bfloat16."""


@answering
@torch.inference_mode()
def trained_gates(loaded: LoadedModel, language_model: LanguageModel, layout: Layout) -> dict[int, float]:
    """Give the mean factor of each layer's gate, by the layer's index; a layer without a gate is left out.

    What each layer's attention gives is computed once more and compared with what the layer then projects. A gate is
    what multiplies each number by a factor between 0 and 1.
    """
    attended: dict[int, Tensor] = {}
    projected: dict[int, Tensor] = {}
    queries = layout.prompt_slots

    def see(call: LayerCall) -> None:
        weights = call.rows(max(0, queries - ROWS), queries)
        value = call.value.to(weights).repeat_interleave(weights.shape[1] // call.value.shape[1], dim=1)
        attended[call.index] = (weights @ value)[0].transpose(0, 1).flatten(1)

    def before(index: int) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        def keep(module: nn.Module, args: tuple[Any, ...]) -> None:
            its = attended.get(index)  # of what a layer runs behind its attention, the last part projects
            if its is not None and isinstance(args[0], Tensor) and args[0].numel() == queries * its.shape[1]:
                projected[index] = args[0].reshape(queries, -1)[-ROWS:].to(its)

        return keep

    with ExitStack() as stack:
        stack.enter_context(watched(language_model, see))
        for layer in language_model.layers:
            for part in layer.module.modules():
                if part is not layer.module:
                    stack.callback(part.register_forward_pre_hook(before(layer.index)).remove)
        generated(loaded, layout, Plain(), 1)
    factors = {index: _factor(attended[index], projected[index]) for index in projected}
    return {index: factor for index, factor in factors.items() if factor is not None}


def _factor(given: Tensor, used: Tensor) -> float | None:
    """Mean of what multiplies ``given``, where it is between 0 and 1 everywhere and not 1 everywhere."""
    size = given.abs().max()
    if bool((used - given).abs().max() <= _CLOSE * size):
        return None
    clear = given.abs() > _CLOSE * size
    factor = used[clear] / given[clear]
    inside = bool(((factor > -_CLOSE) & (factor < 1 + _CLOSE)).all())
    return float(factor.mean()) if inside else None
