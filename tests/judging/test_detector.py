"""A detector as a silver judge: loaded for real, its threshold chosen on what is known, its errors counted."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_detector import save_tiny_detector

from farsight.errors import InputError
from farsight.images import open_image
from farsight.inputs.detectors import load_detector
from farsight.judging.annotated import Annotated
from farsight.judging.detector import Detected, Example, Rate, Scores, calibrate, detected, score_of
from farsight.metrics.vocabulary import read_vocabulary
from farsight_scenes import sample_scene, vocabulary_path

SCENES = [sample_scene("test", number) for number in range(60)]
TRUTH = {scene_id: frozenset(scene.objects) for scene_id, scene in ((f"{n}.png", s) for n, s in enumerate(SCENES))}
WORDS = sorted(set().union(*TRUTH.values()))
EXAMPLES = [Example(image_id, word, word in there) for image_id, there in TRUTH.items() for word in WORDS]
IMAGES = {image_id: Path(image_id) for image_id in TRUTH}


def knowing(path: Path, object_: str) -> float:
    """The drawn world knows what is in its pictures."""
    return 0.8 if object_ in TRUTH[path.name] else 0.3


def judge(
    tmp_path: Path,
    score: Any,
    examples: list[Example] = EXAMPLES,
    known: Mapping[str, frozenset[str]] = MappingProxyType({}),
) -> Detected:
    truth = Annotated(objects=known, vocabulary=read_vocabulary(vocabulary_path()))
    return detected("it", IMAGES, truth, examples, file=tmp_path / "scores.jsonl", score=score)


def test_who_knows_the_drawn_world_is_never_wrong(tmp_path: Path) -> None:
    truth = judge(tmp_path, knowing)
    assert (truth.calibration.false_there.wrong, truth.calibration.false_not_there.wrong) == (0, 0)
    assert truth.calibration.false_there.of + truth.calibration.false_not_there.of == len(EXAMPLES)
    exact = Annotated(objects=TRUTH, vocabulary=read_vocabulary(vocabulary_path()))
    for one in EXAMPLES:
        assert truth.verdict(one.image_id, one.object) == exact.verdict(one.image_id, one.object)
    for image_id in TRUTH:
        assert truth.present(image_id, set(WORDS)) == exact.present(image_id)
    assert truth.verdict("other.png", WORDS[0]) is None
    assert "[0.0, " in truth.sentence


@pytest.mark.parametrize(("made_up", "missed"), [(0.1, 0.3), (0.25, 0.05)])
def test_the_errors_of_a_noisy_judge_are_those_that_were_put_in(tmp_path: Path, made_up: float, missed: float) -> None:
    rng = np.random.default_rng(0)

    def noisy(path: Path, object_: str) -> float:
        wrong = rng.random() < (missed if object_ in TRUTH[path.name] else made_up)
        return 1 - knowing(path, object_) + 0.1 if wrong else knowing(path, object_)

    calibration = judge(tmp_path, noisy).calibration
    for rate, put_in in ((calibration.false_there, made_up), (calibration.false_not_there, missed)):
        low, high = rate.interval
        assert low <= put_in <= high
        assert high - low < 0.15


def test_error_rates_are_of_pictures_that_the_threshold_was_not_chosen_on() -> None:
    """Of noise the best threshold always fits a little; left out, a picture is judged little better than by a coin."""
    rng = np.random.default_rng(1)
    fitted, held_out = [], []
    for _ in range(40):
        examples = [Example(str(number), "x", bool(number % 2)) for number in range(20)]
        scores = rng.random(20)
        calibration = calibrate(examples, list(scores))
        said = scores > calibration.threshold
        fitted.append(np.mean([word != one.there for word, one in zip(said, examples, strict=True)]))
        held_out.append((calibration.false_there.value + calibration.false_not_there.value) / 2)
    assert np.mean(fitted) < 0.42 < 0.45 < np.mean(held_out)


def test_intervals_are_wilsons() -> None:
    """Against Agresti and Coull (1998), and the rule of three-and-a-bit at none wrong."""
    assert Rate(wrong=0, of=10).interval == pytest.approx((0, 0.2775), abs=1e-4)
    assert Rate(wrong=5, of=10).interval == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_what_people_said_comes_first(tmp_path: Path) -> None:
    truth = judge(tmp_path, knowing, known={"0.png": frozenset({"unicorn"})})
    [word, *_] = TRUTH["0.png"]
    assert truth.verdict("0.png", word) is False
    assert truth.present("0.png", {word}) == {"unicorn"}
    assert truth.verdict("1.png", next(iter(TRUTH["1.png"]))) is True


def test_each_object_of_a_picture_is_asked_once_whatever_was_cut_off(tmp_path: Path) -> None:
    asked: list[str] = []

    def score(path: Path, object_: str) -> float:
        asked.append(object_)
        return knowing(path, object_)

    first = judge(tmp_path, score)
    assert len(asked) == len(EXAMPLES)
    file = tmp_path / "scores.jsonl"
    file.write_bytes(file.read_bytes()[:-7])
    again = judge(tmp_path, score)
    assert len(asked) == len(EXAMPLES) + 1
    assert again.calibration == first.calibration
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == len(EXAMPLES)
    assert Scores(file, "another").get(*EXAMPLES[0][:2]) is None
    with file.open("a") as opened:
        opened.write("[]\n")
    with pytest.raises(InputError, match=rf"scores.jsonl:{len(EXAMPLES) + 1}: "):
        judge(tmp_path, score)


def test_too_little_that_is_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="known are 0 and 0, in 0: judge more"):
        judge(tmp_path, knowing, [])
    with pytest.raises(InputError, match="no finite score"):
        judge(tmp_path, lambda *_: float("nan"))


@pytest.fixture(scope="module")
def owl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_detector(tmp_path_factory.mktemp("owl"))


def test_a_detector_is_asked_as_transformers_asks_it(owl: Path, tmp_path: Path) -> None:
    Image.effect_noise((40, 30), 90).convert("RGB").save(tmp_path / "a.png")
    detector = load_detector(owl, device="cpu")
    scores = [detector.score(open_image(tmp_path / "a.png"), word) for word in ("dog", "umbrella")]
    for word, score in zip(("a photo of a dog", "a photo of an umbrella"), scores, strict=True):
        with Image.open(tmp_path / "a.png") as image:
            inputs = detector.processor(images=image, text=[[word]], return_tensors="pt")
        with torch.inference_mode():
            output = detector.model(**inputs)
        [found] = detector.processor.post_process_grounded_object_detection(output, threshold=0.0)
        assert score == pytest.approx(float(found["scores"].max()), abs=1e-6)
    assert scores[0] != scores[1]


def test_a_real_detector_gives_verdicts(owl: Path, tmp_path: Path) -> None:
    for number in range(5):
        Image.new("RGB", (32, 32), (50 * number, 90, 200)).save(tmp_path / f"{number}.png")
    images = {f"{number}.png": tmp_path / f"{number}.png" for number in range(5)}
    examples = [Example(image_id, word, word == "dog") for image_id in images for word in ("dog", "cat")]
    names = Annotated(objects={}, vocabulary=read_vocabulary(None))
    score = score_of(str(owl), "cpu")
    truth = detected(str(owl), images, names, examples, file=tmp_path / "scores.jsonl", score=score)
    assert truth.mentions("A dog and a bicycle.") == ["dog", "bicycle"]
    sure = load_detector(owl, device="cpu").score(open_image(images["0.png"]), "bicycle")
    assert truth.verdict("0.png", "bicycle") is (sure > truth.calibration.threshold)
    assert f"judged by {owl}" in truth.sentence


def test_what_is_no_detector_is_refused(tmp_path: Path) -> None:
    from tiny_checkpoint import save_tiny_llava

    with pytest.raises(InputError, match="is a llava model, which finds no objects by their names"):
        load_detector(save_tiny_llava(tmp_path / "llava"))
    with pytest.raises(InputError, match="was not found"):
        load_detector(tmp_path / "nothing")
    with pytest.raises(InputError, match="no/such-detector"):
        load_detector("no/such-detector")


def test_a_damaged_detector_is_refused(owl: Path, tmp_path: Path) -> None:
    for file in owl.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(InputError, match=r"model\.safetensors"):
        load_detector(tmp_path)
    weights.rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickle"):
        load_detector(tmp_path)
