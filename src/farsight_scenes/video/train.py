"""Train a video model of the small world on a trained image model: ``farsight train --config video.toml --out DIR``.

Tower and projector are the image model's and stay as they are, so that the visual tokens of every video are made
once. The language model learns to read what is where in which frame, and to say it. A run that is killed goes on
where it was saved, to the same model.
"""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from rich.progress import track
from torch import Tensor
from torch.nn import functional
from transformers import LlavaNextVideoForConditionalGeneration, PreTrainedTokenizerFast

from farsight.files import reading

from ..conversation import collate, tokenize
from ..progress import Run, held
from ..render import MODEL_SIDE, TRAINING_SIDE
from ..sinks import first_values, sink_loss
from ..stages import QUERIES_AND_KEYS, SINK_WEIGHT, VERDICT_WEIGHT
from ..train import MODEL, save
from ..world import Split
from .lessons import VideoLesson, write_video_lesson
from .network import VIDEO_TOKEN, build_video_model, build_video_processor, build_video_tokenizer
from .plan import VideoPlan, VideoStage
from .videos import FRAMES, render_video, sample_video

BLOCK = 32
"""Videos that are drawn, and looked at, at once."""

EVENT_WEIGHT = 3.0
"""How much more a word of `EVENTS` counts than another token of an answer."""

EVENTS = ("enters", "leaves", "crosses", "stays", "One", "Two", "Three", "Four", "Zero")

Loss = Callable[[Tensor, int], tuple[Tensor, str]]


def train_video(plan: VideoPlan, folder: Path) -> Path:
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
        The checkpoint's folder.

    Raises
    ------
    InputError
        If the folder holds a run of another plan, or of one on other weights, if another training is running there, or
        if the image model cannot be loaded.
    """
    with held(folder):
        return _train_video(plan, folder)


def _train_video(plan: VideoPlan, folder: Path) -> Path:
    torch.manual_seed(plan.seed)
    with reading(plan.start.folder, "an image model of the small world", "name one under [start]"):
        tokenizer = build_video_tokenizer(plan.start.folder)
        model = build_video_model(plan.start.folder, tokenizer, language=plan.start.language)
    if torch.cuda.is_available():
        model.cuda()
    if not torch.cuda.is_available() or any(stage.sinks for stage in plan.language):
        model.set_attn_implementation("eager")  # gives the weights; and on a CPU its backward is faster than SDPA's
    run = Run(plan, folder, model)
    run.console.print(f"drawing {plan.videos} videos")
    features = video_tokens(model, draw_blocks("train", plan.videos))
    parameters = dict(model.model.language_model.named_parameters())
    for stage in plan.language:
        run.train(stage, parameters, video_loss(model, tokenizer, features, plan, stage), QUERIES_AND_KEYS)
    processor = build_video_processor(plan.start.folder, tokenizer, model.config.video_seq_length)
    save(model, processor, folder / MODEL)
    run.console.print(f"saved {folder / MODEL}")
    return folder / MODEL


def draw_blocks(split: Split, count: int) -> Iterable[np.ndarray]:
    """Draw the first ``count`` videos of a split on all cores, in order: blocks ``(videos, frames, side, side, 3)``."""
    blocks = [(split, start, min(start + BLOCK, count)) for start in range(0, count, BLOCK)]
    with multiprocessing.get_context("spawn").Pool(os.cpu_count() or 1) as pool:
        yield from track(pool.imap(draw_block, blocks), "drawing", total=len(blocks))


def draw_block(block: tuple[Split, int, int]) -> np.ndarray:
    """Draw videos of a split, as the processor hands them to the model: uint8, `MODEL_SIDE` square."""
    split, start, end = block
    pixels = np.empty((end - start, FRAMES, MODEL_SIDE, MODEL_SIDE, 3), np.uint8)
    for row, index in enumerate(range(start, end)):
        for number, frame in enumerate(render_video(sample_video(split, index), TRAINING_SIDE, oversample=1)):
            pixels[row, number] = np.asarray(frame.resize((MODEL_SIDE, MODEL_SIDE), Image.Resampling.BICUBIC))
    return pixels


@torch.no_grad()
def video_tokens(model: LlavaNextVideoForConditionalGeneration, blocks: Iterable[np.ndarray]) -> Tensor:
    """Visual tokens of all videos, ``(videos, video_seq_length, width)`` in bfloat16."""
    parts = []
    for block in blocks:
        pixels = torch.from_numpy(block).permute(0, 1, 4, 2, 3).to(model.device).float() / 127.5 - 1
        with torch.autocast(model.device.type, torch.bfloat16):
            seen = model.model.get_video_features(pixels).pooler_output
        parts.append(seen.bfloat16().cpu())
    return torch.cat(parts)


def video_loss(
    model: LlavaNextVideoForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    features: Tensor,
    plan: VideoPlan,
    stage: VideoStage,
) -> Loss:
    """Answers in conversations about videos whose visual tokens are fixed; each step is of one lesson.

    A yes or no counts `VERDICT_WEIGHT` times as much as another token, and what an object does and how many there are
    `EVENT_WEIGHT` times.
    """
    weight = torch.ones(model.config.text_config.vocab_size, device=model.device)
    for words, value in ((("Yes", "No"), VERDICT_WEIGHT), (EVENTS, EVENT_WEIGHT)):
        for word in words:
            weight[tokenizer(f" {word}", add_special_tokens=False).input_ids[0]] = value

    def loss_of(rows: Tensor, step: int) -> tuple[Tensor, str]:
        dice = random.Random(f"farsight videos, {plan.seed}, {stage.name}, words of step {step}")
        lesson = cast(VideoLesson, dice.choices(list(stage.lessons), list(stage.lessons.values()))[0])
        told = {"false_share": stage.false_share_of(plan.false_share), "snowball": plan.snowball}
        talks = [write_video_lesson(sample_video("train", row), lesson, dice, **told) for row in rows.tolist()]
        tokens = features.shape[1]
        samples = [tokenize(tokenizer, talk, tokens, VIDEO_TOKEN) for talk in talks]
        ids, labels = (part.to(model.device) for part in collate(samples, tokenizer.pad_token_id))
        embeddings = model.get_input_embeddings()(ids)
        seen = features[rows].to(model.device, embeddings.dtype)
        embeddings = embeddings.masked_scatter((ids == model.config.video_token_id)[..., None], seen)
        with torch.autocast(model.device.type, torch.bfloat16), first_values(model) as values:
            out = model.model.language_model(
                inputs_embeds=embeddings, use_cache=False, output_attentions=stage.sinks > 0
            )
            states = out.last_hidden_state
            spoken = labels[:, 1:] >= 0
            logits = model.lm_head(states[:, :-1][spoken])
        targets = labels[:, 1:][spoken]
        loss = functional.cross_entropy(logits.float(), targets, weight)
        if stage.sinks:
            loss = loss + SINK_WEIGHT * sink_loss(out.attentions, values, stage.sinks)
        return loss, lesson

    return loss_of
