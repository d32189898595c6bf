"""OPERA's beam search over one prompt: candidates with their penalty, and the way back."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from farsight.methods.beam_cache import BeamCache, NewStates, joined
from farsight.methods.finished import Finished, Hypothesis
from farsight.methods.newest_row import NewestRow
from farsight.methods.over_trust import extended_columns, image_share, local_row, most_frequent, over_trust

_DEAD = -1e9
_BATCH_AND_LENGTH = ("attention_mask", "position_ids", "token_type_ids", "mm_token_type_ids", "moe_mm_token_type_ids")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What `farsight.methods.opera.OPERA` was made with; see there."""

    num_beams: int
    num_attn_candidates: int
    scale_factor: float
    penalty_weights: float
    window: int
    threshold: int
    max_rollbacks: int
    image_tokens_first: int
    candidates_at_once: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Beams:
    """The running beams after some new tokens, and what may come next."""

    tokens: Tensor
    """``(beams, slots)``, prompt and new tokens"""
    scores: Tensor
    """``(beams,)``, best first"""
    parents: Tensor
    """``(beams, new tokens)``: which beam each new token continued"""
    columns: Tensor
    """``(beams, new tokens)``: logs of the column products so far"""
    locations: Tensor
    """``(beams, new tokens)``: where the largest product was at each of them"""
    logits: Tensor
    """``(beams, vocabulary)``, as the model gave them; nothing where nobody asks for them"""
    candidates: Tensor
    """``(beams, candidates)``, tokens"""
    log_probs: Tensor
    """``(beams, candidates)``, after the logits processors"""
    rejected: Tensor
    """``(beams, candidates)``: what a rollback has ruled out here"""
    finished: Finished

    @property
    def new(self) -> int:
        return self.columns.shape[1]

    @property
    def live(self) -> Tensor:
        """Beams that stand for a text of their own, ``(beams,)``; at first all beams but one repeat the prompt."""
        return self.scores > _DEAD / 2


@dataclass(frozen=True, kw_only=True, eq=False)
class Tries:
    """What the model said to each candidate; the tensors are ``(beams, candidates, ...)``."""

    logits: Tensor
    columns: Tensor
    locations: Tensor
    penalty: Tensor
    states: NewStates


@dataclass(frozen=True, kw_only=True, eq=False)
class Step:
    """How the beams go on: ``chosen`` beams are continued by their candidate number ``choices``, ``(beams,)`` each."""

    scores: Tensor
    chosen: Tensor
    choices: Tensor
    weighted: Tensor
    """Log-probabilities that were added to the scores, ``(beams, candidates)``"""
    finished: Finished
    ended: bool


@dataclass(kw_only=True, eq=False)
class Found:
    """Texts of one prompt, best first, and on the way to them the logits and weighted scores of every step."""

    texts: tuple[Hypothesis, ...]
    logits: list[Tensor]
    scores: list[Tensor]


