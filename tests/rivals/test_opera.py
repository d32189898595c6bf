"""OPERA's step is the paper's: penalty, candidates and rollback against a search that recomputes everything."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import models
import pytest
import torch
from torch import Tensor
from transformers import MaxTimeCriteria, NoRepeatNGramLogitsProcessor, PreTrainedModel, StoppingCriteriaList

from farsight import SettingError, UnsupportedModelError
from farsight.rivals.opera import OPERA

BUILDERS = [models.llava, models.qwen2_vl, models.llama, models.mistral, models.gemma2, models.gemma3]
ALWAYS = OPERA(num_beams=2, threshold=3, image_tokens_first=2, num_attn_candidates=4, penalty_weights=0.5)


def doubled(model: PreTrainedModel, **prompt: Any) -> tuple[PreTrainedModel, dict[str, Tensor]]:
    inputs = models.prompt(model, **prompt)
    return model.double(), {name: x.double() if x.is_floating_point() else x for name, x in inputs.items()}


def batched(model: PreTrainedModel, prompts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Left-padded, as a processor does it."""
    longest = max(prompt["input_ids"].shape[1] for prompt in prompts)
    per_token = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")
    return {
        name: torch.cat(
            [
                torch.nn.functional.pad(p[name], (longest - p[name].shape[1], 0)) if name in per_token else p[name]
                for p in prompts
            ]
        )
        for name in prompts[0]
    }


# The reference: no cache, float64, one sequence at a time, the paper's equations as they stand.


@dataclass(frozen=True)
class Beam:
    new: tuple[int, ...]
    score: float
    places: tuple[int, ...]


@dataclass(frozen=True)
class Moment:
    """The search after some new tokens; ``chosen`` is what was chosen next, beam by beam."""

    beams: tuple[Beam, ...]
    finished: tuple[tuple[float, tuple[int, ...]], ...]
    rejected: frozenset[tuple[int, int]] = frozenset()
    chosen: frozenset[tuple[int, int]] = frozenset()


