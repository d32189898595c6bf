"""The real VLMEvalKit with the embedded model on a local file of questions: `make test-vlmevalkit`."""

from __future__ import annotations

import base64
import csv
import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vlmeval")

import pandas as pd
import vlmeval.vlm
from PIL import Image
from vlmeval.config import supported_VLM
from vlmeval.vlm.base import BaseModel

from farsight.errors import SettingError, UnsupportedModelError
from farsight.evaluate.local import answer
from farsight.evaluate.tasks import DESCRIBE
from farsight.inputs.checkpoints import load
from farsight.methods.grammar import parse_methods
from farsight.vlmevalkit.launcher import file_name, main
from farsight.vlmevalkit.model import make
from farsight_scenes import checkpoint_path
from farsight_scenes.draw import draw

METHODS = "greedy, farsight(sigma=0.05, rows=generated), vcd"
PICTURES, TOKENS = 3, 40


class Scenes(BaseModel):
    """A model of VLMEvalKit as its guide has one: those that it comes with want CUDA."""

    INSTALL_REQ = False
    INTERLEAVE = False

    def __init__(self, path: str) -> None:
        super().__init__()
        self.loaded = load(path, device="cpu")
        self.model = self.loaded.model

    def generate_inner(self, message: list[dict[str, str]], dataset: str | None = None) -> str:
        from farsight.inputs.prompts import prompt_inputs

        prompt, path = self.message_to_promptimg(message, dataset=dataset)
        inputs = prompt_inputs(self.loaded, Image.open(path).convert("RGB"), prompt)
        generate: Any = self.model.generate
        output = generate(**inputs, max_new_tokens=TOKENS, do_sample=False)
        text: str = self.loaded.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return text.strip()


@pytest.fixture
def questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """A TSV of VLMEvalKit's form beside nothing else."""
    draw("test", PICTURES, tmp_path / "scenes")
    rows = []
    for index, path in enumerate(sorted((tmp_path / "scenes").glob("*.png"))):
        picture = base64.b64encode(path.read_bytes()).decode()
        rows.append({"index": str(index), "image": picture, "question": DESCRIBE, "answer": "?"})
    assert len(rows) == PICTURES
    root = tmp_path / "LMUData"
    root.mkdir()
    with (root / "ScenesVQA_openended.tsv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        table.writeheader()
        table.writerows(rows)
    monkeypatch.setenv("LMUData", str(root))
    monkeypatch.setenv("PRED_FORMAT", "tsv")
    monkeypatch.setitem(supported_VLM, "scenes", partial(Scenes, str(checkpoint_path())))
    return rows


def test_vlmevalkit_gives_each_methods_own_answers(questions: list[dict[str, str]], tmp_path: Path) -> None:
    out = tmp_path / "out"
    main([*f"--model scenes --data ScenesVQA_openended --mode infer --work-dir {out} --method".split(), METHODS])
    loaded, different = load(str(checkpoint_path()), device="cpu"), set()
    for label, method in parse_methods(METHODS).items():
        [file] = out.glob(f"scenes+{file_name(label)}/**/*ScenesVQA_openended.tsv")
        said = [str(one).strip() for one in pd.read_csv(file, sep="\t")["prediction"]]
        expected = []
        for row in questions:
            picture = Image.open(io.BytesIO(base64.b64decode(row["image"]))).convert("RGB")
            [one] = answer(loaded, method, [picture], [row["question"]], max_new_tokens=TOKENS)
            expected.append(one.text)
        assert said == expected
        different.add(tuple(said))
    assert len(different) > 1
    assert "scenes+vcd" not in supported_VLM


@pytest.mark.usefixtures("questions")
def test_a_config_file_of_vlmevalkit_is_run_with_each_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vlmeval.vlm, "Scenes", Scenes, raising=False)
    data = {"ScenesVQA_openended": {"class": "CustomVQADataset", "dataset": "ScenesVQA_openended"}}
    config, out = tmp_path / "config.json", tmp_path / "out"
    config.write_text(
        json.dumps({"model": {"mine": {"class": "Scenes", "path": str(checkpoint_path())}}, "data": data})
    )
    main(["--method", "greedy", "--config", str(config), "--mode", "infer", "--work-dir", str(out)])
    [file] = out.glob("mine+greedy/**/*ScenesVQA_openended.tsv")
    assert len(pd.read_csv(file, sep="\t")) == PICTURES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "no_such_model"], "has no model 'no_such_model'"),
        (["--model", "scenes", "--use-vllm"], "--use-vllm: methods change a model in this process"),
        ([], "give --model NAME"),
    ],
    ids=["unknown", "elsewhere", "nothing"],
)
def test_what_cannot_be_asked_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        main(["--method", "farsight", *arguments])


def test_a_model_that_runs_elsewhere_is_refused() -> None:
    class Remote:
        model = "gpt"

    with pytest.raises(UnsupportedModelError, match="has no PyTorch model in this process"):
        make("remote", Remote, parse_methods("farsight")["farsight"])