@dataclass(kw_only=True, eq=False)
class Search:
    """The search over one prompt.

    ``image`` marks image tokens among the prompt's slots, ``(slots,)``. ``inputs`` are the model's own arguments of
    `generate` after the prompt, for the beams of this prompt alone.
    """

    settings: Settings
    model: Any
    row: NewestRow
    cache: BeamCache
    inputs: dict[str, Any]
    image: Tensor
    outputs: Any
    processors: Callable[[Tensor, Tensor], Tensor]
    stopping: Callable[[Tensor, Any], Tensor]
    beams_to_consider: int
    finished: Finished
    keep_scores: bool
    """Whether logits and weighted scores of every step are asked for"""
    _grown: tuple[int, dict[str, Any]] = field(default=(-1, {}))

    def run(self, prompt: Tensor, logits: Tensor) -> Found:
        """Search from a prompt ``(beams, slots)`` whose last row gave these logits ``(beams, vocabulary)``."""
        beams = len(prompt)
        scores = torch.full((beams,), _DEAD, dtype=logits.dtype, device=logits.device)
        scores[0] = 0.0
        none = prompt[:, :0]
        self.cache.back_to_prompt()
        path = [self._beams(prompt, scores, none, none.to(logits.dtype), none, logits, self.finished)]
        taken: list[Step] = []
        rollbacks: Counter[int] = Counter()
        returned = False
        while True:
            tries = self._tried(path[-1])
            locations = torch.cat((path[-1].locations, self._location(tries).unsqueeze(1)), dim=1)
            place = None if returned else self._way_back(path, taken, locations, rollbacks)
            if place is not None:
                rollbacks[place] += 1
                back = path[place]
                path[place:] = [replace(back, rejected=back.rejected | _picked(back, taken[place]))]
                del taken[place:]
                self._go_back(path[-1])
                returned = True
                continue
            returned = False
            step = self._step(path[-1], tries)
            taken.append(step)
            if step.ended:
                break
            path.append(self._continued(path[-1], tries, step, locations))
        kept = list(zip(path, taken, strict=True)) if self.keep_scores else []
        return Found(
            texts=step.finished.found,
            logits=[beams.logits for beams, _ in kept],
            scores=[_over_vocabulary(beams, step.weighted) for beams, step in kept],
        )

    def _beams(
        self,
        tokens: Tensor,
        scores: Tensor,
        parents: Tensor,
        columns: Tensor,
        locations: Tensor,
        logits: Tensor,
        finished: Finished,
    ) -> Beams:
        log_probs = self.processors(tokens, torch.log_softmax(logits, dim=-1))
        count = min(self.settings.num_attn_candidates, logits.shape[-1])
        best, candidates = log_probs.topk(count, dim=-1)
        return Beams(
            tokens=tokens,
            scores=scores,
            parents=parents,
            columns=columns,
            locations=locations,
            logits=logits if self.keep_scores else logits[:, :0],
            candidates=candidates,
            log_probs=best,
            rejected=torch.zeros_like(candidates, dtype=torch.bool),
            finished=finished,
        )

    def _tried(self, beams: Beams) -> Tries:
        """Feed every beam with each of its candidates, so many at once as the settings say, and take them back."""
        before = self.cache.snapshot()
        parts = [self._fed(beams, some, before) for some in beams.candidates.split(self.settings.candidates_at_once, 1)]
        self.cache.restore(before)
        logits, columns, seen = (torch.cat(part, dim=1) for part in zip(*(part[:3] for part in parts), strict=True))
        penalty, locations = over_trust(columns, self.settings.window)
        return Tries(
            logits=logits,
            columns=columns,
            locations=locations,
            penalty=-seen if beams.new < self.settings.image_tokens_first else penalty,
            states=joined([part[3] for part in parts]),
        )

    def _fed(self, beams: Beams, candidates: Tensor, before: list[Any]) -> tuple[Tensor, Tensor, Tensor, NewStates]:
        """One forward of every beam with some candidates ``(beams, some)``: logits, columns, image shares, states."""
        shape, new = candidates.shape, beams.new + 1
        self.cache.restore(before)
        self.cache.widen(shape[1])
        tokens = torch.cat((beams.tokens.repeat_interleave(shape[1], dim=0), candidates.reshape(-1, 1)), dim=1)
        logits = self._forward(tokens, new, 1)
        row = local_row(self.row.weights).to(logits)
        columns = extended_columns(beams.columns.repeat_interleave(shape[1], dim=0), row, self.settings.scale_factor)
        seen = image_share(row, self.image, new)
        return logits.unflatten(0, shape), columns.unflatten(0, shape), seen.unflatten(0, shape), self.cache.newest()

    def _forward(self, tokens: Tensor, length: int, new: int) -> Tensor:
        """Feed the last ``new`` tokens when there are ``length`` after the prompt; logits ``(beams, vocabulary)``."""
        beams = self.settings.num_beams
        known = repeated(self._inputs_of_length(length), len(tokens) // beams, beams)
        inputs = self.model.prepare_inputs_for_generation(tokens, next_sequence_length=new, **known)
        output = self.model(**inputs, return_dict=True)
        return as_scores(output.logits[:, -1])

    def cache_of(self, text: Hypothesis) -> Any:
        """Compute the cache of one text again, without its last token: what greedy decoding leaves."""
        cache, new = self.cache.cache, len(text.parents) - 1
        cache.layers = [copy.copy(layer) for layer in self.cache.prompt]
        if new:
            known = of_rows(self._inputs_of_length(new), 0, 1, self.settings.num_beams)
            tokens = text.tokens[None, :-1]
            inputs = self.model.prepare_inputs_for_generation(tokens, next_sequence_length=new, **known)
            self.model(**inputs, return_dict=True)
        return cache

    def _inputs_of_length(self, length: int) -> dict[str, Any]:
        """Masks and positions grow with the text, as in Transformers' own loops."""
        have, inputs = self._grown if 0 <= self._grown[0] <= length else (0, self.inputs)
        for _ in range(length - have):
            inputs = self.model._update_model_kwargs_for_generation(self.outputs, dict(inputs))
        self._grown = (length, inputs)
        return inputs

    def _location(self, tries: Tries) -> Tensor:
        """Where each beam's largest product is: for most of its candidates, ``(beams,)``."""
        places = [most_frequent(row) for row in tries.locations.tolist()]
        return torch.tensor(places, device=tries.locations.device)

    def _way_back(self, path: list[Beams], taken: list[Step], locations: Tensor, done: Counter[int]) -> int | None:
        """After how many new tokens to choose again: one more than the summary token, if all beams look at it."""
        settings, live = self.settings, path[-1].live
        if settings.max_rollbacks == 0:
            return None
        summary = most_frequent(locations[live, -1].tolist())
        overlap = (locations[live, -settings.window :] == summary).sum(-1)
        if summary < settings.image_tokens_first or int(overlap.min()) < settings.threshold:
            return None
        for place in (summary + 1, summary):
            if (
                0 <= place < len(taken)
                and done[place] < settings.max_rollbacks
                and _has_others(path[place], taken[place])
            ):
                return place
        return None

    def _go_back(self, beams: Beams) -> None:
        """Compute the cache of these beams again, from the prompt."""
        self.cache.back_to_prompt()
        if beams.new:
            self._forward(beams.tokens, beams.new, beams.new)

    def _step(self, beams: Beams, tries: Tries) -> Step:
        """Choose among all candidates of all beams, as beam search does."""
        count, settings = len(beams.scores), self.settings
        closed = beams.rejected | beams.log_probs.isneginf()
        weighted = beams.log_probs - settings.penalty_weights * tries.penalty
        weighted = torch.log_softmax(weighted.masked_fill(closed, -torch.inf), dim=-1).masked_fill(closed, _DEAD)
        totals = (beams.scores.unsqueeze(1) + weighted).flatten()
        best, places = totals.topk(min(self.beams_to_consider, len(totals)))
        chosen, choices = places // weighted.shape[1], places % weighted.shape[1]
        tokens = torch.cat((beams.tokens[chosen], beams.candidates[chosen, choices].unsqueeze(1)), dim=1)
        parents = torch.cat((beams.parents[chosen], chosen.unsqueeze(1)), dim=1)
        ends = self.stopping(tokens, None).to(torch.bool)
        new = beams.new + 1
        scores = beams.finished.scores(best, new).tolist()
        texts = [
            Hypothesis(score=scores[place], tokens=tokens[place], parents=parents[place])
            for place in range(count)
            if ends[place]
        ]
        running, order = (best + ends * _DEAD).topk(count)
        finished = beams.finished.with_texts(texts).after_step(running[0], new)
        return Step(
            scores=running,
            chosen=chosen[order],
            choices=choices[order],
            weighted=weighted,
            finished=finished,
            ended=finished.done or bool(ends.all()),
        )

    def _continued(self, beams: Beams, tries: Tries, step: Step, locations: Tensor) -> Beams:
        self.cache.keep(self.cache.snapshot(), tries.states, step.chosen, step.choices)
        added = beams.candidates[step.chosen, step.choices].unsqueeze(1)
        return self._beams(
            torch.cat((beams.tokens[step.chosen], added), dim=1),
            step.scores,
            torch.cat((beams.parents[step.chosen], step.chosen.unsqueeze(1)), dim=1),
            tries.columns[step.chosen, step.choices],
            locations[step.chosen],
            tries.logits[step.chosen, step.choices],
            step.finished,
        )


def as_scores(logits: Tensor) -> Tensor:
    """Logits in at least fp32."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32), copy=True)


def of_rows(inputs: dict[str, Any], first: int, count: int, total: int) -> dict[str, Any]:
    """The model's arguments for ``count`` of ``total`` sequences of a batch, from ``first`` on."""
    return _with_rows(inputs, total, lambda value, dim: value.narrow(dim, first, count))


def repeated(inputs: dict[str, Any], times: int, total: int) -> dict[str, Any]:
    """The model's arguments with each of ``total`` sequences repeated in place."""
    return _with_rows(inputs, total, lambda value, dim: value.repeat_interleave(times, dim)) if times > 1 else inputs


def _with_rows(inputs: dict[str, Any], total: int, change: Callable[[Tensor, int], Tensor]) -> dict[str, Any]:
    def changed(name: str, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        if name in _BATCH_AND_LENGTH and value.dim() >= 2 and value.shape[-2] == total:
            return change(value, value.dim() - 2)
        return change(value, 0) if value.dim() and value.shape[0] == total else value

    return {name: changed(name, value) for name, value in inputs.items()}


def _picked(beams: Beams, step: Step) -> Tensor:
    picked = torch.zeros_like(beams.rejected)
    picked[step.chosen, step.choices] = True
    return picked


def _has_others(beams: Beams, step: Step) -> bool:
    """Whether so many candidates are left that every beam can go on with another one."""
    left = ~(beams.rejected | _picked(beams, step) | beams.log_probs.isneginf())
    return int(left[beams.live].sum()) >= len(beams.scores)


def _over_vocabulary(beams: Beams, weighted: Tensor) -> Tensor:
    return torch.full_like(beams.logits, -torch.inf).scatter(1, beams.candidates, weighted)
