"""What each stage of training minimises: of the tower, of the projector, and of the language model."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from .conversation import collate, tokenize
from .language import POSITIONS
from .lessons import WITHOUT_PICTURE, Lesson, write_lesson
from .network import GRID
from .plan import Plan, Stage
from .sinks import first_values, sink_loss
from .views import Views
from .world import CATEGORIES, COLOURS, PLACES, sample_scene

Loss = Callable[[Tensor, int], tuple[Tensor, str]]
"""Loss, and what it is of, from the pictures' numbers ``(batch,)`` and the step."""

VERDICT_WEIGHT = 8.0
"""How much more a yes or no counts than another token of an answer."""

SINK_WEIGHT = 4.0
"""How much a missing attention sink counts beside the words, in stages that ask for one."""

QUERIES_AND_KEYS = ("q_proj", "k_proj")
"""What Muon does not train in a language model: its steps, all of one size, let the attention's scores grow without
end (Kimi K2 clips them, arXiv:2507.20534), and with them log Z, until no register of a sensible size matters."""

WORD_GAIN = 5.0
"""How much longer than Llama's initial embeddings (standard deviation 0.02) words and visual tokens are made.

Otherwise the first layers' random outputs drown them in the residual stream.
"""

_SIZES = (len(CATEGORIES) + 1, len(COLOURS) + 1, len(POSITIONS) + 1, len(PLACES))


def tower_head(model: LlavaForConditionalGeneration) -> nn.Module:
    """Reads category, colour, zone and place off a patch; only the tower's training has it."""
    width = model.config.vision_config.hidden_size
    head = nn.Sequential(nn.LayerNorm(width, elementwise_affine=False), nn.Linear(width, sum(_SIZES)))
    return head.to(model.device)


def tower_parameters(model: LlavaForConditionalGeneration, head: nn.Module) -> dict[str, nn.Parameter]:
    """Tower and head by name: all but the norm of the pooled output, which a LLaVA does not use."""
    named = model.model.vision_tower.named_parameters()
    tower = {name: parameter for name, parameter in named if "post_layernorm" not in name}
    return tower | {f"head.{name}": parameter for name, parameter in head.named_parameters()}


def tower_loss(model: LlavaForConditionalGeneration, head: nn.Module, views: Views) -> Loss:
    """Category, colour, zone and place of each patch from the tower's last hidden state."""
    weights = torch.ones(_SIZES[0], device=model.device)
    weights[0] = 0.5

    def loss_of(rows: Tensor, step: int) -> tuple[Tensor, str]:
        targets = torch.from_numpy(views.patches[rows.numpy()]).long().to(model.device)
        category, colour, zone, place = head(hidden(model, pixels(views, rows))).split(_SIZES, dim=-1)
        shown = targets[..., 0] > 0
        loss = functional.cross_entropy(category.flatten(0, 1), targets[..., 0].flatten(), weights)
        loss = loss + 0.5 * functional.cross_entropy(colour[shown], targets[..., 1][shown])
        loss = loss + 0.3 * functional.cross_entropy(zone[shown], targets[..., 2][shown])
        loss = loss + 0.1 * functional.cross_entropy(place.flatten(0, 1), targets[..., 3].flatten())
        return loss, "patches"

    return loss_of


@torch.no_grad()
def tower_accuracy(model: LlavaForConditionalGeneration, head: nn.Module, views: Views) -> float:
    """Share of the patches that show an object whose category is read off them, in percent."""
    right = total = 0
    for rows in torch.arange(len(views.pixels)).split(250):
        targets = torch.from_numpy(views.patches[rows.numpy(), :, 0]).long().to(model.device)
        category = head(hidden(model, pixels(views, rows)))[..., : _SIZES[0]].argmax(-1)
        shown = targets > 0
        right += int((category == targets)[shown].sum())
        total += int(shown.sum())
    return 100 * right / total


@torch.no_grad()
def start_projector(model: LlavaForConditionalGeneration, views: Views) -> None:
    """Scale the first layer to the tower's hidden states, which no norm follows."""
    seen = hidden(model, pixels(views, torch.arange(min(64, len(views.pixels)))))
    weight = model.model.multi_modal_projector.linear_1.weight
    weight.normal_(std=0.7 / (seen.std().item() * weight.shape[1] ** 0.5))


def projector_loss(model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, views: Views) -> Loss:
    """From a patch to the sum of the embeddings of the words that describe it.

    The article is one of them: it is what all objects have in common, and the word after which a caption names one.
    """
    words = model.get_input_embeddings().weight.detach().clone()
    tables = phrase_tables(tokenizer, words)

    def loss_of(rows: Tensor, step: int) -> tuple[Tensor, str]:
        targets = torch.from_numpy(views.patches[rows.numpy()]).long().to(model.device)
        wanted = torch.stack([table[targets[..., column]] for column, table in tables]).sum(0)
        with torch.no_grad():
            seen = hidden(model, pixels(views, rows))
        error = model.model.multi_modal_projector(seen) - wanted
        return error.square().mean() / words.square().mean(), "words"

    return loss_of


