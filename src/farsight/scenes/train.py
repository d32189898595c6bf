"""Train the embedded model from nothing: ``python -m farsight.scenes.train --out DIR``.

Four stages: (1) the tower learns what each patch shows; (2) the projector learns to say it in the language
model's own word embeddings; (3) the language model learns to read short lists and answers off the visual
tokens; (4) it learns to describe, in three rounds. Steps, not minutes, count, so that a seed gives the same
model at any speed; ``--minutes`` scales the steps (50 is the shipped model).
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from .language import POSITIONS, Exchange
from .lessons import Lesson, write_lesson
from .network import GRID, build_model, build_processor, build_tokenizer
from .views import Views, make_views
from .world import CATEGORIES, COLOURS, PLACES, sample_scene

READING_LESSONS: dict[Lesson, float] = {"list": 0.6, "questions": 0.4}
DESCRIBING_LESSONS: dict[Lesson, float] = {"caption": 0.62, "questions": 0.26, "list": 0.06, "brief": 0.06}
POLISH_LESSONS: dict[Lesson, float] = {"caption": 0.75, "questions": 0.25}

VERDICT_WEIGHT = 6.0
"""How much more a yes or no counts than another token of an answer."""

WORD_GAIN = 5.0
"""How much longer than Llama's initial embeddings (standard deviation 0.02) words and visual tokens are made.

Otherwise the first layers' random outputs drown them in the residual stream.
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long each stage is; `scaled` keeps the proportions."""

    seed: int = 0
    scenes: int = 16_000
    tower: int = 1000
    projector: int = 300
    reading: int = 800
    describing: int = 1200
    polishing: int = 750
    finishing: int = 3000

    def scaled(self, factor: float) -> Plan:
        """Multiply the steps of every stage, and the number of scenes if fewer are needed."""
        return Plan(
            seed=self.seed,
            scenes=max(64, round(self.scenes * min(1.0, factor))),
            tower=max(2, round(self.tower * factor)),
            projector=max(2, round(self.projector * factor)),
            reading=max(2, round(self.reading * factor)),
            describing=max(2, round(self.describing * factor)),
            polishing=max(2, round(self.polishing * factor)),
            finishing=max(2, round(self.finishing * factor)),
        )


def train(plan: Plan, out: Path) -> None:
    """Run all stages and write the checkpoint folder ``out`` (replaced in one step if it exists)."""
    torch.manual_seed(plan.seed)
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    print(f"drawing {plan.scenes} pictures", flush=True)
    views = make_views("train", plan.scenes)
    train_tower(model, views, plan)
    train_projector(model, tokenizer, views, plan)
    features = encode(model, views)
    model.model.language_model.set_attn_implementation("eager")  # 1.7 times as fast as SDPA's backward on a CPU
    train_language(model, tokenizer, features, plan, READING_LESSONS, plan.reading, 2e-3, "reading")
    train_language(model, tokenizer, features, plan, DESCRIBING_LESSONS, plan.describing, 1.2e-3, "describing")
    train_language(model, tokenizer, features, plan, POLISH_LESSONS, plan.polishing, 1.5e-3, "polishing")
    train_language(model, tokenizer, features, plan, DESCRIBING_LESSONS, plan.finishing, 1.5e-3, "finishing")
    save(model, tokenizer, out)


def train_tower(model: LlavaForConditionalGeneration, views: Views, plan: Plan, batch: int = 64) -> None:
    """Stage 1: category, colour, zone and place of each patch from the tower's last hidden state."""
    tower = model.model.vision_tower
    width = model.config.vision_config.hidden_size
    sizes = (len(CATEGORIES) + 1, len(COLOURS) + 1, len(POSITIONS) + 1, len(PLACES))
    head = nn.Sequential(nn.LayerNorm(width, elementwise_affine=False), nn.Linear(width, sum(sizes)))
    weights = torch.ones(sizes[0])
    weights[0] = 0.5
    parameters = [*tower.parameters(), *head.parameters()]
    for optimizer, rows in _steps(parameters, plan.tower, 1.5e-3, len(views.pixels), batch, plan.seed, "tower"):
        pixels = _pixels(views, rows)
        targets = torch.from_numpy(views.patches[rows.numpy()]).long()
        with torch.autocast("cpu", torch.bfloat16):
            hidden = tower(pixels, output_hidden_states=True).hidden_states[-1][:, 1:]
        category, colour, zone, place = head(hidden.float()).split(sizes, dim=-1)
        shown = targets[..., 0] > 0
        loss = functional.cross_entropy(category.flatten(0, 1), targets[..., 0].flatten(), weights)
        loss = loss + 0.5 * functional.cross_entropy(colour[shown], targets[..., 1][shown])
        loss = loss + 0.3 * functional.cross_entropy(zone[shown], targets[..., 2][shown])
        loss = loss + 0.1 * functional.cross_entropy(place.flatten(0, 1), targets[..., 3].flatten())
        accuracy = (category.argmax(-1) == targets[..., 0])[shown].float().mean().item()
        optimizer.finish(loss, f"category accuracy {accuracy:.3f}")


