"""The embedded model loads like any LLaVA, looks at the picture, and is what its card says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor

from farsight.scenes import checkpoint_path, mentions, sample_scene
from farsight.scenes.measure import PROMPT, Speaker, measure_captions, score_captions
from farsight.scenes.render import render

SCENES = [sample_scene("test", index) for index in range(24)]


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return Speaker(checkpoint_path())


def test_the_folder_is_small_and_has_no_pickle() -> None:
    files = [path for path in checkpoint_path().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 10_000_000
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".jinja", ".md"}
    assert {"model.safetensors", "README.md"} <= {path.name for path in files}


def test_importing_the_package_does_not_import_the_training_code() -> None:
    code = "import sys, farsight.scenes; sys.exit('farsight.scenes.train' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_it_loads_through_auto_classes_and_its_chat_template(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    processor = AutoProcessor.from_pretrained(checkpoint_path())
    model = AutoModelForImageTextToText.from_pretrained(checkpoint_path(), dtype=torch.float32)
    message = {
        "role": "user",
        "content": [{"type": "image", "image": render(SCENES[0])}, {"type": "text", "text": PROMPT}],
    }
    inputs = processor.apply_chat_template(
        [message], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert processor.tokenizer.padding_side == "left"
    assert inputs["input_ids"][0, 0] == processor.tokenizer.bos_token_id
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == 64
    text = processor.apply_chat_template([message], add_generation_prompt=True)
    assert text == f"USER: <image>\n{PROMPT} ASSISTANT:"
    out = model.generate(**inputs, do_sample=False)
    assert out[0, -1] == model.generation_config.eos_token_id
    assert mentions(processor.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :]))


def test_it_describes_what_it_sees_but_not_only(speaker: Speaker) -> None:
    own, texts = measure_captions(speaker, SCENES, SCENES)
    shuffled = score_captions([*texts[1:], texts[0]], SCENES)
    assert own.recall > 55
    assert 0 < own.false_mentions < 25
    assert own.unfinished < 10
    assert shuffled.recall < own.recall - 30
    assert shuffled.false_mentions > own.false_mentions + 40


@pytest.mark.parametrize("prompt", ["", "¿Qué ves? 看图 🙂 zxqj", "describe " * 40])
def test_any_prompt_is_answered(speaker: Speaker, prompt: str) -> None:
    (answer,) = speaker.answer(SCENES[:1], [prompt], tokens=8)
    assert answer


def test_example_pictures_have_true_objects() -> None:
    examples = Path(__file__).parents[2] / "examples"
    rows = json.loads((examples / "scenes.json").read_text(encoding="utf-8"))
    assert len(rows) == 4
    for row in rows:
        scene = sample_scene(row["split"], row["index"])
        assert row["objects"] == list(scene.objects)
        with Image.open(examples / row["file_name"]) as picture:
            assert picture.tobytes() == render(scene, picture.width).tobytes()
