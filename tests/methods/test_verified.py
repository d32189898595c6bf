"""Answers, checks, other answers: who is asked, what leaves, and that it is said where it does nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import models
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_checkpoint import save_tiny_llava
from tiny_detector import save_tiny_detector

from farsight import BeamSearch, FarSight, InputError, Method, Plain, SettingError, UnsupportedModelError, Verified
from farsight.description import generate
from farsight.evaluate.local import answer
from farsight.evaluate.plan import Plan
from farsight.evaluate.tasks import Task, caption_items
from farsight.inputs.checkpoints import LoadedModel, load
from farsight.inputs.detectors import load_detector
from farsight.inputs.named_models import EMBEDDED
from farsight.inputs.named_models import load as load_named
from farsight.inputs.prompts import prompt_inputs
from farsight.methods.in_requests import tokens_of
from farsight.methods.in_vllm import additional_config
from farsight.methods.opera import OPERA
from farsight.methods.verified import OWL, apart, log_odds
from farsight.metrics import chair
from farsight.metrics.vocabulary import coco, read_vocabulary
from farsight_scenes import sample_scene, vocabulary_path
from farsight_scenes.render import render

DESCRIBE = "Describe this image."
OBJECTS = ["dog", "traffic light", "umbrella", "tv", "orange"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A random LLaVA to which Yes and No are words."""
    loaded = load(save_tiny_llava(tmp_path_factory.mktemp("tiny")), device="cpu")
    loaded.tokenizer.add_tokens(["Yes", "No"])
    torch.manual_seed(1)
    loaded.model.resize_token_embeddings(len(loaded.tokenizer), mean_resizing=False)  # type: ignore[operator]
    return LoadedModel(loaded.model.double(), loaded.processor, loaded.name)


@pytest.fixture(scope="module")
def embedded() -> LoadedModel:
    return load_named(EMBEDDED, "cpu", None, None)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    return Image.effect_noise((40, 30), 90).convert("RGB")


@dataclass(frozen=True, kw_only=True)
class Knowing(Verified):
    """A verifier that knows the truth of some pictures, by their pixels; of others it finds nothing."""

    name: ClassVar[str] = "knowing"
    there: tuple[tuple[bytes, tuple[str, ...]], ...] = ()

    def scores(self, loaded: Any, picture: Image.Image, objects: Sequence[str], together: int) -> list[float]:
        known = dict(self.there).get(picture.tobytes(), ())
        return [float(one in known) for one in objects]


def test_the_model_is_asked_in_words_and_its_odds_are_those_of_its_probabilities(
    tiny: LoadedModel, picture: Image.Image
) -> None:
    """In float64, by the definition: the probabilities of all next words that mean Yes, and No."""
    found = log_odds(tiny, picture, OBJECTS[:3], 1)
    questions = ["Is there a dog", "Is there a traffic light", "Is there an umbrella"]
    for asked, score in zip(questions, found, strict=True):
        with torch.inference_mode():
            logits = tiny.model(**prompt_inputs(tiny, picture, f"{asked} in the image?")).logits[0, -1].numpy()
        weights = np.exp(logits - logits.max())
        shares = weights / weights.sum()
        yes, no = (shares[tiny.tokenizer.convert_tokens_to_ids(word)] for word in ("Yes", "No"))
        assert logits.dtype == np.float64
        assert score == pytest.approx(float(np.log(yes) - np.log(no)), abs=1e-7)  # generate gives float32
    assert len(set(found)) == 3


@pytest.mark.parametrize("together", [2, 3, 16])
def test_questions_that_are_asked_together_have_the_odds_of_each_alone(
    tiny: LoadedModel, picture: Image.Image, together: int
) -> None:
    """They have different lengths, so that padding is in front of the shorter ones."""
    assert log_odds(tiny, picture, OBJECTS, together) == pytest.approx(log_odds(tiny, picture, OBJECTS, 1), abs=1e-7)


def test_all_forms_of_a_word_count(embedded: LoadedModel, picture: Image.Image) -> None:
    tokenizer = embedded.tokenizer
    with torch.inference_mode():
        logits = embedded.model(**prompt_inputs(embedded, picture, "Is there a dog in the image?")).logits[0, -1]
    shares = logits.double().softmax(-1)
    yes, no = (
        sum(
            float(shares[ids[0]])
            for ids in {tuple(tokenizer(form, add_special_tokens=False).input_ids) for form in forms}
            if len(ids) == 1
        )
        for forms in (("Yes", "yes", " Yes", " yes"), ("No", "no", " No", " no"))
    )
    assert log_odds(embedded, picture, ["dog"], 1)[0] == pytest.approx(float(np.log(yes / no)), abs=1e-4)


