"""``farsight describe``: as text, side by side, as JSON."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from refusals import refused
from tiny_checkpoint import save_tiny_llama

from farsight.description import Words, generate, printable
from farsight.farsight import FarSight
from farsight.images import open_image
from farsight.inputs.checkpoints import load
from farsight.method import Plain

STRONG = ["--method", "farsight(sigma=0.01, strength=1000.0, horizon=infinite)"]


def test_options_that_would_change_nothing_are_refused(run: Any, picture: Path, tmp_path: Path) -> None:
    refused(run("describe", picture, "--synonyms", "scenes"), "--synonyms is of no use")
    for option, value in (("images", "."), ("prompt", "?"), ("device", "cpu"), ("dtype", "float32")):
        said = f"--{option} is of no use: it is for --perplexity; leave it out"
        refused(run("chair", "c.jsonl", "--objects", "o.jsonl", f"--{option}", value), said)


def test_the_token_of_a_picture_in_the_own_text_is_one_line_in_every_command(
    run: Any, model: Path, picture: Path, tmp_path: Path
) -> None:
    said = "'An <image>?' has '<image>' in it"
    ask = ["--model", model, "-n", 2]
    refused(run("describe", picture, *ask, "-p", "An <image>?"), said)
    refused(run("describe", picture, *ask, "-p", "An <image>?", "--compare", "--json"), said)
    refused(run("diagnose", picture, *ask, "-p", "An <image>?", "--out", tmp_path / "out"), said)
    refused(run("diagnose", picture, *ask, "--answer", "An <image>?", "--out", tmp_path / "out"), said)
    refused(run("calibrate", "--images", picture.parent, *ask, "-p", "An <image>?", "--out", tmp_path / "c.json"), said)
    captions, objects = tmp_path / "captions.jsonl", tmp_path / "objects.jsonl"
    captions.write_text('{"image_id": "red", "caption": "An <image>?"}')
    objects.write_text('{"image_id": "red", "objects": []}')
    measure = ["chair", captions, "--objects", objects, "--perplexity", model, "--images", picture.parent]
    refused(run(*measure), f"captions, the caption of image red: {said}")
    captions.write_text('{"image_id": "red", "caption": "A dog."}')
    refused(run(*measure, "--prompt", "An <image>?"), said)


def test_a_picture_is_described(run: Any, model: Path, picture: Path) -> None:
    result = run("describe", picture, "--model", model, "-n", 8)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].endswith("red.png") or str(picture) in result.stdout.replace("\n", "")
    assert lines[-1].startswith("farsight: 8 tokens in ")
    assert result.stderr == ""


def test_text_is_handed_on_word_by_word(model: Path) -> None:
    tokenizer = load(model, device="cpu").tokenizer
    shown: list[str] = []
    words = Words(tokenizer, shown.append)
    words.put(tokenizer("the prompt is not shown", return_tensors="pt").input_ids)
    for token in tokenizer(" a red ball", return_tensors="pt").input_ids[0]:
        words.put(token.reshape(1))
    words.end()
    assert shown == ["a ", "red ", "ball"]


def test_what_is_streamed_is_what_is_returned(model: Path, picture: Path) -> None:
    loaded, shown = load(model, device="cpu"), []
    said = generate(loaded, FarSight(), open_image(picture), "Describe.", 12, show=shown.append)
    assert "".join(shown).strip() == said.text
    assert said.tokens == 12
    assert said.seconds > 0


def test_a_description_cannot_write_over_the_terminal() -> None:
    assert printable("a\x1b[2Jb\r\x07c\nd\te") == "a[2Jbc\nd\te"


def test_json_has_all_that_is_needed_to_repeat_it(run: Any, model: Path, picture: Path) -> None:
    result = run(
        "describe", picture, "--model", model, "--json", "-n", 6, "--prompt", "What is this?", "--method",
        "farsight(sigma=0.5, horizon=128, layers=[0, 2], heads=1-2, rows=generated, profile=linear)",
    )  # fmt: skip
    assert (result.exit_code, result.stderr) == (0, "")
    [record] = json.loads(result.stdout)
    settings = record.pop("method")
    expected = {
        "name": "farsight",
        "sigma": 0.5,
        "horizon": 128,
        "layers": [0, 2],
        "heads": [1, 2],
        "rows": "generated",
    }
    assert settings.items() >= (expected | {"slopes": None}).items()
    assert record["text"] == generate(
        load(model, device="cpu"),
        FarSight(sigma=0.5, horizon=128, layers=(0, 2), heads=(1, 2), rows="generated"),
        open_image(picture), "What is this?", 6,
    ).text  # fmt: skip
    assert record.items() >= {
        "image": str(picture), "model": str(model), "prompt": "What is this?", "tokens": 6, "max_new_tokens": 6,
        "device": "cpu", "dtype": "float32",
    }.items()  # fmt: skip
    assert record["seconds"] > 0
    assert record["tokens_per_second"] == pytest.approx(6 / record["seconds"], rel=0.01)


def test_json_is_one_list_for_several_pictures_and_both_methods(run: Any, model: Path, picture: Path) -> None:
    records = json.loads(run("describe", picture, picture, "--model", model, "--json", "--compare", "-n", 3).stdout)
    assert [record["method"]["name"] for record in records] == ["plain", "farsight"] * 2


def test_constant_profiles_and_slopes_reach_the_method(run: Any, model: Path, picture: Path) -> None:
    args = ["describe", picture, "--model", model, "--json", "-n", 2]
    [record] = json.loads(run(*args, "--method", "farsight(profile=0.001, slopes=None)").stdout)
    assert (record["method"]["profile"], record["method"]["slopes"]) == (0.001, None)
    [record] = json.loads(run(*args, "--method", "farsight(slopes=alibi)").stdout)
    assert record["method"]["slopes"] == "alibi"
    assert record["method"]["sigma"] == pytest.approx(math.log(256, 1024))


def test_plain_is_the_model_as_it_is(run: Any, model: Path, picture: Path) -> None:
    [record] = json.loads(run("describe", picture, "--model", model, "--json", "--method", "greedy", "-n", 9).stdout)
    loaded = load(model, device="cpu")
    assert record["method"] == {"name": "plain"}
    assert record["text"] == generate(loaded, Plain(), open_image(picture), record["prompt"], 9).text


def test_compare_shows_both_and_what_each_took(run: Any, model: Path, picture: Path) -> None:
    result = run("describe", picture, picture, "--model", model, "--compare", "-n", 8, *STRONG, columns=140)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.count("tokens/s") == 4
    assert "greedy" in result.stdout
    assert "farsight(sigma=0.01, horizon=infinite, strength=1000.0)" in result.stdout
    assert "[-" in result.stdout
    assert "{+" in result.stdout
    assert result.stdout.rstrip().endswith("single runs after a short warm-up, not a benchmark.")


def test_compare_says_when_nothing_changed(run: Any, model: Path, picture: Path) -> None:
    result = run("describe", picture, "--model", model, "--compare", "-n", 8, "--method", "farsight(sigma=50)")
    assert "The two descriptions are identical." in result.stdout
    assert "[-" not in result.stdout


def test_the_embedded_model_describes_the_examples(run: Any) -> None:
    examples = sorted((Path(__file__).parents[2] / "examples").glob("*.png"))
    assert examples
    records = json.loads(run("describe", *examples[:2], "--json", "--device", "cpu").stdout)
    for record in records:
        assert record["model"] == "embedded"
        assert len(record["text"].split()) >= 10


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    template = "{% for message in messages %}{{ message['content'] }}? {% endfor %}"
    return save_tiny_llama(tmp_path_factory.mktemp("text"), template=template)


def test_without_a_picture_the_prompt_is_all(run: Any, text_model: Path, model: Path) -> None:
    ask = ["-p", "What is in a kitchen", "-n", 8]
    said = run("describe", "--model", text_model, *ask)
    assert said.exit_code == 0, said.stderr
    assert said.stdout.splitlines()[-1].startswith("farsight: 8 tokens in ")
    [plain, mine] = json.loads(run("describe", "--model", text_model, *ask, *STRONG, "--compare", "--json").stdout)
    assert plain["image"] is None
    assert plain["text"] != mine["text"]
    assert run("describe", "--model", text_model, *ask, "--compare").exit_code == 0
    assert json.loads(run("describe", "--model", model, *ask, "--json").stdout)[0]["tokens"] == 8


def test_what_needs_a_picture_says_so(run: Any, text_model: Path, picture: Path, tmp_path: Path) -> None:
    refused(run("describe"), "there is nothing to describe: give a picture, or ask without one with --prompt")
    refused(run("describe", "-p", "Hm?", "--explain"), "--explain is of no use: it is about pictures")
    refused(run("describe", picture, "--model", text_model), "takes no pictures: ask it without one")
    vcd = run("describe", "-p", "Hm?", "--model", text_model, "--method", "vcd")
    refused(vcd, "this model reads only text", "try farsight, beam or dola")


def test_a_folder_is_the_pictures_in_it_and_a_photograph_is_nothing_to_the_embedded_model(
    run: Any, picture: Path, model: Path
) -> None:
    asked = ["--json", "-n", 2, "--device", "cpu"]
    one = run("describe", picture.parent, "-m", model, *asked)
    assert [row["image"] for row in json.loads(one.stdout)] == [str(picture)]
    assert one.stderr == ""
    assert "the embedded model knows scenes that farsight draws" in run("describe", picture, *asked).stderr
    drawn = Path(__file__).parents[2] / "examples" / "park.png"
    assert run("describe", drawn, *asked).stderr == ""
