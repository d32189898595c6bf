"""Find one strength per head with which the registers absorb a wanted share on some pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from farsight.calibration import Calibration, check_share
from farsight.diagnose.absorption import log_strength_for_share
from farsight.diagnose.layout import Layout, Visual, lay_out
from farsight.diagnose.replay import generated, replayed
from farsight.errors import InputError, SettingError
from farsight.farsight import FarSight
from farsight.inputs.checkpoints import LoadedModel, answering
from farsight.method import Method, Plain
from farsight.registers import PAPER_SIGMA, log_register_mass

ROUNDS = 6
"""A layer's ``log Z`` depends on the registers of the layers before it, so strengths are solved for again and again."""
ENOUGH = 0.02
"""It is enough when every head absorbs the wanted share within this part of it."""


@answering
@torch.inference_mode()
def calibrate(
    loaded: LoadedModel,
    pictures: Iterable[Visual],
    prompt: str,
    *,
    absorb: float,
    sigma: float = PAPER_SIGMA,
    rows: str = "all",
    max_new_tokens: int = 64,
    done: Callable[[int], None] = lambda _: None,
) -> Calibration:
    """Solve for strengths such that each head's registers take ``absorb`` of its rows, in the mean over all pictures.

    The model answers the prompt about each picture once, greedily and plain; these answers are said again with the
    registers of each round. Rows that count are those that own registers: prompt and answer, or what ``rows`` leaves.

    Parameters
    ----------
    loaded
        The model with its processor.
    pictures
        Pictures, or videos as lists of frames.
    prompt
        What is asked about each picture.
    absorb
        The wanted share, in (0, 1).
    sigma, rows
        Of the registers; the horizon is that of the ``generate`` call.
    max_new_tokens
        Where answers are cut off; the horizon is measured from it.
    done
        Is told how many pictures a round has seen.

    Raises
    ------
    SettingError
        If a value has no meaning, or the attention implementation cannot show its ``log Z``.
    InputError
        If there are no pictures.
    """
    check_share(absorb)
    FarSight(sigma=sigma, rows=rows)  # refuses what has no meaning
    if max_new_tokens < 1:
        raise SettingError(f"max_new_tokens must be at least 1, got {max_new_tokens}")
    asked = []
    for picture in pictures:
        layout = lay_out(loaded, picture, prompt)
        asked.append((layout, generated(loaded, layout, Plain(), max_new_tokens)))
    if not asked:
        raise InputError("no pictures are given to calibrate on; pass at least one")
    strength: Tensor | None = None
    for _ in range(ROUNDS):
        method = Plain() if strength is None else FarSight(sigma=sigma, rows=rows, strength=_table(strength))
        excess, counted, absorbed = _measured(loaded, asked, method, sigma, rows, max_new_tokens, done)
        if strength is not None and float((absorbed - absorb).abs().max()) <= ENOUGH * absorb:
            break
        strength = log_strength_for_share(excess, absorb, counted).exp()
    assert strength is not None
    method = FarSight(sigma=sigma, rows=rows, strength=_table(strength))
    _, _, absorbed = _measured(loaded, asked, method, sigma, rows, max_new_tokens, done)
    return Calibration(
        strength=_table(strength),
        sigma=sigma,
        rows=rows,
        absorb=absorb,
        absorbed=float(absorbed.mean()),
        model=loaded.name,
        pictures=len(asked),
        prompt=prompt,
        max_new_tokens=max_new_tokens,
    )


def _measured(
    loaded: LoadedModel,
    asked: Sequence[tuple[Layout, list[int]]],
    method: Method,
    sigma: float,
    rows: str,
    max_new_tokens: int,
    done: Callable[[int], None],
) -> tuple[Tensor, Tensor, Tensor]:
    """``log R - log Z`` of all rows of all answers, which of them count, and the share that each head absorbed.

    Shapes: ``(layers, heads, rows)``, ``(rows,)``, ``(layers, heads)``; float64.
    """
    excesses, counts, taken = [], [], []
    for number, (layout, tokens) in enumerate(asked, start=1):
        found = replayed(loaded, layout, method, tokens, max_new_tokens)
        lse = found.lse.double().cpu()
        slots = torch.arange(lse.shape[-1])
        ahead = (layout.prompt_slots + max_new_tokens - 1 - slots).double()
        excesses.append(log_register_mass(ahead, sigma) - lse)
        counts.append(_owning(layout, slots, rows) & (ahead > 0))
        taken.append((1 - found.kept / found.own).double().cpu())
        done(number)
    counted, absorbed = torch.cat(counts), torch.cat(taken, dim=-1)
    return torch.cat(excesses, dim=-1), counted, absorbed[..., counted].mean(-1)


def _owning(layout: Layout, slots: Tensor, rows: str) -> Tensor:
    if rows == "generated":
        return slots >= layout.prompt_slots - 1
    if rows == "text":
        return ~torch.isin(slots, torch.as_tensor(layout.visual))
    return torch.ones_like(slots, dtype=torch.bool)


def _table(strength: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(layer) for layer in strength.tolist())
