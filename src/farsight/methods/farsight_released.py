"""The variant of FarSight that its released code computes, which is not the method of its paper."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from farsight.attention import LayerCall, Tap, locate, tapped
from farsight.attention.cache import CACHE, given_cache
from farsight.errors import SettingError, UnsupportedModelError
from farsight.instances import replaced
from farsight.method import Method
from farsight.registers import LEAST_SIGMA, PAPER_SIGMA, log_register_mass, register_gate, token_positions
from farsight.setting_checks import at_least, check_positive, check_switch, setting

_NOTHING = -1e30


@dataclass(frozen=True, kw_only=True)
class FarSightReleased(Method):
    """FarSight as in its released code: three decays at once, and every token computed anew at every step.

    With ``L`` the length so far, the register ``k`` slots ahead of row ``i`` scores ``-k * rate`` in head ``h`` of
    ``H``, with ``rate = sigma * (1 - 0.25 * i / (L - 1)) + 2 ** (-8 * (h + 1) / H)``: the mean of a plain decay and
    one that weakens to a half along the rows, and ALiBi's slope. As ``L`` grows all of them change, so nothing but
    the first layer's keys could be cached, and ``generate`` runs without a cache. (FarSight, Tang et al., CVPR 2025,
    eq. 1-4, is `farsight.FarSight`.)

    Parameters
    ----------
    sigma
        Decay of the registers per slot, > 0; the code's ``log_1024(256) = 0.8``. Large values give the plain model.
    alibi
        Whether ALiBi's slopes are added.

    Raises
    ------
    SettingError
        If a value has no meaning.
    """

    name: ClassVar[str] = "farsight-released"
    paper: ClassVar[str] = "the released code of Tang et al., CVPR 2025"
    changes: ClassVar[str] = "gate"
    goes_with: ClassVar[tuple[str, ...]] = ("logits", "search")
    cache: ClassVar[str] = "none"
    extra_forwards: ClassVar[float] = 0.0  # but each forward computes the whole sequence

    sigma: float = setting(PAPER_SIGMA, check_positive, at_least(LEAST_SIGMA))
    alibi: bool = setting(True, check_switch)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Put the registers into the language model of ``model``, and turn its cache off; see `Method`."""
        if not hasattr(model, "generate"):
            raise UnsupportedModelError(
                f"{type(model).__name__} has no generate whose cache could be turned off: put the method on the model "
                "that generates"
            )
        language_model, tap = locate(model), _Released(self)
        taps = [(layer, tap) for layer in language_model.layers]
        uncached = partial(_without_cache, model.generate)
        with replaced(model, "generate", uncached), tapped(language_model, taps):
            yield


class _Released(Tap):
    def __init__(self, method: FarSightReleased) -> None:
        self.method = method

    def gate(self, lse: Tensor, call: LayerCall) -> Tensor:
        """``Z / (Z + R)``, with the register mass ``R`` of each row at the length so far."""
        heads, queries = lse.shape[1:]
        if call.key.shape[2] != queries:
            raise UnsupportedModelError(
                "the released code's registers change with every token, so cached keys would be wrong: "
                "pass use_cache=False, or use FarSight"
            )
        real = _real_tokens(call)
        rows = token_positions(real).unsqueeze(1)
        length = real.sum(-1).view(-1, 1, 1)
        rate = self.method.sigma * (1 - 0.25 * rows.to(lse) / (length - 1).clamp(min=1))
        if self.method.alibi:
            slopes = 2.0 ** (-8.0 * torch.arange(1, heads + 1, device=lse.device, dtype=lse.dtype) / heads)
            rate = rate + slopes.view(1, -1, 1)
        future = torch.where(real.unsqueeze(1), length - 1 - rows, 0).to(lse).expand(-1, rate.shape[1], -1)
        return register_gate(lse, log_register_mass(future, rate).clamp(min=_NOTHING))


def _real_tokens(call: LayerCall) -> Tensor:
    """Which slots are no padding, ``(batch, slots)``: those that their own row may read."""
    if not call.is_causal and call.mask is None:
        raise UnsupportedModelError("this model's attention is not causal, so it has no slots for registers")
    allowed = call.allowed(0, call.query.shape[2])
    if allowed.triu(1).any():
        raise UnsupportedModelError(
            "the released code knows causal attention only, this model reads image tokens both ways: use FarSight"
        )
    return allowed.expand(call.query.shape[0], -1, -1, -1).diagonal(dim1=-2, dim2=-1)[:, 0]


def _without_cache(generate: Any, /, *args: Any, **kwargs: Any) -> Any:
    if given_cache(kwargs) is not None:
        raise SettingError(f"the released code's registers cannot use a cache: leave {CACHE} out")
    return generate(*args, **{**kwargs, "use_cache": False})
