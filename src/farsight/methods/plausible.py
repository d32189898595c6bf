"""The plausibility constraint by itself: the control for methods that contrast or boost logits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, ClassVar

from torch import Tensor, nn

from farsight.errors import SettingError
from farsight.instances import replaced
from farsight.logit_rules import plausible
from farsight.method import Method
from farsight.methods.asked import asked_of
from farsight.methods.logits import generating, logits_changed
from farsight.setting_checks import check_positive, check_share, setting


@dataclass(frozen=True, kw_only=True)
class Plausible(Method):
    """Draw among the tokens with at least ``beta`` times the probability of the best one.

    VCD, ICD, AvisC, PAI and FLB do that beside what they are known for. Where answers are drawn it alone takes away
    unlikely tokens, so their gain over sampling may be no more than its own (Yin et al., "The Mirage of Performance
    Gains", 2025). Greedy decoding takes the best token of every step, with it and without.

    Parameters
    ----------
    beta
        Least share of the best token's probability that keeps a token; near 0 is plain decoding.

    Raises
    ------
    SettingError
        If a value has no meaning; in a `generate` that decodes greedily, which would say the same without it.
    """

    name: ClassVar[str] = "plausible"
    paper: ClassVar[str] = "a control, of Li et al., ACL 2023, arXiv 2210.15097"
    changes: ClassVar[str] = "logits"
    extra_forwards: ClassVar[float] = 0.0
    greedy_alike: ClassVar[bool] = True

    beta: float = setting(0.1, check_positive, check_share)

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Change the logits of every forward of ``model``; see `Method`."""
        module = generating(model)
        generate = module.generate

        @wraps(generate)
        def drawing(*args: Any, **kwargs: Any) -> Any:
            asked = asked_of(module, args, kwargs)
            if not asked("do_sample") and (asked("num_beams") or 1) == 1:
                raise SettingError(
                    "plausible keeps the best token of every step, so greedy decoding says the same without it: pass "
                    "do_sample=True to generate, search with beams, or leave it out"
                )
            return generate(*args, **kwargs)

        with logits_changed(model, self.kept), replaced(module, "generate", drawing):
            yield

    def kept(self, logits: Tensor) -> Tensor:
        """Logits ``(batch, rows, vocabulary)``, -inf where a token is too unlikely."""
        return plausible(logits, logits, self.beta)
