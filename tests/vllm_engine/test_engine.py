"""The engine of `farsight eval --engine vllm`, held against the local one, answer by answer."""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from vllm_engine import reference
from vllm_engine.engine_processes import below, engines, gone, ranks

from farsight import FarSight, Plain
from farsight.errors import InputError, SettingError
from farsight.evaluate.engine import Answer, Failure, Request
from farsight.evaluate.local import LocalEngine
from farsight.evaluate.vllm_engine import VllmEngine
from farsight.inputs.checkpoints import load
from farsight_scenes import checkpoint_path

STRENGTHS = [[0.5, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [1] * 6, [0, 0, 9, 9, 0, 0]]
PER_HEAD = {"slopes": "alibi", "strength": [[8 * strength for strength in layer] for layer in STRENGTHS]}
PROMPTS = (reference.PROMPT, "Is there a tree in the image? Please answer yes or no.")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    paths = [folder / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        reference.picture(number).save(path)
    return paths


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The embedded model, whose answers end at the word "You" too, and which says nothing again so gladly."""
    folder = tmp_path / "model"
    shutil.copytree(checkpoint_path(), folder)
    config = json.loads((folder / "generation_config.json").read_text())
    words = load(folder).tokenizer
    config |= {"eos_token_id": [words.convert_tokens_to_ids("ĠYou"), 2], "repetition_penalty": 1.2}
    (folder / "generation_config.json").write_text(json.dumps(config))
    return folder


def request(number: int, method: Any, paths: list[Path], prompt: str, length: int) -> Request:
    return Request(
        number=number, method=method, paths=paths, medium="image", prompts=[prompt] * len(paths), max_new_tokens=length
    )


def test_two_processes_of_tensor_parallelism_answer_as_the_local_engine(
    checkpoint: Path, pictures: list[Path], tmp_path: Path
) -> None:
    """With registers of each head's own, the checkpoint's own ends and a picture that cannot be read; then it dies."""
    method = FarSight(horizon="infinite", rows="generated", **PER_HEAD)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    requests = [
        request(7, method, [*pictures, broken], PROMPTS[0], 32),
        request(8, method, pictures[:2], PROMPTS[1], 8),
        request(9, method, [broken], PROMPTS[1], 8),
    ]
    engine = VllmEngine(
        source=str(checkpoint), name="copy", dtype="float32", tensor_parallel_size=2, enforce_eager=True
    )
    answers = engine.answers([*requests, request(10, method, pictures, PROMPTS[0], 8)])
    found = dict(islice(answers, len(requests)))
    [process] = engines(os.getpid())
    started = below(process)
    assert len(ranks(process)) == 2
    os.kill(process, signal.SIGKILL)
    with pytest.raises(
        InputError, match=r"died while it answered 3 prompts \(exit code -9\); what is answered is safe"
    ):
        next(answers)
    assert gone([process, *started])

    local = LocalEngine(load=partial(load, checkpoint, device="cpu"))
    expected = {
        number: [
            replace(one, absorbed=None, seconds=None, peak_bytes=None) if isinstance(one, Answer) else one
            for one in said
        ]
        for number, said in local.answers(requests)
    }
    assert found == expected
    assert isinstance(found[7][-1], Failure)
    assert [one.ended for one in found[7][:-1]] == [True] * 3
    assert all(one.text.endswith(". You") for one in found[7][:-1])
    plain = dict(local.answers([replace(requests[0], method=Plain())]))
    assert [one.text for one in plain[7][:-1]] != [one.text for one in found[7][:-1]]


def test_nothing_but_greedy_decoding_is_asked(pictures: list[Path]) -> None:
    engine = VllmEngine(source=str(checkpoint_path()), name="embedded")
    asked = replace(request(0, Plain(), pictures[:1], PROMPTS[0], 8), generation={"do_sample": True})
    with pytest.raises(SettingError, match="decodes greedily: leave out do_sample"):
        list(engine.answers([asked]))
