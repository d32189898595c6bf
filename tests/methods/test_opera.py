"""OPERA's step is the paper's: penalty, candidates and rollback against a search that recomputes everything."""

from __future__ import annotations

import copy
import math
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import models
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel, StoppingCriteria

from farsight import SettingError, UnsupportedModelError
from farsight.inputs.checkpoints import load
from farsight.inputs.prompts import prompt_inputs
from farsight.methods.opera import OPERA
from farsight_scenes import checkpoint_path

BUILDERS = [models.llava, models.qwen2_vl, models.llama, models.mistral, models.gemma2, models.gemma3]
SPECIAL = [5, 6, 7, 8]  # image tokens and their brackets: the reference could not encode a text that has new ones
ALWAYS = OPERA(num_beams=2, threshold=2, image_tokens_first=1, num_attn_candidates=4, penalty_weights=0.5, window=4)


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

    def next_tokens(self, new: tuple[int, ...]) -> dict[int, float]:
        """Candidates with their log-probabilities."""
        log_probs = torch.log_softmax(self.forward(new)[0], dim=-1)
        log_probs[SPECIAL] = -torch.inf
        best = log_probs.topk(self.opera.num_attn_candidates)
        return dict(zip(best.indices.tolist(), best.values.tolist(), strict=True))

    def penalty(self, new: tuple[int, ...]) -> tuple[float, int]:
        """Equations 3 to 5 for a text that ends in a candidate."""
        start = self.prompt["input_ids"].shape[1]
        _, attention = self.forward(new)
        local = (self.opera.scale_factor * attention[start:, start:]).tolist()
        products = {
            j: math.prod(local[i][j] for i in range(j, len(new)))
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
                tokens = self.next_tokens(beam.new)
                penalties = {token: self.penalty((*beam.new, token)) for token in tokens}
                places.append(mode([place for _, place in penalties.values()]))
                logits = {t: tokens[t] - opera.penalty_weights * penalties[t][0] for t in tokens}
                allowed = [t for t in tokens if (number, t) not in now.rejected]
                largest = max((logits[t] for t in allowed), default=0.0)
                total = largest + math.log(sum(math.exp(logits[t] - largest) for t in allowed) or 1.0)
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
                for t in self.next_tokens(beam.new)
                if (number, t) not in then.rejected | then.chosen
            ]
            if len(left) >= opera.num_beams:
                return length
        return None


def mode(values: list[int]) -> int:
    return min(set(values), key=lambda value: (-values.count(value), value))


SETTINGS = {
    "a short window": ALWAYS,
    "one beam": replace(ALWAYS, num_beams=1),
    "the paper's equations from the first token on": replace(ALWAYS, image_tokens_first=0, window=512),
    "more beams": replace(ALWAYS, num_beams=3, image_tokens_first=0, window=512),
    "candidates in turn": replace(ALWAYS, candidates_at_once=1),
    "candidates in uneven parts": replace(ALWAYS, candidates_at_once=3),
    "places run out": replace(ALWAYS, max_rollbacks=1),
    "no way back, a strong penalty": replace(ALWAYS, scale_factor=300.0, max_rollbacks=0),
}


@pytest.mark.parametrize("build", [models.llava, models.qwen2_vl])
@pytest.mark.parametrize("opera", SETTINGS.values(), ids=SETTINGS.keys())
def test_it_is_the_paper_s_search_recomputed_from_scratch(build: Any, opera: OPERA) -> None:
    rollbacks = 0
    for seed, eos in ((0, None), (1, 23)):
        model, prompt = doubled(build(), seed=seed)
        with opera(model):
            found = model.generate(
                **prompt, max_new_tokens=14, do_sample=False, eos_token_id=eos, suppress_tokens=SPECIAL
            )
        reference = Reference(model, prompt, opera, eos)
        assert tuple(found[0, prompt["input_ids"].shape[1] :].tolist()) == reference.search(14)
        rollbacks += reference.rollbacks.total()
    assert (rollbacks > 0) == (opera.max_rollbacks > 0)


