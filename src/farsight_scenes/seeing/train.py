"""Teach a pretrained language model to see: ``farsight train --config smollm2.toml --out DIR``.

The tower's view of every picture is kept, since the tower does not change. The projector learns to say it in the
language model's own word embeddings, which needs no language model; then projector and adapters learn to answer and
to describe. A run that is killed goes on where it was saved.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import cast

import torch
from rich.progress import track
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import AyaVisionForConditionalGeneration, PreTrainedTokenizerFast

from farsight.files import reading

from ..conversation import collate, tokenize
from ..lessons import WITHOUT_PICTURE, Lesson, write_lesson
from ..plan import Stage
from ..progress import Run, held
from ..stages import VERDICT_WEIGHT, Loss, phrase_tables
from ..train import MODEL, save
from ..views import Views, make_views
from ..world import sample_scene
from .adapters import adapt
from .network import (
    CELLS,
    IMAGE_TOKEN,
    PROJECTOR,
    STRIDE,
    build_seeing_model,
    build_seeing_processor,
    build_seeing_tokenizer,
    whole_model,
)
from .plan import SeeingPlan

TRAINED = "trained.safetensors"
"""Name of the file with projector and adapters alone, inside the folder of the run; see `whole_model`."""

_SEEN = "seen.safetensors"


def train_seeing(plan: SeeingPlan, folder: Path) -> Path:
    """Run the stages that are not done and write the checkpoint.

    Parameters
    ----------
    plan
        What to train.
    folder
        Where the state is kept while it trains, and the checkpoint afterwards.

    Returns
    -------
    Path
        The checkpoint's folder. `TRAINED` lies beside it.

    Raises
    ------
    InputError
        If the language model is not installed, if the folder holds a run of another plan, or if another training is
        running there.
    """
    with held(folder):
        return _train_seeing(plan, folder)


def _train_seeing(plan: SeeingPlan, folder: Path) -> Path:
    torch.manual_seed(plan.seed)
    language = plan.start.folder
    tokenizer = build_seeing_tokenizer(language)
    model = build_seeing_model(language, tokenizer)
    model.requires_grad_(False)
    seen, patches = look(model, plan.scenes, folder / _SEEN)
    for weight in model.model.language_model.parameters():
        weight.data = weight.data.bfloat16()  # not the rotary angles, which are buffers
    layers = model.model.language_model.layers
    adapters = {f"layers.{name}": matrix for name, matrix in adapt(layers, plan.rank).items()}
    projector = model.model.multi_modal_projector.requires_grad_(True)
    parameters = adapters | {f"{PROJECTOR}{name}": weight for name, weight in projector.named_parameters()}
    run = Run(plan, folder, Parts(parameters))
    run.train(
        plan.projector,
        dict(projector.named_parameters()),
        projector_loss(model, tokenizer, seen, patches),
    )
    for stage in plan.language:
        run.train(stage, parameters, language_loss(model, tokenizer, seen, plan, stage), ("lora_",))
    trained = {name: weight.detach().bfloat16().contiguous() for name, weight in parameters.items()}
    fresh = folder / f"{TRAINED}.new"
    save_file(trained, fresh)
    fresh.replace(folder / TRAINED)
    del model
    save(whole_model(language, tokenizer, trained), build_seeing_processor(tokenizer), folder / MODEL)
    run.console.print(f"saved {folder / MODEL}")
    return folder / MODEL


class Parts(nn.Module):
    """The trained parameters alone, by name, as `Run` saves a model."""

    def __init__(self, parameters: dict[str, nn.Parameter]) -> None:
        super().__init__()
        for name, parameter in parameters.items():
            self.register_parameter(name.replace(".", "/"), parameter)


@torch.no_grad()
def look(model: AyaVisionForConditionalGeneration, scenes: int, kept: Path) -> tuple[Tensor, Tensor]:
    """Show the tower all pictures of the split ``train``, or read what it saw from an earlier call.

    Returns
    -------
    tuple[Tensor, Tensor]
        The tower's last hidden states, ``(scenes, GRID * GRID, width)`` in bfloat16, and what each patch shows, as in
        `farsight_scenes.views.Views`.
    """
    if not _holds(kept, scenes):
        views = make_views("train", scenes)
        blocks = torch.arange(scenes).split(64)
        states = torch.cat([_tower(model, views, rows) for rows in track(blocks, "looking")])
        fresh = kept.with_name(f"{kept.name}.new")
        save_file({"states": states, "patches": torch.from_numpy(views.patches)}, fresh)
        fresh.replace(kept)
    tensors = load_file(kept)
    return tensors["states"], tensors["patches"]


def _holds(kept: Path, scenes: int) -> bool:
    """Say whether a file has what the tower saw in so many pictures."""
    if not kept.exists():
        return False
    with reading(kept, "what the tower sees", "remove it"), safe_open(kept, "pt") as file:
        return bool(file.get_slice("states").get_shape()[0] == scenes)


def _tower(model: AyaVisionForConditionalGeneration, views: Views, rows: Tensor) -> Tensor:
    pixels = torch.from_numpy(views.pixels[rows.numpy()]).permute(0, 3, 1, 2).float() / 127.5 - 1
    states: Tensor = model.model.vision_tower(pixels).last_hidden_state
    return states[:, 1:].bfloat16()


def projector_loss(
    model: AyaVisionForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, seen: Tensor, patches: Tensor
) -> Loss:
    """From the patches of a visual token to the sum of the embeddings of the words that describe its objects."""
    words = model.get_input_embeddings().weight.detach().float()
    tables = phrase_tables(tokenizer, words)

    def loss_of(rows: Tensor, step: int) -> tuple[Tensor, str]:
        shown = cells(patches[rows].long())
        described = torch.stack([table[shown[..., column]] for column, table in tables]).sum(0)
        alike = (shown[..., :, None, 0] == shown[..., None, :, 0]).sum(-1)  # patches of the cell with this object
        wanted = (described / alike[..., None]).sum(-2)
        out = model.model.multi_modal_projector(seen[rows].float()).flatten(1, 2)
        return (out - wanted).square().mean() / words.square().mean(), "words"

    return loss_of


def cells(patches: Tensor) -> Tensor:
    """Group patches by visual token: ``(scenes, patches, columns)`` to ``(scenes, cells, patches each, columns)``."""
    grid = patches.reshape(len(patches), CELLS, STRIDE, CELLS, STRIDE, -1)
    return grid.transpose(2, 3).reshape(len(patches), CELLS**2, STRIDE**2, -1)


def language_loss(
    model: AyaVisionForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    seen: Tensor,
    plan: SeeingPlan,
    stage: Stage,
) -> Loss:
    """Answers in conversations about pictures; each step is of one lesson."""
    verdicts = torch.tensor([tokenizer(f" {word}", add_special_tokens=False).input_ids[0] for word in ("Yes", "No")])
    told = {"false_share": stage.false_share_of(plan.false_share), "snowball": plan.snowball}
    image = model.config.image_token_id

    def loss_of(rows: Tensor, step: int) -> tuple[Tensor, str]:
        dice = random.Random(f"farsight scenes, {plan.seed}, {stage.name}, words of step {step}")
        lesson = cast(Lesson, dice.choices(list(stage.lessons), list(stage.lessons.values()))[0])
        tokens = 0 if lesson in WITHOUT_PICTURE else CELLS * CELLS
        talks = [write_lesson(sample_scene("train", row), lesson, dice, **told) for row in rows.tolist()]
        samples = [tokenize(tokenizer, talk, tokens, IMAGE_TOKEN) for talk in talks]
        ids, labels = collate(samples, tokenizer.pad_token_id)
        embeddings = model.get_input_embeddings()(ids)
        if tokens:
            shown = model.model.multi_modal_projector(seen[rows].float()).to(embeddings.dtype)
            embeddings = embeddings.masked_scatter((ids == image)[..., None], shown)
        states = model.model.language_model(inputs_embeds=embeddings, use_cache=False).last_hidden_state
        spoken = labels[:, 1:] >= 0
        targets = labels[:, 1:][spoken]
        logits = model.lm_head(states[:, :-1][spoken]).float()
        weights = torch.where(torch.isin(targets, verdicts), VERDICT_WEIGHT, 1.0)
        losses = functional.cross_entropy(logits, targets, reduction="none")
        return (losses * weights).sum() / weights.sum(), lesson

    return loss_of
