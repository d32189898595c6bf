"""``farsight diagnose``, ``describe --explain`` and ``calibrate`` on a tiny random model."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_video_checkpoint import save_tiny_video_model

from farsight import FarSight, InputError, SettingError
from farsight.calibration import Calibration
from farsight.methods import make_method


def test_a_picture_is_diagnosed_into_a_folder(run: Any, model: Path, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "diagnosis"
    objects = tmp_path / "objects.jsonl"
    objects.write_text('{"image_id": "red.png", "objects": ["dog"]}\n')
    said = "A dog and a cat. " * 3
    result = run(
        "diagnose", picture, "--model", model, "--out", out, "--method", "farsight(sigma=0.05)", "-n", 60,
        "--answer", said, "--objects", objects,
    )  # fmt: skip
    assert (result.exit_code, result.stderr) == (0, "")
    assert "greedy: the token that draws most attention" in result.stdout
    for name in ("collapse", "decay", "absorbed_1", "sigmas", "words", "flow"):
        assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert (out / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert not (out / "absorbed_0.png").exists()
    page = (out / "report.html").read_text()
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )
    assert 'class="false" title="false"' in page
    said_beside = page[page.index('<section class="small">') :].partition("</section>")[0]
    assert "What was said" in said_beside
    encoded = re.search(r'src="data:image/jpeg;base64,([^"]+)" alt="The picture that was described', said_beside)
    assert encoded
    red, *others = Image.open(io.BytesIO(base64.b64decode(encoded[1]))).resize((1, 1)).getpixel((0, 0))
    assert red > 200
    assert max(others) < 50
    record = json.loads((out / "diagnosis.json").read_text())
    assert [one["label"] for one in record["methods"]] == ["greedy", "farsight(sigma=0.05)"]
    kinds = [(word["object"], word["kind"]) for word in record["methods"][0]["objects"]]
    assert kinds[:2] == [("dog", "true"), ("cat", "false")]
    arrays = np.load(out / "method_1.npz")
    slots = len(arrays["tokens"]) - 1
    assert arrays["image"].shape == (3, 4, slots)
    assert arrays["maps"].shape == (3, slots - int(arrays["prompt_slots"]) + 1, 4)
    assert float(arrays["kept"].min()) < 1
    absorbed = 100 * (1 - arrays["kept"])
    answered = absorbed[..., int(arrays["prompt_slots"]) - 1 :]
    assert f"{answered.mean():.2f} % of the answer's rows, {absorbed.mean():.2f} % of all rows" in result.stdout


def test_a_video_is_diagnosed_frame_by_frame(run: Any, tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for number, colour in enumerate(("red", "green", "blue", "white") * 2):
        Image.new("RGB", (32, 32), colour).save(frames / f"{number}.png")
    model, out = save_tiny_video_model(tmp_path), tmp_path / "out"
    result = run("diagnose", frames, "--model", model, "--out", out, "-n", 20, "--synonyms", "scenes", "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == json.loads((out / "diagnosis.json").read_text())
    assert (out / "frames.png").exists()
    assert "The frames that were described" in (out / "report.html").read_text()
    arrays = np.load(out / "method_0.npz")
    assert len(arrays["visual_slots"]) % 8 == 0


def test_several_pictures_have_a_folder_each(run: Any, model: Path, tmp_path: Path) -> None:
    for colour in ("red", "blue"):
        Image.new("RGB", (40, 30), colour).save(tmp_path / f"{colour}.png")
    how = ["--model", model, "--out", tmp_path / "out", "-n", 9, "--answer", "A dog."]
    result = run("diagnose", tmp_path / "*.png", *how, "--methods", "farsight(sigma=0.05),constant(value=0.9)")
    assert (result.exit_code, result.stderr) == (0, "")
    for colour in ("red", "blue"):
        record = json.loads((tmp_path / "out" / colour / "diagnosis.json").read_text())
        assert len(record["methods"]) == 3
        assert f"{colour}.png:" in result.stdout
    nothing = run("diagnose", tmp_path / "*.gif", *how)
    assert (nothing.exit_code, "matches no file" in nothing.stderr) == (2, True)
    mixed = run("diagnose", tmp_path, tmp_path / "red.png", *how)
    assert (mixed.exit_code, "diagnose them one after the other" in mixed.stderr) == (2, True)


def test_a_prompt_of_text_alone_is_diagnosed(run: Any, model: Path, tmp_path: Path) -> None:
    """Collapse, decay of the attention on the prompt, and absorption; there is no picture to draw words over."""
    asked = ["--model", model, "--prompt", "What is in a kitchen?", "--out", tmp_path, "-n", 30]
    result = run("diagnose", *asked, "--method", "farsight(sigma=0.05)", "--answer", "A dog and a cat. ")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "% of the answer's attention is on the prompt; beyond" in result.stdout
    drawn = {path.stem for path in tmp_path.glob("*.png")}
    assert drawn == {"collapse", "decay", "absorbed_1", "sigmas", "flow"}
    page = (tmp_path / "report.html").read_text()
    assert "From the prompt to the words" in page
    assert "nothing to draw over" in page
    assert "described, as the model saw" not in page
    refused = run("diagnose", *asked, "--objects", tmp_path / "objects.jsonl")
    assert refused.exit_code == 2
    assert "--objects says what is in a picture, and none is given" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-n", "0"], "--max-new-tokens must be at least 1"),
        (["--prompt", " "], "--prompt is empty"),
        (["--answer", ""], "the answer to look at is empty"),
        (["--answer", "word " * 30, "-n", "3"], "more than max_new_tokens=3"),
        (["--method", "farsigth"], "unknown method 'farsigth'"),
    ],
)
def test_wrong_input_is_one_line(
    run: Any, model: Path, picture: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = run("diagnose", picture, "--model", model, "--out", tmp_path, *arguments)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_picture_is_named(run: Any, model: Path, tmp_path: Path) -> None:
    result = run("diagnose", tmp_path / "none.png", "--model", model, "--out", tmp_path)
    assert result.exit_code == 2
    assert "none.png" in result.stderr


def test_describe_explains_object_words(run: Any, model: Path, picture: Path) -> None:
    shown = run("describe", picture, "--model", model, "-n", 12, "--explain")
    assert shown.exit_code == 0, shown.stderr
    assert "no word that names an object" in shown.stdout or "on the image" in shown.stdout
    told = run("describe", picture, "--model", model, "-n", 12, "--explain", "--json")
    assert isinstance(json.loads(told.stdout)[0]["explained"], list)


def test_calibrated_registers_absorb_the_wanted_share(run: Any, model: Path, picture: Path, tmp_path: Path) -> None:
    out = tmp_path / "strengths.json"
    result = run(
        "calibrate", "--images", picture.parent, "--model", model, "--absorb", "0.2", "-n", 10, "--out", out, "--json"
    )
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["absorbed"] == pytest.approx(0.2, rel=0.02)
    loaded = FarSight.load(out)
    assert loaded == make_method("farsight", {"load": str(out)})
    assert loaded == FarSight(sigma=loaded.sigma, strength=[list(layer) for layer in record["strength"]])
    assert (len(record["strength"]), len(record["strength"][0])) == (3, 4)
    described = run("describe", picture, "--model", model, "-n", 4, "--method", f"farsight(load={out})")
    assert described.exit_code == 0, described.stderr
    assert "strength=12 from " in described.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--for", "vcd"], "nothing is measured for it; choose farsight, adaiat, verified"),
        (["--for", "adaiat"], "pass --objects FILE"),
        (["--for", "adaiat", "--objects", "o.jsonl", "--absorb", "0.1"], "--absorb says nothing of 'adaiat'"),
        (["--objects", "o.jsonl"], "--objects says nothing of 'farsight'"),
    ],
)
def test_an_option_that_says_nothing_of_what_is_measured_is_refused(
    run: Any, picture: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    result = run("calibrate", "--images", picture.parent, "--out", tmp_path / "f.json", *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert result.stderr.count("\n") == 1


def test_what_an_answer_reads_of_itself_is_measured_on_ones_own_captions(run: Any, tmp_path: Path) -> None:
    """The embedded model on its own pictures, for `adaiat(load=FILE)`."""
    drawn = run("scenes", "draw", "--split", "calibration", "--count", 12, "--out", tmp_path / "scenes")
    assert drawn.exit_code == 0, drawn.stderr
    out = tmp_path / "rows.json"
    result = run(
        "calibrate", "--for", "adaiat", "--images", tmp_path / "scenes", "--objects",
        tmp_path / "scenes" / "objects.jsonl", "--synonyms", "scenes", "--out", out, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["true_count"] > record["false_count"] > 0
    assert [len(layer) for layer in record["true_rows"]] == [6] * 4
    described = run("describe", next((tmp_path / "scenes").glob("*.png")), "--method", f"adaiat(load={out})")
    assert described.exit_code == 0, described.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is no calibration"),
        ('{"format": "farsight calibration", "version": 2}', "has version 2"),
        ('{"format": "farsight calibration", "version": 1}', "lacks"),
    ],
)
def test_a_file_that_is_no_calibration_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "strengths.json"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        FarSight.load(path)


def test_a_missing_calibration_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="farsight calibrate"):
        FarSight.load(tmp_path / "none.json")


def test_a_strength_that_is_no_number_is_refused(tmp_path: Path) -> None:
    fields: dict[str, Any] = {"sigma": 0.8, "rows": "all", "absorb": 0.1, "absorbed": 0.1, "model": "m", "pictures": 1}
    made = Calibration(strength=(("strong",),), prompt="p", max_new_tokens=1, **fields)  # type: ignore[arg-type]
    made.save(tmp_path / "bad.json")
    with pytest.raises(InputError, match="table of numbers"):
        FarSight.load(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("farsight", {"load": "x.json", "sigma": 0.1}, "leave out sigma"),
        ("vcd", {"load": "x.json"}, "reads no file"),
    ],
)
def test_a_file_of_settings_stands_alone(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make_method(name, settings)
