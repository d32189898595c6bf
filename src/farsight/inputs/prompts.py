"""Requests about pictures or videos become the inputs of ``generate``, in the model's own chat template."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, cycle, starmap
from typing import Any

from PIL import Image

from farsight.errors import FarSightError, InputError
from farsight.files import told
from farsight.inputs.chat_templates import TemplateError, has_template, tokenized, written
from farsight.inputs.checkpoints import LoadedModel

_PLACEHOLDER = re.compile(r"(?:.*_)?(?:image|img|video|frame|audio|vision|slice|tile|boi|eoi|boa|eoa)_(?:.*_)?token")
"""Names by which processors and tokenizers call the tokens that stand for a picture, a video or a sound."""


class PromptError(InputError):
    """A request that a model's processor does not take; it may take others."""


def check_text(processor: Any, *texts: str) -> None:
    """See that no text of a user's holds one of the tokens that stand for a picture.

    It would be read as one: there is no picture for it, or it is that of another prompt of the batch.

    Raises
    ------
    PromptError
        If the text has such a token.
    """
    tokens = placeholders(processor)
    for text in texts:
        if (token := next((token for token in tokens if token in text), None)) is not None:
            raise PromptError(
                f"{_shown(text)} has '{token}' in it, which the model takes for a picture, video or sound: write it in "
                "another way"
            )


def placeholders(processor: Any) -> tuple[str, ...]:
    """The texts that a model reads as a picture, a video or a sound."""
    found: list[str] = []
    for owner in (processor, getattr(processor, "tokenizer", None)):
        named = {*dir(owner), *getattr(owner, "special_tokens_map", ())}
        found += [str(getattr(owner, name, None) or "") for name in sorted(filter(_PLACEHOLDER.fullmatch, named))]
    return tuple(dict.fromkeys(token for token in found if len(token) > 2))


@contextmanager
def asking(prompts: Sequence[str]) -> Iterator[None]:
    """Whatever a processor says of some requests while it makes their inputs is that it does not take them.

    Raises
    ------
    PromptError
        For any exception that is about the requests.
    """
    try:
        yield
    except TemplateError as error:
        raise PromptError(str(error)) from error
    except (FarSightError, MemoryError):
        raise
    except ImportError as error:
        raise InputError(f"the model's processor lacks something: {told(error)}") from error
    except Exception as error:
        which = f"{len(prompts)} requests, the first of them " if len(prompts) > 1 else ""
        raise PromptError(
            f"the model's processor does not take {which}{_shown(prompts[0])} ({told(error)}); ask in other words, or "
            "see its processor_config.json"
        ) from error


def _shown(text: str, most: int = 80) -> str:
    line = " ".join(text.split())
    return f"'{line}'" if len(line) <= most else f"'{line[:most]}...'"


def prompt_inputs(loaded: LoadedModel, image: Image.Image, prompt: str) -> dict[str, Any]:
    """The inputs of ``generate`` for one picture and one request; see `picture_inputs`."""
    return picture_inputs(loaded, [image], [prompt])


def picture_inputs(
    loaded: LoadedModel,
    pictures: Sequence[Image.Image],
    prompts: Sequence[str],
    earlier: Sequence[Sequence[str]] = (),
) -> dict[str, Any]:
    """The inputs of ``generate`` for one request about each picture, padded on the left.

    They are on the model's device and in its dtype. The model's own chat template is used; a model that has none gets
    its image token, a new line and the prompt.

    Parameters
    ----------
    loaded
        The model with its processor.
    pictures, prompts
        As many of one as of the other.
    earlier
        What was said about each picture before its prompt, by user and assistant in turn; empty if nothing was.

    Raises
    ------
    InputError
        If the model takes no pictures, or several are given and its pad token is not known.
    PromptError
        If its processor does not take a request, as one that has the token in it that stands for a picture, or if one
        is longer than what the model was made for.
    """
    check_takes_images(loaded)
    with padded_left(loaded, len(prompts)):
        inputs = _processed(loaded.processor, pictures, prompts, earlier)
    check_length(loaded, inputs["input_ids"].shape[-1])
    return dict(inputs.to(loaded.device, dtype=loaded.dtype))


def check_takes_images(loaded: LoadedModel) -> None:
    """See that a model can be shown pictures.

    Raises
    ------
    InputError
        If the model takes no pictures.
    """
    if not loaded.takes_images:
        raise InputError(
            f"'{loaded.name}' takes no pictures: ask it without one, or pass a multimodal model such as "
            "llava-hf/llava-1.5-7b-hf"
        )


def processed(processor: Any, image: Image.Image, prompt: str) -> Any:
    """What a processor makes of one picture and one request, on the CPU; see `picture_inputs`."""
    return _processed(processor, [image], [prompt])


