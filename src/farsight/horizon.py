"""How far the causal mask reaches: lengths and masks in, the number of register slots ahead of each row out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from farsight.errors import SettingError, UnsupportedModelError
from farsight.registers import token_positions

Horizon = int | Tensor | str
MOST_SLOTS = 2**24
_MASK_ROWS = 512


def slots_ahead(
    horizon: Horizon,
    rows: str,
    mask: Tensor | None,
    prompt_slots: int,
    new_tokens: int,
    visual: Tensor | None,
    device: torch.device | None,
) -> Tensor:
    """Register slots ahead of every slot of a sequence to be, ``(batch or 1, slots)``; 0 where a row owns none.

    Parameters
    ----------
    horizon
        ``"generation"`` (the real prompt tokens and ``new_tokens``, per sequence), ``"infinite"``, or a length.
    rows
        Which rows own registers: ``"all"``, ``"generated"`` (from the last prompt token on) or ``"text"`` (all but
        ``visual`` ones).
    mask
        The prompts' padding mask, ``(batch, prompt_slots)``; None if every token is real.
    prompt_slots, new_tokens
        Slots of the prompts, and how many tokens may follow.
    visual
        Image tokens among the prompts' slots, ``(batch, prompt_slots)``, for ``"text"``; None if there are none.

    Raises
    ------
    SettingError
        If that is more than `MOST_SLOTS` slots.
    """
    without_end = isinstance(horizon, str) and horizon == "infinite"
    slots = prompt_slots + (1 if without_end else max(new_tokens, 1))  # slots past the last one have its value
    if slots > MOST_SLOTS:
        raise SettingError(
            f"a horizon of {slots} tokens is longer than any text: pass max_new_tokens, or set horizon='infinite'"
        )
    if mask is None:
        positions = torch.arange(slots, device=device).unsqueeze(0)
        real = torch.full((1, 1), prompt_slots, device=device)
    else:
        positions = token_positions(torch.nn.functional.pad(mask.to(device), (0, slots - prompt_slots), value=1))
        real = mask.ne(0).sum(-1, keepdim=True).to(device)
    owned: Tensor | None = None
    if rows == "text" and visual is not None:
        owned = ~torch.nn.functional.pad(visual.to(device), (0, slots - prompt_slots))
        if len(owned) >= len(positions):
            positions = rows_for_batch(positions, len(owned))
            real = rows_for_batch(real, len(owned))
        owned = rows_for_batch(owned, len(positions))
    elif rows == "generated":
        owned = positions >= real - 1
    ahead = _until(horizon, positions, real + new_tokens)
    return ahead if owned is None else torch.where(owned, ahead, 0.0)


def _until(horizon: Horizon, positions: Tensor, lengths: Tensor) -> Tensor:
    """Slots between each token and the horizon; ``lengths`` (batch, 1) is what a horizon given by name measures."""
    if isinstance(horizon, str) and horizon == "infinite":
        return torch.full_like(positions, math.inf, dtype=torch.float32)
    end = lengths if isinstance(horizon, str) else torch.zeros_like(lengths) + horizon
    return (end - 1 - positions).clamp(min=0).to(torch.float32)


def at_slots(table: Tensor, offset: int | Tensor, queries: int) -> Tensor:
    """Columns ``offset`` to ``offset + queries`` of a table; slots past its end have the value of its last column."""
    if isinstance(offset, int) and offset + queries <= table.shape[-1]:
        return table[:, offset : offset + queries]
    slots = offset + torch.arange(queries, device=table.device)
    return table.index_select(-1, slots.clamp(max=table.shape[-1] - 1))


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


def used_ahead(mask: Tensor, first: int) -> Tensor | None:
    """How many slots ahead of each row a mask allows already, ``(batch, 1 or heads, queries)``; None for none.

    ``mask`` is ``(batch, 1 or heads, queries, keys)``, bool or additive, and its diagonal starts at column ``first``.
    Works on a few hundred rows at a time, so that a long prompt needs no second mask.

    Raises
    ------
    UnsupportedModelError
        If allowed slots ahead of a row have gaps between them.
    """
    if torch.compiler.is_compiling():  # no branches in there, and gaps are not looked for
        ahead = allowed_in(mask).triu(first + 1)
        rows = first + torch.arange(mask.shape[2], device=mask.device)
        return (ahead & allowed_in(mask).any(2)[..., rows].unsqueeze(-1)).sum(-1)
    counts, blocks = [], False
    for start in range(0, mask.shape[2], _MASK_ROWS):
        part = mask[:, :, start : start + _MASK_ROWS]
        ahead = allowed_in(part).triu(first + start + 1)
        own = first + start + torch.arange(part.shape[2], device=mask.device)
        if ahead.any():
            ahead = ahead & _attended(mask)[..., own].unsqueeze(-1)  # a padding row is no row
        if not ahead.any():
            counts.append(torch.zeros(part.shape[:3], dtype=torch.int64, device=mask.device))
            continue
        blocks = True
        counts.append(ahead.sum(-1))
        columns = torch.arange(mask.shape[3], device=mask.device)
        furthest = torch.where(ahead, columns, -1).amax(-1)
        if not torch.equal(torch.where(counts[-1] > 0, furthest - own, 0), counts[-1]):
            raise UnsupportedModelError(
                "the attention mask allows future tokens with gaps between them; registers are defined for causal "
                "masks and for bidirectional blocks"
            )
    return torch.cat(counts, dim=2) if blocks else None


def allowed_in(mask: Tensor) -> Tensor:
    """What a bool or additive mask allows, bool."""
    return mask if mask.dtype == torch.bool else mask > torch.finfo(mask.dtype).min / 2


def _attended(mask: Tensor) -> Tensor:
    """Which columns some row reads, ``(batch, 1 or heads, keys)``, bool: all but padding."""
    parts = (allowed_in(mask[:, :, start : start + _MASK_ROWS]).any(2) for start in range(0, mask.shape[2], _MASK_ROWS))
    return torch.stack(list(parts)).any(0)
