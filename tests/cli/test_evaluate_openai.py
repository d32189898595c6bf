"""``farsight eval --engine openai``: a server answers, fails, comes back elsewhere, and every answer is there once."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from refusals import refused
from troubled_server import TORN, Behaves, Troubled, answer, prompt_of, status, troubled

pytest.importorskip("openai", reason="pip install openai")

PICTURES = 6


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, and no waiting between tries."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.001)
    monkeypatch.setattr("openai._base_client.MAX_RETRY_DELAY", 0.001)


@pytest.fixture
def pope(tmp_path: Path) -> list[object]:
    """A command but for its server and its folder."""
    images = tmp_path / "images"
    images.mkdir()
    for number in range(PICTURES):
        Image.new("RGB", (30, 20), (40 * number, 0, 0)).save(images / f"{number}.png")
    asked = [
        {"question_id": n, "image": f"{n}.png", "text": f"A dog in {n}?", "label": "yes" if n % 2 else "no"}
        for n in range(PICTURES)
    ]
    questions = tmp_path / "questions.jsonl"
    questions.write_text("".join(json.dumps(one) + "\n" for one in asked))
    return ["eval", "--engine", "openai", "-m", "m", "--task", "pope", "--images", images, "--questions", questions]


TWO = ["--methods", "greedy,farsight(horizon=infinite, sigma=0.0953)", "--batch-size", 2]


def knowing(asked: dict[str, Any], _: int) -> Any:
    """Answers with how many registers are in front, and to which question."""
    tokens = asked.get("chat_template_kwargs", {}).get("registers", 0)
    return answer(f"Yes, {prompt_of(asked)} {tokens}", prompt=10 + tokens)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]


def questions(server: Troubled) -> list[str]:
    return [prompt_of(asked) for asked in server.asked if prompt_of(asked).startswith("A dog")]


def test_each_method_asks_for_its_own_number_of_tokens(run: Any, pope: list[object], tmp_path: Path) -> None:
    with troubled(knowing) as server:
        made = run(*pope, *TWO, "--base-url", server.url, "--out", tmp_path / "run", "--json")
    assert made.exit_code == 0, made.stderr
    found = rows(tmp_path / "run")
    assert [row["text"].split()[-1] for row in found] == ["0"] * PICTURES + ["10"] * PICTURES
    assert {row["absorbed"] for row in found} == {None}
    config = json.loads(made.stdout)["config"]
    assert config["engine"] == {
        "name": "openai", "owner": "somebody",
        "asked": {
            "greedy": {"chat_template_kwargs": {"registers": 0}},
            "farsight(sigma=0.0953, horizon=infinite)": {"chat_template_kwargs": {"registers": 10}},
        },
    }  # fmt: skip
    assert (config["device"], config["weights"]) == ("server", None)


def test_a_run_whose_server_dies_goes_on_at_another_address(run: Any, pope: list[object], tmp_path: Path) -> None:
    def dying(asked: dict[str, Any], before: int) -> Any:
        return TORN if len(questions(server)) > 5 else knowing(asked, before)

    out = tmp_path / "run"
    with troubled(dying) as server:
        stopped = run(*pope, *TWO, "--base-url", server.url, "--out", out)
    assert stopped.exit_code == 2
    assert stopped.stderr.splitlines()[-1].startswith(f"error: the server at {server.url} does not answer (Connection")
    assert "what is answered is safe, and the same command goes on" in stopped.stderr
    begun = rows(out)
    assert len(begun) == 4
    with troubled(knowing) as server:
        assert run(*pope, *TWO, "--base-url", server.url, "--out", out).exit_code == 0
        assert len(questions(server)) == 2 * PICTURES - len(begun)
        assert run(*pope, *TWO, "--base-url", server.url, "--out", tmp_path / "whole").exit_code == 0
        asked = len(questions(server))
        assert run(*pope, *TWO, "--base-url", server.url, "--out", out).exit_code == 0
        assert len(questions(server)) == asked
    assert (out / "answers.jsonl").read_bytes() == (tmp_path / "whole" / "answers.jsonl").read_bytes()
    assert rows(out)[:4] == begun


def test_what_stays_wrong_is_counted_and_named(run: Any, pope: list[object], tmp_path: Path) -> None:
    def failing(asked: dict[str, Any], before: int) -> Any:
        return status(500, "out of luck") if prompt_of(asked) == "A dog in 3?" else knowing(asked, before)

    with troubled(failing) as server:
        made = run(*pope, "--methods", "greedy", "--base-url", server.url, "--out", tmp_path / "run")
    assert made.exit_code == 0
    assert "1 items could not be asked and are left out: questions/3: out of luck (status 500)" in made.stderr
    assert [row["failed"] for row in rows(tmp_path / "run") if row["failed"]] == ["out of luck (status 500)"]


def test_no_file_has_the_key(run: Any, pope: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")

    def telling(asked: dict[str, Any], before: int) -> Any:
        return status(400, "no, sk-secret") if prompt_of(asked) == "A dog in 3?" else knowing(asked, before)

    with troubled(telling) as server:
        made = run(*pope, "--methods", "greedy", "--base-url", server.url, "--out", tmp_path / "run")
    assert made.exit_code == 0
    assert server.keys == {"Bearer sk-secret"}
    assert "sk-secret" not in made.stdout + made.stderr
    for path in (tmp_path / "run").rglob("*"):
        assert path.is_dir() or b"sk-secret" not in path.read_bytes()


@pytest.mark.parametrize(
    ("args", "behaves", "because"),
    [
        (["--methods", "greedy,opera"], knowing, "method 'opera' cannot be asked of a server that has no methods by"),
        (["--methods", "greedy", "--controls"], knowing, "method 'constant(value=0.9)' cannot be asked"),
        (["--methods", "greedy", "-m", "other"], knowing, "--model 'other': the server at"),
        (["--methods", "farsight(horizon=infinite, sigma=0.0953)"], lambda *_: "yes", "the server makes 0 of it"),
        (["--methods", "greedy"], lambda *_: status(401, "who are you"), "who are you (status 401)"),
    ],
)
def test_what_the_server_cannot_do_is_refused_before_anything_is_written(
    run: Any, pope: list[object], tmp_path: Path, args: list[str], behaves: Behaves, because: str
) -> None:
    with troubled(behaves) as server:
        refused(run(*pope, *args, "--base-url", server.url, "--out", tmp_path / "run"), because)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("task", "because"),
    [
        ("lists", "this task has texts to go on with: choose one that asks, such as --task lists:chat"),
        ("lists:chat", "OpenAI's API has no repetition_penalty (1.1), and a server of 'somebody' is not known to take"),
    ],
)
def test_a_task_that_cannot_be_asked_so_begins_no_run(run: Any, tmp_path: Path, task: str, because: str) -> None:
    objects = tmp_path / "objects.jsonl"
    objects.write_text("".join(json.dumps({"image_id": n, "objects": ["dog", "cat", "car"]}) + "\n" for n in range(4)))
    with troubled(knowing) as server:
        args = ["-m", "m", "--task", task, "--objects", objects, "--methods", "greedy", "--base-url", server.url]
        refused(run("eval", "--engine", "openai", *args, "--out", tmp_path / "run"), because)
    assert not (tmp_path / "run" / "run.json").exists()


def test_lists_are_asked_as_texts(run: Any, tmp_path: Path) -> None:
    objects = tmp_path / "objects.jsonl"
    objects.write_text("".join(json.dumps({"image_id": n, "objects": ["dog", "cat", "car"]}) + "\n" for n in range(4)))
    with troubled(knowing, models={"data": [{"id": "m", "owned_by": "vllm"}]}) as server:
        args = [
            "-m",
            "m",
            "--task",
            "lists:chat",
            "--objects",
            objects,
            "--methods",
            "greedy",
            "--base-url",
            server.url,
        ]
        made = run("eval", "--engine", "openai", *args, "--out", tmp_path / "run")
    assert made.exit_code == 0, made.stderr
    asked = server.asked[-1]
    assert asked["messages"][0]["content"].startswith("Here is a list of the objects in a photo: car, cat, dog.")
    assert (asked["max_tokens"], asked["temperature"], asked["repetition_penalty"]) == (90, 0, 1.1)


def test_openai_s_client_is_named_where_it_is_missing(
    run: Any, pope: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    result = run(*pope, "--methods", "greedy", "--base-url", "http://127.0.0.1:1/v1", "--out", tmp_path / "run")
    refused(result, "--engine openai needs OpenAI's client", "pip install '.[openai]' in a clone of farsight")