def phrase_tables(tokenizer: PreTrainedTokenizerFast, words: Tensor) -> list[tuple[int, Tensor]]:
    """Embed all that a patch can show: a column of `Views.patches`, and a row ``(width,)`` for each of its values.

    Parameters
    ----------
    tokenizer
        Of the words.
    words
        Embeddings of its tokens, ``(tokens, width)``.
    """
    return [
        (0, _phrases(tokenizer, words, ["", *CATEGORIES])),
        (0, _phrases(tokenizer, words, ["", *(category.article for category in CATEGORIES.values())])),
        (1, 0.7 * _phrases(tokenizer, words, ["", *COLOURS])),
        (2, 0.7 * _phrases(tokenizer, words, ["", *POSITIONS])),
        (3, 0.5 * _phrases(tokenizer, words, list(PLACES))),
    ]


def _phrases(tokenizer: PreTrainedTokenizerFast, words: Tensor, phrases: list[str]) -> Tensor:
    """Embed each phrase, ``(phrases, width)``: its tokens summed, scaled to the length of one."""
    rows = []
    for phrase in phrases:
        ids = tokenizer(f" {phrase}", add_special_tokens=False).input_ids if phrase else []
        rows.append(words[ids].sum(0) / math.sqrt(max(1, len(ids))))
    return torch.stack(rows)


@torch.no_grad()
def speak_up(model: LlavaForConditionalGeneration) -> None:
    """Lengthen words and visual tokens alike by `WORD_GAIN`."""
    last = model.model.multi_modal_projector.linear_2
    for weight in (model.get_input_embeddings().weight, last.weight, last.bias):
        weight.mul_(WORD_GAIN)


@torch.no_grad()
def visual_tokens(model: LlavaForConditionalGeneration, views: Views) -> Tensor:
    """Visual tokens of all pictures, ``(scenes, GRID * GRID, width)`` in bfloat16."""
    parts = []
    for rows in torch.arange(len(views.pixels)).split(256):
        seen = hidden(model, pixels(views, rows))
        parts.append(model.model.multi_modal_projector(seen).bfloat16().cpu())
    return torch.cat(parts)


def language_loss(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    features: Tensor,
    plan: Plan,
    stage: Stage,
) -> Loss:
    """Answers in conversations about pictures whose visual tokens are fixed; each step is of one lesson."""
    verdicts = torch.tensor([tokenizer.convert_tokens_to_ids(f"\u0120{word}") for word in ("Yes", "No")])
    verdicts = verdicts.to(model.device)
    image = model.config.image_token_id
    pad = tokenizer.pad_token_id
    told = {"false_share": stage.false_share_of(plan.false_share), "snowball": plan.snowball}

    def loss_of(rows: Tensor, step: int) -> tuple[Tensor, str]:
        dice = random.Random(f"farsight scenes, {plan.seed}, {stage.name}, words of step {step}")
        lesson = cast(Lesson, dice.choices(list(stage.lessons), list(stage.lessons.values()))[0])
        tokens = 0 if lesson in WITHOUT_PICTURE else GRID * GRID
        talks = [write_lesson(sample_scene("train", row), lesson, dice, **told) for row in rows.tolist()]
        ids, labels = collate([tokenize(tokenizer, talk, tokens) for talk in talks], pad)
        ids, labels = ids.to(model.device), labels.to(model.device)
        embeddings = model.get_input_embeddings()(ids)
        if tokens:
            seen = features[rows].to(model.device, embeddings.dtype)
            embeddings = embeddings.masked_scatter((ids == image)[..., None], seen)
        with torch.autocast(model.device.type, torch.bfloat16), first_values(model) as values:
            out = model.model.language_model(
                inputs_embeds=embeddings, use_cache=False, output_attentions=stage.sinks > 0
            )
            states = out.last_hidden_state
            spoken = labels[:, 1:] >= 0
            logits = model.lm_head(states[:, :-1][spoken])
        targets = labels[:, 1:][spoken]
        weights = torch.where(torch.isin(targets, verdicts), VERDICT_WEIGHT, 1.0)
        losses = functional.cross_entropy(logits.float(), targets, reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        if stage.sinks:
            loss = loss + SINK_WEIGHT * sink_loss(out.attentions, values, stage.sinks)
        return loss, lesson

    return loss_of


def hidden(model: LlavaForConditionalGeneration, pictures: Tensor) -> Tensor:
    """What the projector sees: ``(batch, GRID * GRID, tower width)``."""
    with torch.autocast(model.device.type, torch.bfloat16):
        states: Tensor = model.model.vision_tower(pictures.to(model.device), output_hidden_states=True).hidden_states[
            -1
        ]
    return states[:, 1:].float()


def pixels(views: Views, rows: Tensor) -> Tensor:
    """Normalised as the image processor does: ``(batch, 3, side, side)`` in [-1, 1]."""
    pictures = torch.from_numpy(views.pixels[rows.numpy()]).permute(0, 3, 1, 2)
    return pictures.float() / 127.5 - 1