def test_a_model_to_which_yes_is_no_word_cannot_be_asked(tmp_path: Path, picture: Image.Image) -> None:
    loaded = load(save_tiny_llava(tmp_path), device="cpu")
    with pytest.raises(SettingError, match="'Yes' is no single token: pass verifier="):
        log_odds(loaded, picture, ["dog"], 1)


def test_who_knows_the_drawn_world_leaves_nothing_false_and_everything_true(embedded: LoadedModel) -> None:
    """Its sentences name one object each, so that nothing else leaves; a batch is what each picture is alone."""
    scenes = [sample_scene("test", number) for number in range(8)]
    pictures = [render(scene) for scene in scenes]
    knowing = Knowing(
        there=tuple((one.tobytes(), tuple(scene.objects)) for one, scene in zip(pictures, scenes, strict=True))
    )
    vocabulary, prompts = read_vocabulary(vocabulary_path()), [DESCRIBE] * 8

    def scored(method: Method) -> Any:
        said = answer(embedded, method, pictures, prompts, max_new_tokens=160, vocabulary=vocabulary)
        rows = [{"image_id": str(n), "caption": one.text or "..."} for n, one in enumerate(said)]
        truth = {str(n): sorted(set(scene.objects)) for n, scene in enumerate(scenes)}
        return said, chair.score(rows, truth, vocabulary=vocabulary).record()

    drafts, before = scored(Plain())
    again, after = scored(knowing)
    assert before["chair_i"] > 0
    assert (after["chair_i"], after["chair_s"], after["recall"]) == (0, 0, before["recall"])
    assert [one.checked["draft"] for one in again] == [one.text for one in drafts]
    assert [one.tokens for one in again] == [one.tokens for one in drafts]
    for number, one in enumerate(again):
        assert set(one.checked["scores"]) == {mention.object for mention in vocabulary.mentions(one.checked["draft"])}
        [alone] = answer(embedded, knowing, [pictures[number]], [DESCRIBE], max_new_tokens=160, vocabulary=vocabulary)
        assert (alone.text, alone.checked) == (one.text, one.checked)


def test_the_model_itself_in_a_batch_says_what_it_says_alone(embedded: LoadedModel) -> None:
    pictures = [render(sample_scene("test", number)) for number in range(4)]
    how: dict[str, Any] = {"max_new_tokens": 160, "vocabulary": read_vocabulary(vocabulary_path())}
    together = answer(embedded, Verified(), pictures, [DESCRIBE] * 4, **how)
    for picture, one in zip(pictures, together, strict=True):
        [alone] = answer(embedded, Verified(), [picture], [DESCRIBE], **how)
        assert alone.text == one.text
        assert alone.checked is not None
        assert one.checked is not None
        assert alone.checked["scores"] == pytest.approx(one.checked["scores"], abs=1e-3)
        assert one.checked["failed"] == [name for name, score in one.checked["scores"].items() if score <= 0]
    assert any(one.checked and one.checked["failed"] for one in together)


def test_a_detector_of_transformers_is_asked_for_real(tiny: LoadedModel, tmp_path: Path, picture: Image.Image) -> None:
    owl = save_tiny_detector(tmp_path / "owl")
    by_hand = {name: load_detector(owl, device="cpu").score(picture, name) for name in ("dog", "cat", "boat")}
    ordered = sorted(by_hand, key=lambda name: by_hand[name])
    text = "A dog sleeps. A cat sits. A boat sails."
    found = Verified(verifier=str(owl), threshold=by_hand[ordered[0]]).checked(tiny, picture, text, coco())
    assert found.scores == by_hand
    assert found.failed == (ordered[0],)
    assert {one.object for one in coco().mentions(found.text)} == set(ordered[1:])
    assert Verified(verifier=str(owl)).limit == OWL
    assert Verified(verifier=str(owl), threshold=1).checked(tiny, picture, text, coco()).text == ""


def test_a_detector_that_is_none_is_refused(tiny: LoadedModel, tmp_path: Path, picture: Image.Image) -> None:
    with pytest.raises(InputError, match="nowhere"):
        Verified(verifier=str(tmp_path / "nowhere")).checked(tiny, picture, "A dog.", coco())


@pytest.mark.parametrize("text", ["", "The sky is blue.", "Yes, there is a dog.", "No. A dog is not there."])
def test_what_names_nothing_and_what_is_no_description_stays_and_costs_nothing(tiny: LoadedModel, text: str) -> None:
    found = Knowing().checked(tiny, Image.new("RGB", (4, 4)), text, coco())
    assert (found.text, found.scores, found.failed) == (text, {}, ())
    assert Knowing().told(found) == "no decoding: the answer names no object that could be checked, and is as it was"


