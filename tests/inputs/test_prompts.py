"""What a processor does not take is refused in one line, whatever it says of it itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tiny_checkpoint import SIDE, save_tiny_llava
from tiny_video_checkpoint import save_tiny_video_model

from farsight import InputError
from farsight.inputs.checkpoints import LoadedModel, load
from farsight.inputs.prompts import PromptError, asking, check_text, picture_inputs, prompt_inputs, video_inputs

PICTURE = Image.new("RGB", (SIDE, SIDE), "red")


@pytest.fixture(scope="module", params=["with a chat template", "without one"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("tiny")
    how: dict[str, Any] = {} if request.param == "with a chat template" else {"template": None}
    return load(save_tiny_llava(folder, **how), device="cpu")


@pytest.mark.parametrize("prompt", ["<image>", "What does <image> mean?", "a<image><image>b"])
def test_the_token_of_a_picture_in_a_user_s_own_text_is_refused(loaded: LoadedModel, prompt: str) -> None:
    with pytest.raises(PromptError, match="has '<image>' in it, which the model takes for a picture"):
        prompt_inputs(loaded, PICTURE, prompt)
    with pytest.raises(PromptError, match="has '<image>' in it"):
        picture_inputs(loaded, [PICTURE, PICTURE], ["What is this?", prompt])
    prompt_inputs(loaded, PICTURE, "What does < image > or <img> mean?")


def test_the_tokens_of_a_video_are_refused_as_those_of_a_picture(tmp_path: Path) -> None:
    folder = save_tiny_video_model(tmp_path)
    video = load(folder, device="cpu")
    with pytest.raises(PromptError, match="has '<video>' in it"):
        video_inputs(video, [[PICTURE] * 8], ["A <video>?"])


def test_names_of_tokens_are_known_from_processors_and_tokenizers() -> None:
    class Processor:
        image_token = "[IMG]"
        boi_token = "<start_of_image>"
        vision_start_token = "<|vision_start|>"
        image_newline_token = "\n"
        bos_token = "<s>"

    for text in ("an [IMG]", "<start_of_image>", "<|vision_start|>"):
        with pytest.raises(PromptError):
            check_text(Processor(), text)
    check_text(Processor(), "two lines\nand <s>")


@pytest.mark.parametrize("error", [ValueError("two\nlines"), IndexError(), KeyError("x"), RuntimeError("no")])
def test_whatever_a_processor_raises_is_one_line_with_the_request(error: Exception) -> None:
    with pytest.raises(PromptError, match=r"does not take 'What is this\?'") as raised, asking(["What\nis this?"]):
        raise error
    assert "\n" not in str(raised.value)


def test_what_is_not_about_a_request_is_not_its_error() -> None:
    for error, kind in ((ImportError("torchvision"), InputError), (MemoryError(), MemoryError)):
        with pytest.raises(kind) as raised, asking(["?"]):
            raise error
        assert not isinstance(raised.value, PromptError)
