"""RUDDER: what attention read from the prompt is added again while the answer is said (Zou et al., ICML 2026)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from farsight.attention import AttentionLayer, LanguageModel, locate
from farsight.call import Call, Calls, Forward, calls_of, forwards
from farsight.errors import SettingError, UnsupportedModelError
from farsight.horizon import rows_for_batch
from farsight.method import Method
from farsight.setting_checks import Check, check_number, check_share, check_strength, setting, whole

_PAPER_DEPTH, _PAPER_LAYER = 32, 30
_SUM, _DIRECTION = "rudder sum", "rudder direction"


@dataclass(frozen=True, kw_only=True)
class RUDDER(Method):
    """Residual-update directed decoding regulation: one layer's attention is steered towards what it read at first.

    With ``A_i`` what the attention of the layer gives row ``i``, the direction ``v`` of a prompt is the mean of ``A_i``
    over its rows, weighted by their lengths, and scaled to length 1. To each row that predicts a generated token,
    ``strength * g * v`` is added behind the attention, with ``s`` the cosine of its own ``A`` and ``v``,
    ``a = softplus(k * s + c)``, ``b = softplus(-k * s + c)`` and ``g = a / (a + b)``, kept between ``least`` and 1.

    Parameters
    ----------
    strength
        The largest addition (alpha_max), in the units of the model's hidden states: each model has its own. 0 is the
        plain model.
    k
        How steeply the gate follows the cosine.
    c
        Concentration: the larger, the nearer the gate stays to a half.
    least
        Least of the gate, from 0 to 1.
    layer
        Which; None for the published 30 of 32, scaled to the depth of the model.

    Raises
    ------
    SettingError
        If a value has no meaning, or the layer does not exist; in a forward outside of `generate`, and in one that goes
        on from a cache whose prompt it has not seen.
    """

    name: ClassVar[str] = "rudder"
    paper: ClassVar[str] = "Zou et al., ICML 2026, arXiv 2511.10292"
    changes: ClassVar[str] = "states"
    goes_with: ClassVar[tuple[str, ...]] = ("scores", "gate", "search")  # a second pass would have a prompt of its own
    extra_forwards: ClassVar[float] = 0.0

    strength: float = setting(20.0, check_strength)
    k: float = setting(5.0, check_number)
    c: float = setting(1.0, check_number)
    least: float = setting(0.05, check_share)
    layer: int | None = setting(None, Check("None", lambda value: value is None) | whole(0))

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Add to what the attention of one layer gives; see `Method`."""
        language_model = locate(model)
        layer = _chosen(language_model, self.layer)
        steering = _Steering(self, calls_of(model))
        with forwards(model, language_model):
            hook = layer.module.register_forward_hook(steering.behind_attention)
            try:
                yield
            finally:
                hook.remove()

    def gate(self, cosine: Tensor) -> Tensor:
        """``g`` of the cosine of a row's update with the direction."""
        towards = nn.functional.softplus(self.k * cosine + self.c)
        away = nn.functional.softplus(-self.k * cosine + self.c)
        share = torch.where(towards + away > 0, towards / (towards + away), torch.full_like(towards, 0.5))
        return share.clamp(min=self.least)


class _Steering:
    """What the layer's attention gives, row by row, of one thread's call at a time."""

    def __init__(self, method: RUDDER, calls: Calls) -> None:
        self.method, self.calls = method, calls

    def behind_attention(self, module: nn.Module, args: Any, output: Any) -> Any:
        """Learn the direction from a prompt's rows, and add it to those that predict generated tokens."""
        update: Tensor = output[0] if isinstance(output, tuple) else output
        call, forward = self.calls.call, self.calls.forward
        if call is None or forward is None:
            raise SettingError(
                "rudder adds what was read of the prompt, and a forward outside of generate does not say where that "
                "ends: call model.generate"
            )
        if update.dim() != 3 or update.shape[1] != forward.queries:
            raise UnsupportedModelError(
                f"{type(module).__name__} gives no row for each token, so rudder cannot add to it"
            )
        exact = update.to(torch.promote_types(update.dtype, torch.float32))
        slots = forward.offset + torch.arange(forward.queries, device=update.device)
        self._learn(exact, slots, call, forward)
        answering = slots >= call.prompt_slots - 1
        if not bool(answering.any()):
            return output
        direction = call.memory[_DIRECTION].unsqueeze(1)
        added = self.method.strength * self.method.gate(_cosine(exact, direction)) * direction
        steered = torch.where(answering[:, None], exact + added, exact).to(update.dtype)
        return (steered, *output[1:]) if isinstance(output, tuple) else steered

    def _learn(self, updates: Tensor, slots: Tensor, call: Call, forward: Forward) -> None:
        """Add up the prompt's updates ``(batch, rows, hidden)``, which may come in several forwards."""
        of_prompt = slots < call.prompt_slots
        if int(slots[0]) == 0:
            call.memory.pop(_SUM, None)
        elif _SUM not in call.memory:
            raise SettingError(
                "rudder reads its direction off the whole prompt, and the cache holds a part that it has not seen: "
                "start with an empty cache"
            )
        if not bool(of_prompt.any()):
            return
        rows = updates[:, of_prompt]
        weights = rows.norm(dim=-1, keepdim=True)
        if call.mask is not None:
            real = rows_for_batch(call.mask, forward.batch, call.part).to(rows.device)[:, slots[of_prompt]]
            weights = weights * (real > 0).unsqueeze(-1)
        call.memory[_SUM] = call.memory.get(_SUM, 0) + (weights * rows).sum(1)
        call.memory[_DIRECTION] = nn.functional.normalize(call.memory[_SUM], dim=-1)


def _cosine(updates: Tensor, direction: Tensor) -> Tensor:
    return nn.functional.cosine_similarity(updates, direction, dim=-1).unsqueeze(-1)


def _chosen(language_model: LanguageModel, index: int | None) -> AttentionLayer:
    layers = language_model.layers
    if index is None:
        return layers[min(round(len(layers) * _PAPER_LAYER / _PAPER_DEPTH), len(layers) - 1)]
    known = {layer.index: layer for layer in layers}
    if index not in known:
        raise SettingError(f"layer {index} is out of range: this model has {min(known)} to {max(known)}")
    return known[index]
