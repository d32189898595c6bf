"""``farsight chair`` and ``farsight audit``: tables, JSON, files, and errors on one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from refusals import refused

OBJECTS = [{"image_id": n, "objects": ["dog", "person"]} for n in range(8)]
GREEDY = [{"image_id": n, "caption": f"A dog and a cat, {'a man' if n % 2 else 'a kite'} and a car."} for n in range(8)]
OTHER = [{"image_id": n, "caption": f"A dog and {'a man' if n % 2 else 'a cat and a bench'}."} for n in range(8)]


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    rows = {"objects": OBJECTS, "greedy": GREEDY, "other": OTHER}
    return {name: jsonl(tmp_path / f"{name}.jsonl", one) for name, one in rows.items()}


def test_chair_shows_the_figures_next_to_length_and_repetition(run: Any, files: dict[str, Path]) -> None:
    result = run("chair", files["greedy"], "--objects", files["objects"])
    assert (result.exit_code, result.stderr) == (0, "")
    heading, _, row = [line.split() for line in result.stdout.splitlines() if line.strip()]
    figures = dict(zip(heading, row, strict=True))
    assert figures["CHAIR_S"] == "100.0"
    assert (figures["false"], figures["mentions"]) == ("20", "32")
    assert figures["CHAIR_I"] == "62.5"
    assert figures["recall"] == "75.0"
    assert {"first-3", "PSH", "F1", "objects", "words", "rep-4", "dist-1", "dist-2"} <= figures.keys()


def test_chair_compares_with_the_first_file_and_never_without_an_interval(run: Any, files: dict[str, Path]) -> None:
    result = run("chair", files["greedy"], files["other"], "--objects", files["objects"])
    [line] = [line for line in result.stdout.splitlines() if line.strip().startswith("CHAIR_S") and "[" in line]
    value, low, high, _, p = line.split()[1:]
    assert value == "-50.0"
    assert -100 <= float(low.strip("[,")) < -50 < float(high.strip("]")) <= 0
    assert float(p) == 2 * 0.5**4  # four captions differ, all in one direction
    assert "on the 8 pictures that both have" in result.stderr


@pytest.mark.parametrize("shared", [0, 1])
@pytest.mark.parametrize("command", ["chair", "audit"])
def test_files_with_too_few_pictures_in_common_are_scored_and_the_reason_is_given(
    run: Any, files: dict[str, Path], tmp_path: Path, command: str, shared: int
) -> None:
    first, second = jsonl(tmp_path / "first.jsonl", GREEDY[:4]), jsonl(tmp_path / "second.jsonl", OTHER[4 - shared :])
    both = (command, first, second, "--objects", files["objects"])
    result = run(*both)
    assert result.exit_code == 0, result.stderr
    assert f"second: no differences and no intervals, as the captions have {shared} pictures in common" in result.stderr
    assert "first" in result.stdout
    assert "minus" not in result.stdout
    found = json.loads(run(*both, "--json").stdout)
    assert list(found["files"]) == ["first", "second"]
    assert found["differences"] == {}
    assert f"{shared} pictures in common" in found["not_compared"]["second"]


def test_chair_gives_json_that_a_script_can_read(run: Any, files: dict[str, Path]) -> None:
    result = run("chair", files["greedy"], files["other"], "--objects", files["objects"], "--json")
    found = json.loads(result.stdout)
    assert found["files"]["greedy"]["chair_s"] == 1
    assert found["files"]["other"]["quality"]["words"] == 6.5
    assert found["baseline"] == "greedy"
    difference = found["differences"]["other"]["chair_s"]
    assert difference["low"] <= difference["difference"] == -0.5 <= difference["high"]
    assert difference["items"] == 8


def test_chair_writes_which_words_are_false_and_where(run: Any, files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "details.jsonl"
    assert run("chair", files["greedy"], "--objects", files["objects"], "--details", out).exit_code == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 8
    first = rows[0]["hallucinated"][0]
    assert rows[0]["caption"][first["start"] : first["end"]] == first["word"] == "cat"


@pytest.mark.parametrize(
    ("option", "cut", "text", "words"),
    [
        (("--words", 5), "after 5 words", "A dog and a cat", 5),
        (("--objects-at-most", 1), "after 1 distinct", "A dog", 2),
    ],
)
def test_a_cut_goes_into_figures_details_differences_and_json(
    run: Any, files: dict[str, Path], tmp_path: Path, option: tuple[str, int], cut: str, text: str, words: int
) -> None:
    out = tmp_path / "details.jsonl"
    both = ("chair", files["greedy"], files["other"], "--objects", files["objects"], *option)
    result = run(*both, "--details", out, "--json")
    assert result.exit_code == 0, result.stderr
    assert f"greedy: 8 of 8 captions cut {cut}" in result.stderr
    found = json.loads(result.stdout)
    assert list(found["cut"].values()).count(None) == 1
    assert option[1] in found["cut"].values()
    assert (found["files"]["greedy"]["cut_captions"], found["files"]["greedy"]["quality"]["words"]) == (8, words)
    assert found["differences"]["other"]["words"]["difference"] == (-0.5 + 0.5 if words == 5 else 0)
    first = json.loads(out.read_text().splitlines()[0])
    assert (first["caption"], first["cut"]) == (text, True)
    assert first["caption"][first["mentions"][0]["start"] : first["mentions"][0]["end"]] == "dog"


def test_perplexity_is_that_of_the_cut_caption(run: Any, files: dict[str, Path], model: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(8):
        Image.new("RGB", (32, 32), (20 * number, 0, 0)).save(pictures / f"{number}.png")
    short = jsonl(tmp_path / "short.jsonl", [row | {"caption": "A dog and"} for row in GREEDY])
    options = ("--objects", files["objects"], "--perplexity", model, "--images", pictures, "--json")
    cut, whole = (
        json.loads(run("chair", path, *options, *more).stdout)["files"][path.stem]["quality"]["perplexity"]
        for path, more in ((files["greedy"], ("--words", 3)), (short, ()))
    )
    assert cut == pytest.approx(whole)


@pytest.mark.parametrize("command", ["chair", "audit"])
@pytest.mark.parametrize("option", ["--words", "--objects-at-most"])
def test_a_cut_that_leaves_nothing_is_one_line(run: Any, files: dict[str, Path], command: str, option: str) -> None:
    refused(run(command, files["greedy"], "--objects", files["objects"], option, "0"), option)


def test_audit_takes_the_cuts_too(run: Any, files: dict[str, Path]) -> None:
    result = run("audit", files["greedy"], "--objects", files["objects"], "--words", 2, "--json")
    found = json.loads(result.stdout)
    assert found["cut"] == {"words": 2, "objects": None}
    assert found["files"]["greedy"]["before"]["mentions"] == 8


def test_chair_takes_a_vocabulary_of_ones_own(run: Any, files: dict[str, Path], tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("pet, dog, cat\nperson, man\n")
    result = run("chair", files["greedy"], "--objects", files["objects"], "--synonyms", mine, "--json")
    assert json.loads(result.stdout)["files"]["greedy"]["chair_s"] == 0


def test_files_of_one_name_are_told_apart_by_their_folders(run: Any, files: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    again = jsonl(tmp_path / "again" / "greedy.jsonl", OTHER)
    result = run("chair", files["greedy"], again, "--objects", files["objects"], "--json")
    assert list(json.loads(result.stdout)["files"]) == [f"{tmp_path.name}/greedy", "again/greedy"]


def test_perplexity_is_measured_where_a_model_and_pictures_are_given(
    run: Any, files: dict[str, Path], model: Path, tmp_path: Path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(8):
        Image.new("RGB", (32, 32), (20 * number, 0, 0)).save(pictures / f"COCO_val2014_{number:012d}.png")
    both = [files["greedy"], files["other"], "--objects", files["objects"], "--perplexity", model]
    result = run("chair", *both, "--images", pictures, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["files"]["greedy"]["quality"]["perplexity"] > 1
    assert "log_perplexity" in found["differences"]["other"]
    (pictures / "COCO_val2014_000000000003.png").unlink()
    result = run("chair", *both, "--images", pictures)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "no picture of image 3, which greedy describes" in result.stderr


def test_audit_shows_the_rates_and_the_ratio(run: Any, files: dict[str, Path]) -> None:
    result = run("audit", files["greedy"], files["other"], "--objects", files["objects"])
    assert result.exit_code == 0
    assert result.stderr.startswith("other: differences on the 8 pictures that both have")
    assert "greedy: 100.0 % of 8 captions name a false object" in result.stdout
    assert "minus greedy" in result.stdout
    assert "of captions naming it" in result.stdout


def test_audit_writes_a_page_a_picture_and_the_figures(run: Any, files: dict[str, Path], tmp_path: Path) -> None:
    out = tmp_path / "deep" / "audit"
    result = run("audit", files["greedy"], "--objects", files["objects"], "--out", out, "--json")
    assert result.exit_code == 0
    assert sorted(path.name for path in out.iterdir()) == ["audit.html", "audit.json", "audit.png"]
    assert json.loads((out / "audit.json").read_text()) == json.loads(result.stdout)
    assert Image.open(out / "audit.png").size[0] > 1000


def test_the_same_files_give_the_same_bytes(run: Any, files: dict[str, Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert run("audit", files["greedy"], "--objects", files["objects"], "--out", tmp_path / name).exit_code == 0
    for name in ("audit.html", "audit.json", "audit.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("command", ["chair", "audit"])
@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ('{"image_id": 99, "caption": "A dog"}\n', "bad.jsonl:1: image 99 is not among the 8 images"),
        ('{"image_id": 1, "caption": ""}\n', "bad.jsonl:1: the caption of image 1 is empty"),
        ('{"image_id": 1, "caption": "A do', "bad.jsonl:1: is cut off"),
        ("image_id,caption\n1,a\n", "looks like CSV"),
        ("", "is empty"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    run: Any, files: dict[str, Path], tmp_path: Path, command: str, rows: str, problem: str
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(rows)
    result = run(command, bad, "--objects", files["objects"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert problem in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_bad_rows_can_be_left_out_and_are_counted(run: Any, files: dict[str, Path], tmp_path: Path) -> None:
    bad = jsonl(tmp_path / "bad.jsonl", [*GREEDY, {"image_id": 99, "caption": "A dog"}])
    with bad.open("a") as file:
        file.write('{"image_id": 5, "cap')
    result = run("chair", bad, "--objects", files["objects"], "--skip-bad", "--json")
    assert result.exit_code == 0
    assert "bad: 2 bad rows left out; the first:" in result.stderr
    assert json.loads(result.stdout)["files"]["bad"]["skipped"] == 2


def test_the_same_file_twice_is_refused(run: Any, files: dict[str, Path]) -> None:
    result = run("chair", files["greedy"], files["greedy"], "--objects", files["objects"])
    assert result.exit_code == 2
    assert "given twice" in result.stderr


def test_details_never_overwrite_what_is_read(run: Any, files: dict[str, Path]) -> None:
    before = files["greedy"].read_bytes()
    result = run("chair", files["greedy"], "--objects", files["objects"], "--details", files["greedy"])
    assert result.exit_code == 2
    assert "would be overwritten" in result.stderr
    assert files["greedy"].read_bytes() == before


def test_details_go_nowhere_where_no_folder_is(run: Any, files: dict[str, Path], tmp_path: Path) -> None:
    result = run("chair", files["greedy"], "--objects", files["objects"], "--details", tmp_path / "no" / "x.jsonl")
    assert result.exit_code == 2
    assert "no folder" in result.stderr


def test_a_run_and_what_describe_wrote_need_no_other_file(run: Any, tmp_path: Path) -> None:
    asked = ("--count", 3, "-n", 24, "--device", "cpu", "--json")
    evaluated = run("eval", "--task", "scenes:test", "--out", tmp_path / "run", *asked)
    figures = json.loads(evaluated.stdout)["parts"]["free"]["figures"]
    scored = run("chair", tmp_path / "run", "--json")
    assert (scored.exit_code, scored.stderr) == (
        0,
        f"{tmp_path / 'run'}: the captions of 'free'; for the others --part counted\n",
    )
    files = json.loads(scored.stdout)["files"]
    assert {name: one["chair_i"] for name, one in files.items()} == {
        name: one["chair_i"] for name, one in figures.items()
    }
    counted = json.loads(evaluated.stdout)["parts"]["counted"]["figures"]
    for command, figure in (("chair", "chair_i"), ("audit", None)):
        scored = run(command, tmp_path / "run", "--part", "counted", "--json")
        assert (scored.exit_code, scored.stderr) == (0, "")
        if figure:
            files = json.loads(scored.stdout)["files"]
            assert {name: one[figure] for name, one in files.items()} == {
                name: one[figure] for name, one in counted.items()
            }
    refused(run("chair", tmp_path / "run", "--part", "order"), "a part 'order'; choose --part free or counted")

    examples = Path(__file__).parents[2] / "examples"
    truth = ("--objects", examples / "objects.jsonl", "--synonyms", "scenes")
    described = tmp_path / "described.json"
    described.write_text(run("describe", examples / "park.png", *truth, "--compare", "-n", 24, "--json").stdout)
    files = json.loads(run("chair", described, "--synonyms", "scenes", "--json").stdout)["files"]
    rows = json.loads(described.read_text())
    assert {name: one["hallucinated_captions"] for name, one in files.items()} == {
        row["label"]: int(bool(row["hallucinated"])) for row in rows
    }
    other = {**rows[1], "label": "farsight(sigma=0.1)"}
    described.write_text(json.dumps([*rows, other]))
    refused(run("chair", described, "--synonyms", "scenes", "--part", "free"), "--part 'free' is of a RUN")
    files = json.loads(run("chair", described, "--synonyms", "scenes", "--json").stdout)["files"]
    assert list(files) == [rows[0]["label"], "farsight", "farsight(sigma=0.1)"]


def test_captions_of_unknown_pictures_ask_for_objects(run: Any, files: dict[str, Path], tmp_path: Path) -> None:
    refused(run("chair", files["greedy"]), "the objects that are in the pictures are not known: pass --objects FILE")
    refused(run("chair", tmp_path), "is no run folder, there is no run.json; give the --out of a 'farsight eval'")
