"""Before any benchmark: is there anything in a model for registers to absorb, and with which sigma?

Registers take ``R / (Z + R)`` of a row, so what they could take can be read off the log Z of the plain model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from farsight.diagnose.absorption import shares_of_sigmas
from farsight.diagnose.diagnosis import Diagnosis, Floats, said_again
from farsight.diagnose.layout import Layout
from farsight.diagnose.replay import generated
from farsight.errors import InputError
from farsight.inputs.checkpoints import LoadedModel, answering
from farsight.method import Plain

SIGMAS = (0.8, 0.4, 0.2, 0.1, 0.05)
ANSWER_TOKENS = 48
"""So many tokens of the model's answer are looked at."""
WANTED = 0.1
"""The share of generated rows that is a first thing to try: what the setting of docs/real_model.md takes there."""
LITTLE = 0.02
"""Less than this is little to absorb."""
SINK = 0.2
"""From this share of all attention on, the first token is a sink."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """What registers of one sigma would take: shares of attention, mean over layers, heads and rows."""

    sigma: float
    all_rows: float
    """With registers on all rows, as in the paper"""
    generated_rows: float
    """With registers on generated rows"""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a model's attention looks like to registers, on one prompt and its answer."""

    prompt_tokens: int
    answer_tokens: int
    max_new_tokens: int
    """Of the calls that horizons are measured from"""
    first_token: tuple[float, ...]
    """Share of attention on the first token, of each layer, mean over heads and all rows but the first"""
    first_token_if_uniform: float
    """The same if every row attended equally to all that it may read"""
    own_sinks: tuple[float, ...]
    """Share that the model's own trained sinks take, of each layer; 0 without"""
    log_z_median: float
    log_z_low: float
    """5 % of all rows, of all layers and heads, are below it"""
    shares: tuple[Share, ...]

    @property
    def first_choice(self) -> Share:
        """The sigma with which registers would take about `WANTED` of generated rows, or the nearest to it."""
        return min(self.shares, key=lambda share: abs(share.generated_rows - WANTED))

    @property
    def sentence(self) -> str:
        """Is there anything to absorb, and with which sigma?"""
        share, first = self.first_choice, float(np.mean(self.first_token))
        tried = f"farsight(sigma={share.sigma:g}, rows=generated)"
        sink = (
            f"the first token draws {100 * first:.0f} % of attention, so there is a sink"
            if first >= SINK
            else (f"the first token draws {100 * first:.0f} % of attention, so it is no sink")
        )
        taken = f"{tried} would take {100 * share.generated_rows:.1f} % of the rows that it generates"
        if share.generated_rows < LITTLE:
            return f"There is little to absorb: even {taken}; {sink}."
        return f"There is something to absorb: {taken}; {sink}. Try it first; whether it helps, farsight eval says."


@answering
@torch.inference_mode()
def verdict(loaded: LoadedModel, layout: Layout, max_new_tokens: int) -> Verdict:
    """Look at what a model attends to while it answers a prompt.

    Parameters
    ----------
    loaded
        The model with its processor.
    layout
        The prompt, from `farsight.diagnose.layout.lay_out`.
    max_new_tokens
        Of the calls to come: horizons are measured from it. `ANSWER_TOKENS` are looked at, or fewer.

    Raises
    ------
    InputError
        If the model says nothing, or cannot answer.
    UnsupportedModelError
        If it has no causal self-attention that can be seen.
    """
    tokens = generated(loaded, layout, Plain(), min(ANSWER_TOKENS, max_new_tokens))
    if not tokens:
        raise InputError(
            f"'{loaded.name}' generated nothing, so there is no answer to look at; ask with another --prompt"
        )
    return verdict_on(said_again(loaded, layout, "greedy", Plain(), tokens, max_new_tokens))


def verdict_on(found: Diagnosis) -> Verdict:
    """Give the verdict on what was seen of plain decoding."""
    lse = found.arrays["lse"]
    low, median = np.quantile(lse, (0.05, 0.5))
    each = [shares_of_sigmas(found, SIGMAS, rows).mean((1, 2)) for rows in (slice(None), found.answering)]
    return Verdict(
        prompt_tokens=found.prompt_slots,
        answer_tokens=len(found.pieces),
        max_new_tokens=found.max_new_tokens,
        first_token=tuple(first_token(found).mean(1).tolist()),
        first_token_if_uniform=float((found.arrays["expected"][:, 0] - 1).mean() / max(lse.shape[-1] - 1, 1)),
        own_sinks=tuple((1 - found.arrays["own"].mean((1, 2))).tolist()),
        log_z_median=float(median),
        log_z_low=float(low),
        shares=tuple(
            Share(sigma=sigma, all_rows=float(on_all), generated_rows=float(on_generated))
            for sigma, on_all, on_generated in zip(SIGMAS, *each, strict=True)
        ),
    )


def first_token(found: Diagnosis) -> Floats:
    """Share of attention that all rows but the first give to the first token, ``(layers, heads)``."""
    received, own = found.arrays["received"][..., 0], found.arrays["kept"][..., 0]
    return np.asarray((received - own) / max(found.arrays["kept"].shape[-1] - 1, 1))
