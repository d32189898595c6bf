"""Prompts with a picture or a video, in the form that an architecture takes them."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from architectures import FRAMES, GRID, GRID_VIDEO, PIXELS, Row, Shapes
from tiny_model import FIRST_WORD, START, VOCABULARY, is_encoder_decoder
from torch import Tensor, nn
from transformers import PreTrainedModel


def prompt(model: PreTrainedModel, row: Row, kind: str = "image", before: int = 2, seed: int = 0) -> dict[str, Tensor]:
    """One prompt: ``before`` words, the placeholders of the picture or video, five words."""
    generator = torch.Generator().manual_seed(seed)
    given = {name: _tensor(form, generator) for name, form in _form(model, row, kind).items()}
    count = _count(model, row, kind, given)
    token = _placeholder(model, row, kind) if count else -1
    parts = row.parts if kind == "video" else 1
    words = iter(torch.randint(FIRST_WORD, VOCABULARY, (before + parts + 4,), generator=generator).tolist())
    ids = [next(words) for _ in range(before)]
    start, end = _around(model, row, kind)
    ids += start
    for _ in range(parts):
        ids += [token] * (count // parts) + [next(words)]
    ids += [*end, *words]
    input_ids = torch.tensor([ids])
    inputs = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids), **given}
    inputs |= {name: torch.ones(1, len(ids), *shape, dtype=torch.int64) for name, shape in row.per_token.items()}
    if row.marks is not None:
        inputs[row.marks] = (input_ids == token).long()
    accepted = inspect.signature(model.forward).parameters
    if any(is_encoder_decoder(part) for part in model.modules()):
        inputs |= _decoder_prompt(before, generator)
        if model.main_input_name not in ("input_ids", "inputs_embeds") and "input_ids" in inputs and not count:
            inputs = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
    for name in ("mm_token_type_ids", "token_type_ids"):
        if name in accepted and name not in inputs:
            mark = 2 if kind == "video" and name.startswith("mm") else 1
            inputs[name] = (input_ids == token) * (0 if row.prefix else mark)
    return inputs


def length_of(inputs: dict[str, Tensor]) -> int:
    """Slots of the prompt that the decoder goes on from."""
    return inputs["decoder_input_ids" if "decoder_input_ids" in inputs else "input_ids"].shape[1]


def _decoder_prompt(words: int, generator: torch.Generator) -> dict[str, Tensor]:
    drawn = torch.randint(FIRST_WORD, VOCABULARY, (1, words), generator=generator)
    ids = torch.cat((torch.tensor([[START]]), drawn), dim=1)
    return {"decoder_input_ids": ids, "decoder_attention_mask": torch.ones_like(ids)}


def kinds_of(model: PreTrainedModel, row: Row) -> list[str]:
    """Image, video, or both: what the architecture takes."""
    if row.kinds is not None:
        return list(row.kinds)
    video = row.video is not None or "pixel_values_videos" in inspect.signature(model.forward).parameters
    return ["image", "video"] if video else ["image"]


def _form(model: PreTrainedModel, row: Row, kind: str) -> Shapes:
    accepted = inspect.signature(model.forward).parameters
    if kind == "image":
        return row.image if row.image is not None else (GRID if "image_grid_thw" in accepted else PIXELS)
    return row.video or (GRID_VIDEO if "video_grid_thw" in accepted else FRAMES)


def _tensor(form: tuple[int, ...] | list[Any], generator: torch.Generator) -> Tensor:
    return torch.randn(form, generator=generator) if isinstance(form, tuple) else torch.tensor(form)


def _placeholder(model: PreTrainedModel, row: Row, kind: str) -> int:
    chosen = row.video_token if kind == "video" else row.image_token
    if isinstance(chosen, int):
        return chosen
    for name in (chosen,) if chosen is not None else (f"{kind}_token_id", f"{kind}_token_index", f"{kind}_token"):
        if isinstance(token := getattr(model.config, name, None), int):
            return token
    raise LookupError(f"{type(model).__name__} does not say which token stands for the {kind}")


def _around(model: PreTrainedModel, row: Row, kind: str) -> tuple[list[int], list[int]]:
    if row.around is None or kind != "video":
        return [], []
    start, end = (getattr(model.config, name) for name in row.around)
    return [start], [end]


def _count(model: PreTrainedModel, row: Row, kind: str, given: dict[str, Tensor]) -> int:
    """How many placeholders the features of a picture fill."""
    if (chosen := row.video_tokens if kind == "video" else row.tokens) is not None:
        return chosen
    holders = [holder for holder in (model, getattr(model, "model", None)) if hasattr(holder, f"get_{kind}_features")]
    features = [getattr(holder, f"get_{kind}_features") for holder in holders]
    accepted = {name for function in features for name in inspect.signature(function).parameters}
    with torch.no_grad():
        found = features[0](**{name: value for name, value in given.items() if name in accepted})
    if not isinstance(found, Tensor | tuple | list):
        found = found.last_hidden_state if found.pooler_output is None else found.pooler_output
    numbers = sum(part.numel() for part in found) if not isinstance(found, Tensor) else found.numel()
    return numbers // model.get_input_embeddings().weight.shape[1]


def left_padded(row: Row, one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    """Two prompts as one batch, padded on the left; pictures are stacked along their first dimension."""
    batch = {}
    for name in one:
        pair = [one[name], other[name]]
        ids = "decoder_input_ids" if name.startswith("decoder_") else "input_ids"
        lengths = [inputs[ids].shape[1] for inputs in (one, other) if ids in inputs]
        if pair[0].dim() >= 2 and [part.shape[1] for part in pair] == lengths and not name.startswith("pixel"):
            pair = [
                nn.functional.pad(part, (0, 0) * (part.dim() - 2) + (max(lengths) - part.shape[1], 0)) for part in pair
            ]
        batch[name] = torch.cat(pair, row.stacked.get(name, 0))
    return batch


def with_positions(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inputs of a forward that does not find the places of left-padded tokens by itself."""
    return {**inputs, "position_ids": (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)}


def _padded(part: Tensor, length: int) -> Tensor:
    return nn.functional.pad(part, (0, 0) * (part.dim() - 2) + (length - part.shape[1], 0))
