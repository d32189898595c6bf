"""Frames become what the video model takes, without torchvision, and a saved processor is the same again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_checkpoint import save_tiny_llava
from tiny_video_checkpoint import save_tiny_video_model
from transformers import AutoModelForImageTextToText

from farsight.errors import InputError
from farsight.inputs.frames_processor import FramesProcessor, has_frames_processor
from farsight_scenes.video.videos import render_video, sample_video

FRAMES = [render_video(sample_video("test", index), 64) for index in range(2)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_video_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def processor(folder: Path) -> FramesProcessor:
    return FramesProcessor.from_pretrained(folder)


def talk(frames: list[Image.Image], text: str) -> list[dict[str, object]]:
    return [{"role": "user", "content": [{"type": "video", "video": frames}, {"type": "text", "text": text}]}]


def test_a_prompt_has_a_place_for_every_visual_token(processor: FramesProcessor) -> None:
    made = processor.apply_chat_template(talk(FRAMES[0], "What?"), add_generation_prompt=True, tokenize=True)
    assert processor.apply_chat_template(talk(FRAMES[0], "What?"), add_generation_prompt=True) == (
        "USER: <video>\nWhat? ASSISTANT:"
    )
    token = processor.tokenizer.convert_tokens_to_ids("<video>")
    assert (made["input_ids"] == token).sum() == processor.tokens == 128
    assert made["input_ids"][0, 0] == processor.tokenizer.bos_token_id
    assert made["pixel_values_videos"].shape == (1, 8, 3, 128, 128)


def test_pixels_are_the_frames_in_order_from_minus_1_to_1(processor: FramesProcessor) -> None:
    pixels = processor.pixels(FRAMES)
    for video, frames in zip(pixels, FRAMES, strict=True):
        for seen, frame in zip(video, frames, strict=True):
            wanted = np.asarray(frame.resize((128, 128), Image.Resampling.BICUBIC), np.float64) / 127.5 - 1
            assert np.allclose(seen.permute(1, 2, 0).numpy(), wanted, atol=1e-5)


def test_what_shares_a_batch_changes_nothing(folder: Path, processor: FramesProcessor) -> None:
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    prompts = ["What happens in the video?", "Is there a cup?"]
    talks = [talk(frames, prompt) for frames, prompt in zip(FRAMES, prompts, strict=True)]
    both = processor.apply_chat_template(
        talks, add_generation_prompt=True, tokenize=True, processor_kwargs={"padding": True}
    )
    assert processor.tokenizer.padding_side == "left"
    with torch.no_grad():
        together = model(**both).logits[:, -1]
        for number, one in enumerate(talks):
            alone = model(**processor.apply_chat_template(one, add_generation_prompt=True, tokenize=True)).logits[0, -1]
            assert torch.allclose(together[number], alone, atol=1e-4)


def test_a_saved_processor_is_the_same_again(processor: FramesProcessor, tmp_path: Path) -> None:
    processor.save_pretrained(tmp_path)
    again = FramesProcessor.from_pretrained(tmp_path)
    one, other = (p.apply_chat_template(talk(FRAMES[1], "A cup enters?"), tokenize=True) for p in (processor, again))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert (again.frames, again.tokens) == (8, 128)


def test_only_videos_of_the_right_length_are_taken(processor: FramesProcessor) -> None:
    with pytest.raises(InputError, match="has 8 frames, not 3"):
        processor(text=["<video> What?"], videos=[FRAMES[0][:3]])
    with pytest.raises(InputError, match="exactly one <video>"):
        processor(text=["What?"], videos=[FRAMES[0]])


def test_a_folder_says_whether_it_has_such_a_processor(folder: Path, tmp_path: Path) -> None:
    assert has_frames_processor(folder)
    assert not has_frames_processor(save_tiny_llava(tmp_path / "llava"))
    assert not has_frames_processor("llava-hf/llava-1.5-7b-hf")
