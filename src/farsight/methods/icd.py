"""ICD: contrast with an instruction that disturbs (Wang et al., Findings of ACL 2024)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from farsight.errors import SettingError
from farsight.logit_rules import contrast, plausible
from farsight.methods.contrast import ContrastiveMethod, Passes, contrasted
from farsight.methods.own_tokenizer import own_tokenizer
from farsight.methods.prompt import Prompt, with_text
from farsight.setting_checks import check_share, check_strength, check_token_ids, setting


@dataclass(frozen=True, kw_only=True)
class ICD(ContrastiveMethod):
    """Instruction contrastive decoding: what the model would say when told to look badly is taken off its logits.

    ``softmax((1 + alpha) * logits(y | image, text) - alpha * logits(y | image, prefix, text))``, among the tokens with
    at least ``beta`` times the probability of the model's best token. The prefix goes before the user's text: after
    the last image of the prompt, or after the first token of a prompt without one.

    Parameters
    ----------
    alpha
        Strength of the contrast. 0 with ``beta = 0`` is plain decoding.
    beta
        Least share of the best token's probability that keeps a token.
    prefix
        The instruction that disturbs, one of the paper's. It is tokenised by the tokenizer in the model's folder.
    prefix_ids
        Its token ids instead, for a model that was not loaded from a folder with a tokenizer.

    Raises
    ------
    SettingError
        If a value has no meaning, or if there is neither ``prefix_ids`` nor a tokenizer.
    """

    name: ClassVar[str] = "icd"
    paper: ClassVar[str] = "Wang et al., Findings of ACL 2024, arXiv 2403.18715"
    changes: ClassVar[str] = "logits"
    extra_forwards: ClassVar[float] = 1.0
    own_prompt: ClassVar[bool] = True
    needs_image: ClassVar[bool] = False

    alpha: float = setting(1.0, check_strength)
    beta: float = setting(0.1, check_share)
    prefix: str = "You are a confused objects detector to provide a fuzzy overview or impression of the image."
    prefix_ids: tuple[int, ...] = setting((), check_token_ids)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.prefix, str) or not (self.prefix_ids or self.prefix.strip()):
            raise SettingError(f"prefix must be a text, got {self.prefix!r}")

    def applied(self, model: nn.Module) -> AbstractContextManager[None]:
        """Run the disturbed branch beside every forward of ``model``; see `Method`."""
        prefix_ids = self.prefix_ids or _tokenised(model, self.prefix)
        known = getattr(getattr(model, "get_input_embeddings", lambda: None)(), "num_embeddings", None)
        if known is not None and max(prefix_ids) >= known:
            raise SettingError(f"prefix_ids has the token {max(prefix_ids)}, this model has 0 to {known - 1}")
        return contrasted(model, replace(self, prefix_ids=prefix_ids), Passes())

    def branch_prompt(self, model: nn.Module, prompt: Prompt) -> Prompt:
        """Put the prefix in."""
        return with_text(model, prompt, torch.tensor(self.prefix_ids))

    def combined(self, own: Tensor, branch: Tensor, step: Tensor) -> Tensor:
        """The contrast, among plausible tokens."""
        return plausible(contrast(own, branch, self.alpha), own, self.beta)


def _tokenised(model: nn.Module, text: str) -> tuple[int, ...]:
    otherwise = (
        "pass prefix_ids=tuple(tokenizer(prefix, add_special_tokens=False).input_ids) with the model's tokenizer"
    )
    return tuple(own_tokenizer(model, "icd", otherwise)(text, add_special_tokens=False)["input_ids"])
