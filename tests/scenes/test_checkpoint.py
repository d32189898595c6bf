"""The embedded model loads like any LLaVA, looks at the picture, and is what its card says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from transformers import AutoModelForImageTextToText, AutoProcessor

from farsight_scenes import checkpoint_path, mentions, sample_scene
from farsight_scenes.language import counted_prompt
from farsight_scenes.measure import PROMPT, caption_report, measure
from farsight_scenes.render import render
from farsight_scenes.speaker import Speaker

SCENES = [sample_scene("test", index) for index in range(24)]


@pytest.fixture(scope="module")
def speaker() -> Speaker:
    return Speaker(checkpoint_path())


@pytest.fixture(scope="module")
def pictures(speaker: Speaker) -> torch.Tensor:
    return speaker.look(SCENES)


def test_the_folder_is_small_and_has_no_pickle() -> None:
    files = [path for path in checkpoint_path().rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 15_000_000
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".jinja", ".md"}
    assert {"model.safetensors", "README.md"} <= {path.name for path in files}


def test_the_weights_have_the_names_of_published_checkpoints() -> None:
    with safe_open(checkpoint_path() / "model.safetensors", "pt") as weights:
        tower = [name for name in weights.keys() if name.startswith("vision_tower.")]  # noqa: SIM118
    assert tower
    assert all(name.startswith("vision_tower.vision_model.") for name in tower)


def test_importing_the_package_does_not_import_the_training_code() -> None:
    code = "import sys, farsight_scenes; sys.exit('torch' in sys.modules or 'farsight_scenes.train' in sys.modules)"
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
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == model.config.image_seq_length == 64
    text = processor.apply_chat_template([message], add_generation_prompt=True)
    assert text == f"USER: <image>\n{PROMPT} ASSISTANT:"
    out = model.generate(**inputs, do_sample=False)
    assert out[0, -1] == model.generation_config.eos_token_id
    assert mentions(processor.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :]))


def test_it_describes_what_it_sees_but_not_only(speaker: Speaker, pictures: torch.Tensor) -> None:
    own, exchanged = (
        caption_report(speaker.answer(shown, [PROMPT] * len(SCENES)), SCENES)
        for shown in (pictures, pictures.roll(1, 0))
    )
    assert own["recall"] > 65
    assert 2 < own["chair_i"] < 30
    assert own["unfinished"] < 5
    assert exchanged["recall"] < own["recall"] - 30
    assert exchanged["chair_i"] > own["chair_i"] + 30


def test_it_names_as_many_objects_as_it_is_asked_for(speaker: Speaker, pictures: torch.Tensor) -> None:
    counts = [min(len(scene.things), 3 + number % 4) for number, scene in enumerate(SCENES)]
    answers = speaker.answer(pictures, [counted_prompt(count) for count in counts])
    asked = [answer.text.count(".") == count for answer, count in zip(answers, counts, strict=True)]
    assert sum(asked) >= 22
    assert all(answer.text.startswith("There is a") for answer in answers)


def test_what_shares_a_batch_changes_nothing(speaker: Speaker, pictures: torch.Tensor) -> None:
    prompts = [PROMPT, "What is in this picture?", "Is there a cup in the image?", counted_prompt(4)]
    together = speaker.answer(pictures[:4], prompts)
    alone = [speaker.answer(pictures[row : row + 1], [prompt])[0] for row, prompt in enumerate(prompts)]
    assert together == alone


@pytest.mark.parametrize("prompt", ["", "¿Qué ves? 看图 🙂 zxqj", "describe " * 40])
def test_any_prompt_is_answered(prompt: str, speaker: Speaker, pictures: torch.Tensor) -> None:
    (answer,) = speaker.answer(pictures[:1], [prompt], tokens=8)
    assert answer.tokens


def test_measuring_writes_what_was_said(speaker: Speaker, tmp_path: Path) -> None:
    report = measure(speaker, SCENES[:3], tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "captions.jsonl").read_text().splitlines()]
    assert [row["image_id"] for row in rows] == [scene.image_id for scene in SCENES[:3]]
    answers = [json.loads(line) for line in (tmp_path / "answers_pope_adversarial.jsonl").read_text().splitlines()]
    assert len(answers) == report["pope_adversarial"]["questions"] == 18
    right = sum((row["answer"].lower().startswith("yes")) == (row["label"] == "yes") for row in answers)
    assert report["pope_adversarial"]["accuracy"] == pytest.approx(100 * right / 18, abs=0.05)
    assert len(report["attention_picture"]) == speaker.model.config.text_config.num_hidden_layers


def test_example_pictures_have_true_objects() -> None:
    examples = Path(__file__).parents[2] / "examples"
    rows = json.loads((examples / "scenes.json").read_text(encoding="utf-8"))
    assert len(rows) == 4
    for row in rows:
        scene = sample_scene(row["split"], row["index"])
        assert row["objects"] == list(scene.objects)
        with Image.open(examples / row["file_name"]) as picture:
            assert picture.tobytes() == render(scene, picture.width).tobytes()
