"""Every file that a command reads x everything that can be wrong with a file: one line that names it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CAPTION = {"image_id": 1, "caption": "A dog.", "objects": ["dog"]}
QUESTION = {"question_id": 1, "image": "1.png", "text": "Is there a dog?", "label": "yes"}
RELATION = {"dog": ["puppy"]}
GENERATIVE = {"id": 1, "type": "generative", "truth": ["dog"], "hallu": []}


def sound(folder: Path) -> dict[str, Path]:
    """Files with nothing wrong in them, by what they are."""
    texts = {
        "captions": json.dumps(CAPTION),
        "objects": json.dumps(CAPTION),
        "questions": json.dumps(QUESTION),
        "answers": json.dumps({"question_id": 1, "answer": "Yes"}),
        "responses": json.dumps([{"id": 1, "response": "A dog."}]),
        "vocabulary.txt": "dog, puppy",
        "vocabulary.toml": "[objects]\ndog = ['puppy']",
        "annotations.json": json.dumps([GENERATIVE]),
        "relation.json": json.dumps(RELATION),
        "safe_words.txt": "man",
        "vectors": "dog 1 2\npuppy 2 1",
        "methods": "- greedy",
        "plan": "",
        "strengths": "{}",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return {name: folder / name for name in texts}


def chair(files: dict[str, Path]) -> list[object]:
    return ["chair", files["captions"], "--objects", files["objects"]]


def pope(files: dict[str, Path]) -> list[object]:
    return ["pope", files["answers"], "--questions", files["questions"]]


def amber(files: dict[str, Path]) -> list[object]:
    return ["amber", files["responses"], "--data", files["relation.json"].parent]


READERS: dict[str, tuple[str, Callable[[dict[str, Path]], list[object]]]] = {
    "captions": ("captions", chair),
    "objects": ("objects", chair),
    "captions of audit": ("captions", lambda files: ["audit", *chair(files)[1:]]),
    "vocabulary": ("vocabulary.txt", lambda files: [*chair(files), "--synonyms", files["vocabulary.txt"]]),
    "vocabulary in TOML": ("vocabulary.toml", lambda files: [*chair(files), "--synonyms", files["vocabulary.toml"]]),
    "questions": ("questions", pope),
    "answers": ("answers", pope),
    "objects of questions": ("objects", lambda files: ["pope-questions", files["objects"], "--out", files["plan"]]),
    "responses": ("responses", amber),
    "annotations of AMBER": ("annotations.json", amber),
    "relation of AMBER": ("relation.json", amber),
    "safe words of AMBER": ("safe_words.txt", amber),
    "vectors": ("vectors", lambda files: [*amber(files), "--vectors", files["vectors"]]),
    "methods": ("methods", lambda files: ["eval", "--out", files["plan"], "--config", files["methods"]]),
    "a plan": ("plan", lambda files: ["train", "--out", files["captions"], "--config", files["plan"]]),
    "strengths": (
        "strengths",
        lambda files: ["describe", PICTURE, "--method", f"farsight(load={files['strengths']})"],
    ),
}  # fmt: skip
PICTURE = Path(__file__).parents[2] / "examples" / "park.png"

DAMAGE: dict[str, bytes] = {
    "empty": b"",
    "spaces": b" \n \n",
    "bytes": bytes(range(256)),
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "latin": "caf\xe9".encode("latin-1"),
    "zeros": b"\0" * 1000,
    "null": b"null",
    "a number": b"1",
    "6,000 digits": b"9" * 6000,
    "a number of 6,000 digits in a row": b'{"image_id": 1, "question_id": 1, "n": ' + b"9" * 6000 + b"}",
    "a list of a thousand levels": b"[" * 1000 + b"]" * 1000,
    "lists without end": b"[" * 100_000,
    "tables without end": b'{"a":' * 100_000,
    "levels in a row": b'{"image_id": 1, "question_id": 1, "deep": ' + b"[" * 500 + b"]" * 500 + b"}",
    "points": b"a." * 90_000 + b"a = 1",
    "aliases": b"a: &a [x, x]\n"
    + b"".join(b"%c: &%c [*%c, *%c, *%c]\n" % (n + 1, n + 1, n, n, n) for n in range(97, 117)),
    "an infinity as a number": b'[{"id": 1e400, "image_id": 1e400, "question_id": 1e400, "type": "generative"}]',
    "lists of lists": b"[[1]]",
    "a text as a row": b'["a"]',
    "odd keys": b"- {method: farsight, null: 1}",
    "a date that is none": b"- {method: farsight, sigma: 2001-99-99}",
    "nesting in COCO's format": b'{"images": ' + b"[" * 100_000,
    "COCO without end": b'{"annotations": [{"image_id": 1, "caption": "' + b"x" * 10_000,
}


def checked(result: Any, path: Path) -> None:
    assert result.exit_code in (0, 2), result.exception
    if result.exit_code == 2:
        assert isinstance(result.exception, SystemExit)
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert path.name in result.stderr
        assert len(result.stderr) < 1000


# What is sound in some format although it is damage in most: a text file of words, questions of nothing.
TEXTS = {"vocabulary", "safe words of AMBER"}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("reader", READERS)
def test_damage_is_one_line_that_names_the_file(run: Any, tmp_path: Path, reader: str, damage: str) -> None:
    files = sound(tmp_path)
    name, command = READERS[reader]
    files[name].write_bytes(DAMAGE[damage])
    result = run(*command(files))
    checked(result, files[name])
    if reader not in TEXTS:
        assert result.exit_code == 2, result.stdout


def folder(path: Path) -> None:
    path.mkdir()


def loop(path: Path) -> None:
    path.symlink_to(path)


def large(path: Path) -> None:
    path.touch()
    os.truncate(path, 30_000_000_000)


NO_FILES = {"missing": lambda path: None, "folder": folder, "loop": loop, "pipe": os.mkfifo, "large": large}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_file_is_one_line_that_names_it(
    run: Any, tmp_path: Path, reader: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farsight.files.opening.PATIENCE_WITHOUT_WRITER", 0.05)
    files = sound(tmp_path)
    name, command = READERS[reader]
    files[name].unlink()
    NO_FILES[kind](files[name])
    result = run(*command(files))
    checked(result, files[name])
    assert result.exit_code == 2