class Reference:
    def __init__(self, model: PreTrainedModel, prompt: dict[str, Tensor], opera: OPERA, eos: int | None) -> None:
        model.set_attn_implementation("eager")
        self.model, self.prompt, self.opera, self.eos = model, prompt, opera, eos
        self.known: dict[tuple[int, ...], tuple[Tensor, Tensor]] = {}
        self.rollbacks: Counter[int] = Counter()

    def forward(self, new: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Logits after the last token, and the last layer's attention, ``(slots, slots)``, maximum over heads."""
        if new not in self.known:
            tail = torch.tensor([new], dtype=torch.long)
            inputs = dict(self.prompt, input_ids=torch.cat((self.prompt["input_ids"], tail), dim=1))
            inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
            if "mm_token_type_ids" in inputs:
                inputs["mm_token_type_ids"] = (inputs["input_ids"] == models.IMAGE_TOKEN).long()
                inputs["mm_token_type_ids"][:, self.prompt["input_ids"].shape[1] :] = 0
            with torch.no_grad():
                output = self.model(**inputs, use_cache=False, output_attentions=True)
            highest = output.attentions[-1][0].amax(0)
            self.known[new] = output.logits[0, -1], highest / highest.sum(-1, keepdim=True)
        return self.known[new]

    def penalty(self, new: tuple[int, ...]) -> tuple[float, int]:
        """Equations 3 to 5 for a text that ends in a candidate."""
        start = self.prompt["input_ids"].shape[1]
        _, attention = self.forward(new)
        local = self.opera.scale_factor * attention[start:, start:]
        products = {
            j: math.prod(local[i, j].item() for i in range(j, len(new)))
            for j in range(max(0, len(new) - self.opera.window), len(new))
        }
        place = max(products, key=lambda j: products[j])
        if len(new) <= self.opera.image_tokens_first:
            image = (self.prompt["input_ids"][0] == models.IMAGE_TOKEN).double()
            return -(attention[-1, :start] * image).sum().item(), place
        return min(1e-7 * products[place], 65504.0), place

    def search(self, new_tokens: int) -> tuple[int, ...]:
        opera = self.opera
        first = (Beam((), 0.0, ()), *[Beam((), -1e9, ())] * (opera.num_beams - 1))
        history, returned = [Moment(first, ())], False
        while True:
            now = history[-1]
            options: list[tuple[float, int, tuple[int, ...]]] = []
            places: list[int] = []
            for number, beam in enumerate(now.beams):
                log_probs = torch.log_softmax(self.forward(beam.new)[0], dim=-1)
                tokens = log_probs.topk(opera.num_attn_candidates).indices.tolist()
                penalties = {token: self.penalty((*beam.new, token)) for token in tokens}
                places.append(mode([place for _, place in penalties.values()]))
                logits = {t: log_probs[t].item() - opera.penalty_weights * penalties[t][0] for t in tokens}
                allowed = [t for t in tokens if (number, t) not in now.rejected]
                total = math.log(sum(math.exp(logits[t]) for t in allowed)) if allowed else 0.0
                for t in tokens:
                    p = logits[t] - total if t in allowed else -1e9
                    options.append((beam.score + p, number, (*beam.new, t)))
            back = None if returned else self.way_back(history, places)
            if back is not None:
                self.rollbacks[back] += 1
                there = history[back]
                history[back:] = [replace(there, rejected=there.rejected | there.chosen, chosen=frozenset())]
                returned = True
                continue
            returned = False
            options.sort(key=lambda option: -option[0])
            running, finished = [], list(now.finished)
            for rank, (score, number, new) in enumerate(options[: 2 * opera.num_beams]):
                if new[-1] == self.eos or len(new) == new_tokens:
                    if rank < opera.num_beams:
                        finished.append((score / len(new), new))
                else:
                    running.append((score, number, new))
            finished = sorted(finished, key=lambda one: -one[0])[: opera.num_beams]
            running = running[: opera.num_beams]
            length = len(now.beams[0].new) + 1
            if not running:
                return finished[0][1]
            if len(finished) == opera.num_beams and running[0][0] / length <= finished[-1][0]:
                return finished[0][1]
            beams = tuple(Beam(new, score, (*now.beams[n].places, places[n])) for score, n, new in running)
            history[-1] = replace(now, chosen=frozenset((n, new[-1]) for _, n, new in running))
            history.append(Moment(beams, tuple(finished)))

    def way_back(self, history: list[Moment], places: list[int]) -> int | None:
        """Equations 6 to 8: the length of the text to go back to."""
        opera = self.opera
        now = history[-1]
        live = [number for number, beam in enumerate(now.beams) if beam.score > -5e8]
        summary = mode([places[number] for number in live])
        for number in live:
            recent = (*now.beams[number].places, places[number])[-opera.window :]
            if recent.count(summary) < opera.threshold:
                return None
        if summary < opera.image_tokens_first:
            return None
        for length in (summary + 1, summary):
            if length >= len(history) - 1 or self.rollbacks[length] >= opera.max_rollbacks:
                continue
            then = history[length]
            left = [
                (number, t)
                for number, beam in enumerate(then.beams)
                if beam.score > -5e8
                for t in torch.log_softmax(self.forward(beam.new)[0], -1).topk(opera.num_attn_candidates).indices.tolist()
                if (number, t) not in then.rejected | then.chosen
            ]
            if len(left) >= opera.num_beams:
                return length
        return None


def mode(values: list[int]) -> int:
    return min(set(values), key=lambda value: (-values.count(value), value))


SETTINGS = {
    "rolls back often": ALWAYS,
    "one beam": replace(ALWAYS, num_beams=1, threshold=4),
    "the paper's equations from the first token on": replace(ALWAYS, image_tokens_first=0),
    "a short window": replace(ALWAYS, window=4),
    "many beams": OPERA(num_beams=4, threshold=3, image_tokens_first=4, num_attn_candidates=5),
    "places run out": replace(ALWAYS, max_rollbacks=1),
    "a strong penalty": replace(ALWAYS, scale_factor=300.0, max_rollbacks=0),
}


@pytest.mark.parametrize("build", [models.llava, models.qwen2_vl])
@pytest.mark.parametrize("opera", SETTINGS.values(), ids=SETTINGS.keys())
def test_it_is_the_paper_s_search_recomputed_from_scratch(build: Any, opera: OPERA) -> None:
    rollbacks = 0
    for seed, eos in ((0, None), (1, 23)):
        model, prompt = doubled(build(), seed=seed)
        with opera(model):
            found = model.generate(**prompt, max_new_tokens=16, do_sample=False, eos_token_id=eos)
        reference = Reference(model, prompt, opera, eos)
        assert tuple(found[0, prompt["input_ids"].shape[1] :].tolist()) == reference.search(16)
        rollbacks += reference.rollbacks.total()
    assert (rollbacks > 0) == (opera.max_rollbacks > 0)