HOW = {
    "plain": {},
    "texts that end": {"eos_token_id": [23, 50, 12]},
    "early stopping": {"eos_token_id": [23, 50, 12], "early_stopping": True, "length_penalty": 2.0},
    "never stopping early": {"eos_token_id": [23, 50, 12], "early_stopping": "never", "length_penalty": 0.5},
    "several texts": {"num_return_sequences": 3, "eos_token_id": 50},
    "logits processors": {
        "no_repeat_ngram_size": 2,
        "min_new_tokens": 5,
        "eos_token_id": 50,
        "renormalize_logits": True,
    },
}
EVERYTHING = OPERA(num_beams=3, num_attn_candidates=models.VOCABULARY, penalty_weights=1e-30, max_rollbacks=0)


@pytest.mark.parametrize(
    ("build", "how"),
    [
        *((models.llava, how) for how in HOW.values()),
        *((build, HOW["plain"]) for build in (models.qwen2_vl, models.mistral)),
    ],
    ids=[*HOW.keys(), "Qwen2-VL", "a sliding window"],
)
def test_a_penalty_of_nothing_on_all_tokens_gives_transformers_beam_search(build: Any, how: dict[str, Any]) -> None:
    model = build()
    kwargs = dict(how, **models.prompt(model), max_new_tokens=8, do_sample=False)
    scores = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True}
    expected = model.generate(**kwargs, **scores, num_beams=3)
    with EVERYTHING(model):
        found = model.generate(**kwargs, **scores)
    assert torch.equal(found.sequences, expected.sequences)
    assert torch.equal(found.beam_indices, expected.beam_indices.to(found.beam_indices))
    torch.testing.assert_close(found.sequences_scores, expected.sequences_scores)
    torch.testing.assert_close(torch.cat(found.logits), torch.cat(expected.logits), rtol=1e-4, atol=1e-4)
    own = model.compute_transition_scores(found.sequences, found.scores, found.beam_indices)
    torch.testing.assert_close(
        own,
        model.compute_transition_scores(expected.sequences, expected.scores, expected.beam_indices),
        rtol=1e-4,
        atol=1e-4,
    )


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("num_beams", [1, 3])
def test_without_penalty_and_rollback_it_is_transformers_beam_search(build: Any, num_beams: int) -> None:
    model = build()
    kwargs = dict(models.prompt(model), max_new_tokens=8, do_sample=False)
    expected = model.generate(**kwargs, num_beams=num_beams)
    with OPERA(num_beams=num_beams, penalty_weights=0, max_rollbacks=0)(model):
        assert torch.equal(model.generate(**kwargs), expected)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("build", BUILDERS)
def test_a_left_padded_batch_is_each_prompt_alone(build: Any, attention: str) -> None:
    model = build()
    if model.config.model_type == "gemma2" and attention == "sdpa":
        pytest.skip("Transformers runs Gemma 2 eagerly")
    model.set_attn_implementation(attention)
    prompts = [models.prompt(model, after=after, seed=after) for after in (5, 9)]
    how = {"max_new_tokens": 9, "do_sample": False, "suppress_tokens": SPECIAL}
    with ALWAYS(model):
        alone = [model.generate(**prompt, **how)[0, -9:] for prompt in prompts]
        together = model.generate(**batched(model, prompts), **how)[:, -9:]
    assert torch.equal(together, torch.stack(alone))


class Shout(StoppingCriteria):
    """Stop behind a token, as a user's own criterion may."""

    def __call__(self, input_ids: Tensor, scores: Any, **kwargs: Any) -> Tensor:
        return (input_ids[:, -1] == 12) | (input_ids[:, -1] == 23)


def test_stopping_criteria_end_texts_of_different_lengths_in_a_batch() -> None:
    model = models.llava().double()
    prompts = [doubled(model, seed=seed)[1] for seed in range(3)]
    how = {"max_new_tokens": 12, "do_sample": False, "stopping_criteria": [Shout()], "suppress_tokens": SPECIAL}
    with ALWAYS(model):
        alone = [model.generate(**prompt, **how)[0] for prompt in prompts]
        together = model.generate(**batched(model, prompts), **how)
    assert len({len(one) for one in alone}) > 1
    for one, row in zip(alone, together, strict=True):
        assert torch.equal(row[: len(one)], one)
        assert (row[len(one) :] == 0).all()


