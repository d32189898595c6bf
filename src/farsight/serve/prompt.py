"""The messages of a request become the inputs of ``generate``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from farsight.errors import FarSightError
from farsight.images import MAX_PIXELS, decode_image
from farsight.inputs.chat_templates import tokenized, written
from farsight.inputs.checkpoints import LoadedModel
from farsight.inputs.prompts import padded_left, placeholders
from farsight.method import Method, searches
from farsight.serve.answers import ApiError
from farsight.serve.request import ChatRequest, Picture, Served


def served(loaded: LoadedModel, methods: Mapping[str, Method]) -> Served:
    """What requests have to know of a model, and of the methods that it is served with."""
    beams = getattr(loaded.model.generation_config, "num_beams", None) or 1
    config = loaded.model.config.get_text_config(decoder=True)  # type: ignore[operator, union-attr]
    context = getattr(config, "max_position_embeddings", None)
    return Served(
        name=loaded.name,
        takes_pictures=loaded.takes_images,
        context=context if isinstance(context, int) and context > 0 else None,
        vocabulary=config.vocab_size,
        marks=placeholders(loaded.processor) if loaded.takes_images else (),
        methods={label: searches(method) or int(beams) > 1 for label, method in methods.items()},
    )


def prompts(loaded: LoadedModel, requests: Sequence[ChatRequest]) -> dict[str, Any]:
    """Make the inputs of ``generate``, padded on the left, on the model's device and in its dtype.

    Raises
    ------
    ApiError
        If a picture cannot be read, if all of them are too large together, or if the model's template or processor does
        not take the messages.
    """
    try:
        talks = _talks(requests, takes_images=loaded.takes_images)
        padding = len(talks) > 1
        with padded_left(loaded, len(talks)):
            if loaded.takes_images:
                return dict(tokenized(loaded.processor, talks, padding=padding).to(loaded.device, dtype=loaded.dtype))
            if not padding:
                return dict(tokenized(loaded.processor, talks).to(loaded.device))
            texts = written(loaded.processor, talks)
            inputs = loaded.tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
            return dict(inputs.to(loaded.device))
    except FarSightError as error:
        raise ApiError(400, str(error), "messages") from error
    except Exception as error:  # templates and processors refuse what they do not like in every way there is
        raise ApiError(
            400, f"the model takes no such messages ({type(error).__name__}: {str(error)[:300]})", "messages"
        ) from error


def new_tokens(request: ChatRequest, prompt_tokens: int, context: int | None, usual: int, most: int) -> int:
    """How many tokens the answer may have.

    Raises
    ------
    ApiError
        If the prompt and as many tokens as are asked for do not fit into the model's context.
    """
    room = most if context is None else context - prompt_tokens
    if room < (request.max_new_tokens or 1):
        asked = f" and max_tokens {request.max_new_tokens}" if request.max_new_tokens else ""
        raise ApiError(
            400,
            f"the messages have {prompt_tokens} tokens, which{asked and ' together with' + asked[4:]} do not fit into "
            f"the model's context of {context}: send less",
            "max_tokens" if room > 0 else "messages",
        )
    return request.max_new_tokens or min(usual, room, most)


def _talks(requests: Sequence[ChatRequest], *, takes_images: bool) -> list[list[dict[str, Any]]]:
    """Messages as templates take them; text models take the content of one as one text."""
    if not takes_images:
        return [
            [{"role": message.role, "content": " ".join(map(str, message.parts))} for message in request.messages]
            for request in requests
        ]
    pixels = MAX_PIXELS
    talks: list[list[dict[str, Any]]] = []
    for request in requests:
        number, talk = 0, []
        for message in request.messages:
            content: list[dict[str, Any]] = []
            for part in message.parts:
                if isinstance(part, Picture):
                    number += 1
                    image = _opened(part, number, pixels)
                    pixels -= image.width * image.height
                    content.append({"type": "image", "image": image})
                else:
                    content.append({"type": "text", "text": part})
            talk.append({"role": message.role, "content": content})
        talks.append(talk)
    return talks


def _opened(picture: Picture, number: int, pixels: int) -> Image.Image:
    before = f", after {(MAX_PIXELS - pixels) / 1e6:.1f} megapixels of others," if pixels < MAX_PIXELS else ""
    return decode_image(picture.data, f"picture {number} of the request{before}", max_pixels=pixels)
