"""The embedded video model loads with Pillow alone and looks at the frames."""

import pytest
import torch
from PIL import Image
from transformers import LlavaNextVideoForConditionalGeneration

from farsight.inputs.frames_processor import FramesProcessor
from farsight_scenes import mentions, video_checkpoint_path
from farsight_scenes.video.language import DESCRIBE_VIDEO
from farsight_scenes.video.videos import render_video, sample_video

VIDEOS = [sample_video("test", index) for index in range(16)]


@pytest.fixture(scope="module")
def processor() -> FramesProcessor:
    return FramesProcessor.from_pretrained(video_checkpoint_path())


@pytest.fixture(scope="module")
def model() -> LlavaNextVideoForConditionalGeneration:
    folder = video_checkpoint_path()
    return LlavaNextVideoForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()


def test_the_folder_is_small_and_has_no_pickle() -> None:
    files = [path for path in video_checkpoint_path().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 15_000_000
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".jinja", ".md"}
    assert {"model.safetensors", "README.md"} <= {path.name for path in files}


def test_it_describes_the_video_that_it_is_given(
    processor: FramesProcessor, model: LlavaNextVideoForConditionalGeneration
) -> None:
    frames: list[list[Image.Image]] = [list(render_video(video)) for video in VIDEOS]
    shared = []
    for shown in (frames, frames[1:] + frames[:1]):
        talks = [
            [{"role": "user", "content": [{"type": "video", "video": v}, {"type": "text", "text": DESCRIBE_VIDEO[0]}]}]
            for v in shown
        ]
        inputs = processor.apply_chat_template(
            talks, add_generation_prompt=True, tokenize=True, processor_kwargs={"padding": True}
        )
        out = model.generate(**inputs, do_sample=False, max_new_tokens=160)
        said = processor.tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        found = [len(set(mentions(text)) & set(v.objects)) for text, v in zip(said, VIDEOS, strict=True)]
        shared.append(sum(found) / sum(len(video.objects) for video in VIDEOS))
    own, exchanged = shared
    assert own > 0.5
    assert exchanged < own - 0.25