def train_projector(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    views: Views,
    plan: Plan,
    batch: int = 128,
) -> None:
    """Stage 2: the projector maps a patch to the sum of the embeddings of the words that describe it."""
    projector = model.model.multi_modal_projector
    words = model.get_input_embeddings().weight.detach()
    tables = [
        _phrases(tokenizer, words, ["", *CATEGORIES]),
        _phrases(tokenizer, words, ["", *COLOURS]),
        0.5 * _phrases(tokenizer, words, ["", *POSITIONS]),
        0.5 * _phrases(tokenizer, words, list(PLACES)),
    ]
    with torch.no_grad():
        rows = torch.arange(min(64, len(views.pixels)))
        projector.linear_1.weight.normal_(std=0.7 / (_hidden(model, _pixels(views, rows)).std().item() * 128**0.5))
    for optimizer, rows in _steps(
        list(projector.parameters()),
        plan.projector,
        3e-3,
        len(views.pixels),
        batch,
        plan.seed + 1,
        "projector",
    ):
        targets = torch.from_numpy(views.patches[rows.numpy()]).long()
        wanted = sum(table[targets[..., column]] for column, table in enumerate(tables))
        with torch.no_grad():
            hidden = _hidden(model, _pixels(views, rows))
        error = projector(hidden) - wanted
        loss = error.square().mean() / words.square().mean()
        optimizer.finish(loss, "")
    with torch.no_grad():
        for weight in (
            model.get_input_embeddings().weight,
            projector.linear_2.weight,
            projector.linear_2.bias,
        ):
            weight.mul_(WORD_GAIN)


def _phrases(tokenizer: PreTrainedTokenizerFast, words: Tensor, phrases: list[str]) -> Tensor:
    """Embed each phrase, ``(phrases, width)``: its tokens summed, scaled to the length of one."""
    rows = []
    for phrase in phrases:
        ids = tokenizer(f" {phrase}", add_special_tokens=False).input_ids if phrase else []
        rows.append(words[ids].sum(0) / math.sqrt(max(1, len(ids))))
    return torch.stack(rows)


@torch.no_grad()
def encode(model: LlavaForConditionalGeneration, views: Views) -> Tensor:
    """Visual tokens of all pictures, ``(scenes, GRID * GRID, width)`` in bfloat16."""
    parts = []
    for rows in torch.arange(len(views.pixels)).split(256):
        parts.append(model.model.multi_modal_projector(_hidden(model, _pixels(views, rows))).bfloat16())
    return torch.cat(parts)


def train_language(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    features: Tensor,
    plan: Plan,
    lessons: dict[Lesson, float],
    steps: int,
    rate: float,
    name: str,
    batch: int = 10,
) -> None:
    """Stages 3 and 4: the language model on conversations about pictures whose visual tokens are fixed."""
    dice = random.Random(f"farsight scenes, {name}, {plan.seed}")
    verdicts = torch.tensor([tokenizer.convert_tokens_to_ids(f"\u0120{word}") for word in ("Yes", "No")])
    parameters = list(model.model.language_model.parameters())
    image = model.config.image_token_id
    for optimizer, rows in _steps(parameters, steps, rate, len(features), batch, plan.seed + 2, name):
        lesson = dice.choices(list(lessons), list(lessons.values()))[0]
        talks = [write_lesson(sample_scene("train", row), lesson, dice) for row in rows.tolist()]
        ids, labels = collate([tokenize(tokenizer, talk) for talk in talks], tokenizer.pad_token_id)
        embeddings = model.get_input_embeddings()(ids)
        embeddings = embeddings.masked_scatter((ids == image)[..., None], features[rows].float())
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model.model.language_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state
            spoken = labels[:, 1:] >= 0
            logits = model.lm_head(hidden[:, :-1][spoken])
        targets = labels[:, 1:][spoken]
        weights = torch.where(torch.isin(targets, verdicts), VERDICT_WEIGHT, 1.0)
        losses = functional.cross_entropy(logits.float(), targets, reduction="none")
        optimizer.finish((losses * weights).sum() / weights.sum(), lesson)


