"""First Logit Boosting: the first token's logits are added to all that follow (Ha et al., CVPR 2026)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from farsight.attention import locate
from farsight.call import Calls, calls_of, forwards
from farsight.errors import SettingError
from farsight.logit_rules import boosted
from farsight.method import Method
from farsight.methods.logits import logits_changed
from farsight.setting_checks import check_share, check_strength, setting

_FIRST = "first logits"


@dataclass(frozen=True, kw_only=True)
class FLB(Method):
    """Add the logits with which the answer began to those of every later token, the more the further it has gone.

    With ``z_t`` the model's logits of the answer's token number ``t``, counted from 0, tokens are drawn by
    ``z_t + gamma * (1 - exp(-rate * t)) * z_0``, among those with ``z_t >= max z_t + log(beta)``.

    Parameters
    ----------
    gamma
        How much of the first logits is added in the end. 0: nothing, which leaves the constraint alone.
    rate
        The rate lambda, per token, at which it is reached.
    beta
        Least share of the best token's probability that keeps a token, before anything is added. ``gamma = 0`` and
        ``beta = 0`` is plain decoding.

    Raises
    ------
    SettingError
        If a value has no meaning; in a forward outside of `generate`, which does not say where the answer begins.
    """

    name: ClassVar[str] = "flb"
    paper: ClassVar[str] = "Ha et al., CVPR 2026, arXiv 2604.00455"
    changes: ClassVar[str] = "logits"
    extra_forwards: ClassVar[float] = 0.0

    gamma: float = setting(0.3, check_strength)
    rate: float = setting(0.05, check_strength)
    beta: float = setting(0.1, check_share)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Change the logits of every forward of ``model``; see `Method`."""
        calls = calls_of(model)
        language_model = locate(model, encoder_decoder=True)
        with forwards(model, language_model), logits_changed(model, lambda logits: self._of_rows(logits, calls)):
            yield

    def _of_rows(self, logits: Tensor, calls: Calls) -> Tensor:
        call, forward = calls.call, calls.forward
        if call is None or forward is None:
            raise SettingError(
                "flb adds the logits of an answer's first token, and a forward outside of generate does not say where "
                "the answer begins: call model.generate"
            )
        newest = forward.offset + forward.queries - call.prompt_slots
        steps = newest + torch.arange(1 - logits.shape[1], 1, device=logits.device)
        if _FIRST not in call.memory:
            if int(newest) < 0:  # a part of a prompt that comes in chunks
                return logits
            call.memory[_FIRST] = logits[:, -1 - int(newest)]
        steps = steps.unsqueeze(-1)
        changed = boosted(logits, call.memory[_FIRST].unsqueeze(1), steps, self.gamma, self.rate, self.beta)
        return torch.where(steps < 0, logits, changed)