def test_where_all_fail_nothing_is_left_and_that_is_told(tiny: LoadedModel) -> None:
    found = Knowing().checked(tiny, Image.new("RGB", (4, 4)), "A dog, a cat. A dog on a boat.", coco())
    assert (found.text, found.failed) == ("", ("dog", "cat", "boat"))
    told = Verified().told(found)
    assert told.startswith("no decoding: 3 objects checked by the model itself in 3 more passes, ")
    assert told.endswith("threshold 0, not calibrated; left out: dog (0), cat (0), boat (0)")
    assert "not calibrated" not in Verified(threshold=0.5).told(found)


def test_what_names_an_object_only_when_others_have_left_is_checked_too(tiny: LoadedModel) -> None:
    found = Knowing().checked(tiny, Image.new("RGB", (4, 4)), "A toilet stands there. The seat is up.", coco())
    assert (found.text, found.failed) == ("", ("toilet", "chair"))


def test_a_score_that_is_no_number_is_refused(tiny: LoadedModel) -> None:
    class Broken(Verified):
        def scores(self, *_: Any) -> list[float]:
            return [float("nan")]

    with pytest.raises(InputError, match="'self' gives 'dog' no finite score"):
        Broken().checked(tiny, Image.new("RGB", (4, 4)), "A dog.", coco())


def test_without_a_picture_and_its_text_it_is_refused_and_says_that_it_does_not_decode() -> None:
    model = models.llava()
    for method in (Verified(), FarSight() + Verified()):
        with pytest.raises(UnsupportedModelError, match="is no decoding method"), method(model):
            pass
        with pytest.raises(SettingError, match="does not run in vLLM"):
            additional_config(method)
        with pytest.raises(SettingError, match="cannot be asked of a server"):
            tokens_of("verified", method)
    with FarSight()(model):  # nothing is left behind
        pass
    assert "no decoding method" in Verified.paper


def test_a_server_does_not_start_with_it(tiny: LoadedModel) -> None:
    from farsight.serve.app import application

    with pytest.raises(UnsupportedModelError, match="is no decoding method"):
        application(tiny, Verified(), "verified")


def test_videos_and_no_picture_are_refused(embedded: LoadedModel, picture: Image.Image) -> None:
    for seen in (None, [picture, picture]):
        with pytest.raises(SettingError, match="there is none here"):
            generate(embedded, Verified(), seen, DESCRIBE, 4)
    with pytest.raises(SettingError, match="there is none here"):
        answer(embedded, Verified(), [None], [DESCRIBE], max_new_tokens=4, medium="text", vocabulary=coco())


def test_a_run_whose_answers_it_would_pass_by_or_that_shows_no_picture_is_refused(tmp_path: Path) -> None:
    for number in range(2):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    items = caption_items(tmp_path, {"0": ["dog"], "1": []}, coco())

    def plan(**changed: Any) -> Plan:
        task = Task(name="t", items=tuple(replace(one, **changed) for one in items), vocabulary=coco(), sources={})
        return Plan(model="m", task=task, methods={"greedy": Plain(), "both": FarSight() + Verified()})

    plan()
    with pytest.raises(SettingError, match="'both' checks what descriptions name, and t asks for none"):
        plan(kind="question")
    with pytest.raises(SettingError, match="'both': verified looks for objects in a picture, and there is none here"):
        plan(medium="text", path=None)


@pytest.mark.parametrize("decoding", [FarSight(sigma=0.1), BeamSearch(num_beams=2), OPERA(num_beams=2)])
def test_other_methods_decode_what_it_checks(embedded: LoadedModel, decoding: Method) -> None:
    picture, both = render(sample_scene("test", 0)), decoding + Verified()
    assert apart(both) == (decoding, Verified())
    said, draft = (generate(embedded, method, picture, DESCRIBE, 60) for method in (both, decoding))
    assert said.checked is not None
    assert (said.checked.draft, said.tokens) == (draft.text, draft.tokens)
    assert apart(Plain()) == (Plain(), None)
    assert apart(Verified()) == (Plain(), Verified())


def test_what_is_checked_is_shown_when_it_is_checked(embedded: LoadedModel) -> None:
    shown: list[str] = []
    said = generate(embedded, Verified(), render(sample_scene("test", 0)), DESCRIBE, 60, show=shown.append)
    assert shown == [said.text]
    assert said.checked is not None
    assert said.text == said.checked.text
    assert "teapot" in said.checked.scores  # a word of the model's own vocabulary, which COCO's lacks


@pytest.mark.parametrize(
    "given", [{"verifier": ""}, {"verifier": 3}, {"threshold": "high"}, {"threshold": float("nan")}]
)
def test_settings_without_a_meaning_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(given))):
        Verified(**given)