def tokenize(tokenizer: PreTrainedTokenizerFast, talk: list[Exchange]) -> tuple[list[int], list[int]]:
    """Token ids of a talk about one picture, and labels: -100 except on the answers and their ends."""

    def encoded(text: str) -> list[int]:
        return list(tokenizer(text, add_special_tokens=False).input_ids)

    ids, labels = [tokenizer.bos_token_id], [-100]
    for number, turn in enumerate(talk):
        picture = "<image>" * (GRID * GRID) + "\n" if number == 0 else ""
        question = encoded(f"USER: {picture}{turn.question} ASSISTANT:")
        answer = [*encoded(f" {turn.answer}"), tokenizer.eos_token_id]
        ids += question + answer
        labels += [-100] * len(question) + answer
    return ids, labels


def collate(samples: list[tuple[list[int], list[int]]], pad: int) -> tuple[Tensor, Tensor]:
    """Pad conversations on the right to ``(batch, longest)``, where causal attention needs no mask."""
    longest = max(len(ids) for ids, _ in samples)
    ids = torch.tensor([row + [pad] * (longest - len(row)) for row, _ in samples])
    labels = torch.tensor([row + [-100] * (longest - len(row)) for _, row in samples])
    return ids, labels


def save(model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """Write weights (float16), tokenizer and processor to a new folder, then put it in place of ``out``."""
    fresh = out.with_name(out.name + ".new")
    old = out.with_name(out.name + ".old")
    for folder in (fresh, old):
        shutil.rmtree(folder, ignore_errors=True)
    fresh.mkdir(parents=True)
    weights = {name: value.detach().clone() for name, value in model.state_dict().items()}
    model.half().save_pretrained(fresh)
    model.float().load_state_dict(weights)
    build_processor(tokenizer).save_pretrained(fresh)
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    print(f"saved {out}", flush=True)


@torch.no_grad()
def _hidden(model: LlavaForConditionalGeneration, pixels: Tensor) -> Tensor:
    """What the projector sees: ``(batch, GRID * GRID, tower width)``."""
    with torch.autocast("cpu", torch.bfloat16):
        hidden: Tensor = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1][:, 1:]
    return hidden.float()


def _pixels(views: Views, rows: Tensor) -> Tensor:
    """Normalised as the image processor does: ``(batch, 3, side, side)`` in [-1, 1]."""
    pixels = torch.from_numpy(views.pixels[rows.numpy()]).permute(0, 3, 1, 2)
    return pixels.float() / 127.5 - 1


class _Optimizer:
    """AdamW with a warm-up and a cosine, which prints how far it is."""

    def __init__(self, parameters: list[nn.Parameter], steps: int, rate: float, name: str) -> None:
        self._parameters = parameters
        self._steps, self._rate, self._name = steps, rate, name
        self._adam = torch.optim.AdamW(parameters, rate, betas=(0.9, 0.98), weight_decay=0.05)
        self._done = 0
        self._start = time.monotonic()
        self._average = 0.0

    def finish(self, loss: Tensor, note: str) -> None:
        """Do one step on a loss."""
        warm = min(1.0, (self._done + 1) / (0.05 * self._steps))
        cosine = 0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * self._done / self._steps))
        for group in self._adam.param_groups:
            group["lr"] = self._rate * warm * cosine
        loss.backward()
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._adam.step()
        self._adam.zero_grad()
        self._done += 1
        self._average = loss.item() if self._done == 1 else 0.95 * self._average + 0.05 * loss.item()
        if self._done % 50 == 0 or self._done == self._steps:
            spent = time.monotonic() - self._start
            left = spent / self._done * (self._steps - self._done)
            progress = f"{self._name} {self._done}/{self._steps}, {spent:.0f} s, {left:.0f} s left"
            print(f"{progress}: loss {self._average:.4f} {note}", flush=True)


def _steps(
    parameters: list[nn.Parameter], steps: int, rate: float, rows: int, batch: int, seed: int, name: str
) -> Iterator[tuple[_Optimizer, Tensor]]:
    """Yield the optimizer and the rows of the next batch, ``steps`` times, in a new order each epoch."""
    optimizer = _Optimizer(parameters, steps, rate, name)
    generator = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        while len(order) < batch:
            order = torch.cat([order, torch.randperm(rows, generator=generator)])
        yield optimizer, order[:batch]
        order = order[batch:]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Train the embedded model of the small world.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write the checkpoint to")
    parser.add_argument(
        "--minutes", type=float, default=50.0, help="scales the steps; 50 is the shipped model (default 50)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and order (default 0)")
    options = parser.parse_args()
    if options.minutes <= 0:
        parser.error("--minutes must be positive")
    train(Plan(seed=options.seed).scaled(options.minutes / 50), options.out)


if __name__ == "__main__":
    main()