def chat(image: Image.Image, prompt: str, earlier: Sequence[str] = ()) -> list[dict[str, Any]]:
    """One request about one picture, behind what was said of it before, as chat templates take it."""
    said: list[list[dict[str, Any]]] = [[{"type": "text", "text": text}] for text in (*earlier, prompt)]
    said[0].insert(0, {"type": "image", "image": image})
    roles = cycle(("user", "assistant"))
    return [{"role": next(roles), "content": content} for content in said]


def without_template(processor: Any, prompt: str) -> str:
    """What a processor without a chat template is given for a request about one picture."""
    token = getattr(processor, "image_token", None)
    return f"{token}\n{prompt}" if isinstance(token, str) else prompt


def video_inputs(
    loaded: LoadedModel, videos: Sequence[Sequence[Image.Image]], prompts: Sequence[str]
) -> dict[str, Any]:
    """The inputs of ``generate`` for one request about each video, padded on the left.

    Parameters
    ----------
    loaded
        A model whose processor takes videos and has a chat template.
    videos
        The frames of each, all of which are shown.
    prompts
        As many prompts as videos.

    Raises
    ------
    InputError
        If the model takes no videos, or several are given and its pad token is not known.
    PromptError
        As `picture_inputs`.
    """
    if not loaded.takes_videos or not has_template(loaded.processor):
        raise InputError(
            f"'{loaded.name}' takes no videos; pass a model that does, such as llava-hf/LLaVA-NeXT-Video-7B-hf"
        )
    check_text(loaded.processor, *prompts)
    talks = [
        [{"role": "user", "content": [{"type": "video", "video": list(frames)}, {"type": "text", "text": prompt}]}]
        for frames, prompt in zip(videos, prompts, strict=True)
    ]
    with padded_left(loaded, len(prompts)), asking(prompts):
        inputs = tokenized(loaded.processor, talks, padding=len(prompts) > 1)
    check_length(loaded, inputs["input_ids"].shape[-1])
    return dict(inputs.to(loaded.device, dtype=loaded.dtype))


def text_inputs(loaded: LoadedModel, prompts: Sequence[str], *, chat: bool) -> dict[str, Any]:
    """The inputs of ``generate`` for prompts without a picture, padded on the left.

    Parameters
    ----------
    loaded
        Any model that generates text.
    prompts
        Requests, or texts to go on with.
    chat
        Whether they are requests, for the model's chat template; a model without one is given them as they are.

    Raises
    ------
    InputError
        If several are given and the model's pad token is not known.
    PromptError
        As `picture_inputs`.
    """
    check_text(loaded.processor, *prompts)
    chat = chat and has_template(loaded.processor)
    with padded_left(loaded, len(prompts)), asking(prompts):
        texts = list(prompts)
        if chat:
            parts = [[{"type": "text", "text": prompt}] if loaded.takes_images else prompt for prompt in prompts]
            texts = written(loaded.processor, [[{"role": "user", "content": part}] for part in parts])
        padding = len(prompts) > 1
        inputs = loaded.tokenizer(texts, return_tensors="pt", padding=padding, add_special_tokens=not chat)
    check_length(loaded, inputs["input_ids"].shape[-1])
    known = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    return {name: tensor.to(loaded.device) for name, tensor in known.items()}


def check_length(loaded: LoadedModel, tokens: int) -> None:
    """Refuse a request that would take hours and all memory to read, and that the model could make nothing of.

    Raises
    ------
    PromptError
        If it has more tokens than the model has positions.
    """
    config: Any = loaded.model.config
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    if isinstance(positions, int) and tokens > positions:
        raise PromptError(
            f"the prompt has {tokens} tokens with what is shown, more than the {positions} that '{loaded.name}' was "
            "made for; shorten it"
        )


def _processed(
    processor: Any,
    pictures: Sequence[Image.Image],
    prompts: Sequence[str],
    earlier: Sequence[Sequence[str]] = (),
) -> Any:
    padding = len(prompts) > 1
    check_text(processor, *prompts, *chain.from_iterable(earlier))
    with asking(prompts):
        if has_template(processor):
            asked = zip(pictures, prompts, earlier or [()] * len(prompts), strict=True)
            return tokenized(processor, list(starmap(chat, asked)), padding=padding)
        if any(earlier):
            raise InputError("the model has no chat template, which a conversation is written with: pass one that has")
        texts = [without_template(processor, prompt) for prompt in prompts]
        return processor(images=list(pictures), text=texts, return_tensors="pt", padding=padding)


@contextmanager
def padded_left(loaded: LoadedModel, count: int) -> Iterator[None]:
    """Have several prompts of different lengths end at the same place.

    Raises
    ------
    InputError
        If the model's pad token is not known.
    """
    tokenizer = loaded.tokenizer
    if count > 1 and tokenizer.pad_token_id is None:
        raise InputError(f"'{loaded.name}' has no pad token, which batches need; pass --batch-size 1")
    before = tokenizer.padding_side
    tokenizer.padding_side = "left"
    try:
        yield
    finally:
        tokenizer.padding_side = before