def test_a_later_call_starts_from_the_cache_of_an_earlier_one() -> None:
    model, prompt = doubled(models.llama(), after=9)
    first = dict(prompt, input_ids=prompt["input_ids"][:, :6], attention_mask=prompt["attention_mask"][:, :6])
    with torch.no_grad():
        cache = model(**first, use_cache=True).past_key_values
    with ALWAYS(model):
        expected = model.generate(**prompt, max_new_tokens=9, do_sample=False)
        cache.batch_repeat_interleave(2)
        assert torch.equal(model.generate(**prompt, past_key_values=cache, max_new_tokens=9, do_sample=False), expected)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "sampling": ({"do_sample": True}, "do_sample=False"),
    "guidance": ({"guidance_scale": 1.5}, "guidance_scale"),
    "attentions": ({"output_attentions": True, "return_dict_in_generate": True}, "output_attentions"),
    "another recipe": ({"custom_generate": print}, "custom_generate"),
    "a stream": ({"streamer": object()}, "streamer"),
}


@pytest.mark.parametrize(("how", "because"), REFUSED.values(), ids=REFUSED.keys())
def test_what_contradicts_the_search_is_refused(how: dict[str, Any], because: str) -> None:
    model = models.llama()
    with OPERA()(model), pytest.raises(SettingError, match=because):
        model.generate(**models.prompt(model), max_new_tokens=4, **how)


def test_sampling_by_the_model_s_own_config_is_refused_too() -> None:
    model = models.llama()
    model.generation_config.do_sample = True
    with OPERA()(model), pytest.raises(SettingError, match="do_sample=False"):
        model.generate(**models.prompt(model), max_new_tokens=4)


@pytest.mark.parametrize("how", [{"use_cache": False}, {"cache_implementation": "static"}])
def test_a_cache_that_cannot_go_back_is_refused(how: dict[str, Any]) -> None:
    model = models.llama()
    with OPERA()(model), pytest.raises(UnsupportedModelError, match="default cache"):
        model.generate(**models.prompt(model), max_new_tokens=4, do_sample=False, **how)


def test_constraints_on_tokens_by_prompt_are_refused_in_a_batch() -> None:
    model = models.llama()
    prompts = batched(model, [models.prompt(model), models.prompt(model, seed=1)])
    how = {"max_new_tokens": 4, "do_sample": False, "prefix_allowed_tokens_fn": lambda number, ids: [11, 12, 13, 14]}
    with OPERA(num_beams=2, num_attn_candidates=2)(model):
        assert set(model.generate(**models.prompt(model), **how)[0, -4:].tolist()) <= {11, 12, 13, 14}
        with pytest.raises(SettingError, match="one prompt"):
            model.generate(**prompts, **how)


def test_image_tokens_must_be_seen() -> None:
    model = models.llava()
    embeds = torch.randn(1, 7, 32)
    with OPERA()(model), pytest.raises(SettingError, match="pass input_ids"):
        model.generate(inputs_embeds=embeds, max_new_tokens=4, do_sample=False)
    with OPERA(image_tokens_first=0)(model):
        assert model.generate(inputs_embeds=embeds, max_new_tokens=4, do_sample=False).shape == (1, 4)


BAD: list[dict[str, Any]] = [
    {"num_beams": 0},
    {"num_beams": 2.5},
    {"threshold": 0},
    {"num_attn_candidates": True},
    {"window": 0},
    {"max_rollbacks": -1},
    {"candidates_at_once": 0},
    {"image_tokens_first": "10"},
    {"scale_factor": 0.0},
    {"scale_factor": math.nan},
    {"penalty_weights": -1.0},
    {"penalty_weights": math.inf},
]


@pytest.mark.parametrize("settings", BAD, ids=str)
def test_a_setting_without_meaning_is_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(settings))):
        OPERA(**settings)


@pytest.mark.parametrize("where", ["arguments", "generation config"])
def test_stop_strings_end_the_search_as_they_end_beams(where: str) -> None:
    """With the embedded model, whose tokenizer knows words."""
    loaded = load(str(checkpoint_path()), device="cpu")
    inputs = prompt_inputs(loaded, Image.new("RGB", (64, 64), "white"), "Describe the picture.")
    how = {"max_new_tokens": 12, "stop_strings": ["is"], "tokenizer": loaded.tokenizer}
    if where == "generation config":
        config = copy.deepcopy(loaded.model.generation_config)
        config.update(max_new_tokens=12, stop_strings=["is"])
        how = {"generation_config": config, "tokenizer": loaded.tokenizer}
    with OPERA(num_beams=2, num_attn_candidates=2)(loaded.model):
        output = loaded.model.generate(**inputs, **how)  # type: ignore[operator]
    said = loaded.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert said.rstrip().endswith("is") or "is" not in said
