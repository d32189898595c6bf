"""How far the causal mask reaches: lengths and masks in, the number of register slots ahead of each row out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from farsight.errors import SettingError, UnsupportedModelError

MOST_SLOTS = 2**24
"""fp32 counts to here"""
_MASK_ROWS = 512


def slots_ahead(
    horizon: int | str, rows: str, prompt: Tensor, new_tokens: int | Tensor | None, visual: Tensor | None, slots: Tensor
) -> Tensor:
    """Register slots ahead of the rows in some slots of their sequences, ``(batch or 1, queries)``; 0 where none.

    Parameters
    ----------
    horizon
        ``"generation"`` (the real prompt tokens and ``new_tokens``, per sequence), ``"infinite"``, or a length.
    rows
        Which rows own registers: ``"all"``, ``"generated"`` (from the last prompt token on) or ``"text"`` (all but
        ``visual`` ones).
    prompt
        Index of each slot of the prompts among the real tokens of its sequence, ``(batch or 1, prompt slots)``;
        further slots go on from the last one.
    new_tokens
        How many tokens may follow the prompts, all of them or each, ``(batch, 1)``; None if none will.
    visual
        Image tokens among the prompts' slots, ``(batch or 1, prompt slots)``; None if there are none.
    slots
        Which slots, ``(queries,)``.

    Raises
    ------
    SettingError
        If the horizon of a generation is more than `MOST_SLOTS` slots.
    """
    new = 0 if new_tokens is None else new_tokens if isinstance(new_tokens, int) else new_tokens.to(prompt.device)
    if horizon == "generation" and isinstance(new, int) and prompt.shape[1] + new > MOST_SLOTS:
        raise SettingError(
            f"a horizon of {prompt.shape[1]} and {new} tokens is longer than any text: pass max_new_tokens, or "
            "set horizon='infinite'"
        )
    last = prompt.shape[1] - 1
    inside = slots.clamp(max=last)
    positions = prompt[:, inside] + (slots - inside)
    by_name: dict[str, float | Tensor] = {
        "infinite": math.inf,
        "generation": prompt[:, -1:] + 1 + new,
    }
    end = by_name[horizon] if isinstance(horizon, str) else horizon
    ahead = (end - 1 - positions).clamp(min=0).to(torch.float32)
    if rows == "generated":
        ahead = torch.where(positions >= prompt[:, -1:], ahead, 0.0)
    elif rows == "text" and visual is not None:
        ahead = torch.where(visual[:, inside] & (slots <= last), 0.0, ahead)
    return ahead


def rows_for_batch(rows: Tensor, batch: int, part: tuple[int, int, int] | None = None) -> Tensor:
    """Repeat and pick the rows of a call's prompts for a forward of ``batch`` sequences, ``(1 or batch, ...)``.

    Beams and returned sequences repeat each prompt in place; one row serves every batch. ``part`` says that the forward
    holds sequences ``first`` to ``first + count`` of a call of ``total``: ``(first, count, total)``.

    Raises
    ------
    UnsupportedModelError
        If the forward's sequences cannot be those of the call.
    """
    if part is not None and len(rows) > 1:
        first, count, total = part
        rows = rows.repeat_interleave(total // len(rows), dim=0)[first : first + count]
    if len(rows) in (1, batch):
        return rows
    if batch % len(rows):
        raise UnsupportedModelError(f"a forward of {batch} sequences in a generate call of {len(rows)} prompts")
    return rows.repeat_interleave(batch // len(rows), dim=0)


def used_ahead(allowed: Tensor, first: int) -> Tensor | None:
    """How many slots ahead of each row its mask allows already, ``(batch, 1 or heads, queries)``; None for none.

    ``allowed`` is ``(batch, 1 or heads, queries, keys)``, bool, and its diagonal starts at column ``first``. Works on a
    few hundred rows at a time, so that a long prompt needs no second mask.

    Raises
    ------
    UnsupportedModelError
        If allowed slots ahead of a row have gaps between them.
    """
    queries, compiling = allowed.shape[2], torch.compiler.is_compiling()
    starts = range(0, queries, _MASK_ROWS)
    columns = torch.arange(allowed.shape[3], device=allowed.device)
    read = torch.stack([allowed[:, :, start : start + _MASK_ROWS].any(2) for start in starts]).any(0)  # all but padding
    counts = []
    for start in starts:
        own = first + torch.arange(start, min(start + _MASK_ROWS, queries), device=allowed.device)
        ahead = allowed[:, :, start : start + _MASK_ROWS].triu(first + start + 1) & read[..., own].unsqueeze(-1)
        counts.append(ahead.sum(-1))
        if compiling or not counts[-1].any():  # no branches in a compiled region: gaps are not looked for there
            continue
        furthest = torch.where(ahead, columns, -1).amax(-1)
        if not torch.equal(torch.where(counts[-1] > 0, furthest - own, 0), counts[-1]):
            raise UnsupportedModelError(
                "the attention mask allows future tokens with gaps between them; registers are defined for causal "
                "masks and for bidirectional blocks"
            )
    used = torch.cat(counts, dim=2)
    return used if compiling or used.any() else None
