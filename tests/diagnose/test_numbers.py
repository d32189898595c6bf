"""What is made of the collected arrays: slopes, outliers, shares of sigmas, strengths, words."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import models
import numpy as np
import pytest
import torch
from PIL import Image
from tiny_checkpoint import save_tiny_llava

from farsight import FarSight, InputError, Method, Plain, SettingError
from farsight.diagnose import Diagnosis, diagnose
from farsight.diagnose.absorption import absorbed, has_log_z, shares_of_sigmas, suggested_strength
from farsight.diagnose.calibrate import calibrate
from farsight.diagnose.collapse import heads, name_of_slot, outlier_slots, outliers
from farsight.diagnose.collector import SOURCES
from farsight.diagnose.decay import decay, fitted, image_shares, uniform_shares
from farsight.diagnose.draw_words import overlay
from farsight.diagnose.layout import Layout
from farsight.diagnose.replay import replayed
from farsight.diagnose.words import image_share, looks, object_words, register_share, words
from farsight.inputs.checkpoints import LoadedModel, load
from farsight.metrics.vocabulary import coco

SAID = "A dog and two hot dogs near a cat. "
RED = Image.new("RGB", (40, 30), "red")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load(save_tiny_llava(tmp_path_factory.mktemp("tiny")), device="cpu")


def seen(loaded: LoadedModel, method: Any = None, **kwargs: Any) -> Diagnosis:
    given = {"max_new_tokens": 40, "answer": SAID} | kwargs
    return diagnose(loaded, RED, "What is this?", {"one": method or Plain()}, **given)[0]


def test_a_sigma_absorbs_in_the_first_layer_what_the_plain_log_z_says(loaded: LoadedModel) -> None:
    told = shares_of_sigmas(seen(loaded), [0.8, 0.05])
    for sigma, share in zip((0.8, 0.05), told, strict=True):
        taken = absorbed(seen(loaded, FarSight(sigma=sigma))).mean(-1)
        np.testing.assert_allclose(taken[0], share[0], atol=1e-6)


def test_the_suggested_strength_absorbs_the_wanted_share_in_the_first_layer(loaded: LoadedModel) -> None:
    table = suggested_strength(seen(loaded), 0.2)
    taken = absorbed(seen(loaded, FarSight(strength=table.tolist()))).mean(-1)
    np.testing.assert_allclose(taken[0], 0.2, atol=1e-5)


def test_every_head_of_a_calibrated_model_absorbs_the_same(loaded: LoadedModel) -> None:
    pictures = [RED, Image.new("RGB", (30, 40), "blue")]
    found = calibrate(loaded, pictures, "What is this?", absorb=0.15, rows="generated", max_new_tokens=12)
    assert found.pictures == 2
    method = FarSight(sigma=found.sigma, rows=found.rows, strength=found.strength)
    shares = []
    for picture in pictures:
        answer = diagnose(loaded, picture, "What is this?", {"p": Plain()}, max_new_tokens=12)[0]
        again = diagnose(loaded, picture, "What is this?", {"f": method}, max_new_tokens=12)[0]
        if again.text == answer.text:  # calibration says the plain answers again
            shares.append(absorbed(again)[..., again.answering])
    assert shares
    np.testing.assert_allclose(np.concatenate(shares, axis=-1).mean(-1), 0.15, rtol=0.1 if len(shares) == 1 else 0.03)


def test_a_line_has_its_slope_and_an_interval_around_it() -> None:
    line = 0.5 - 0.003 * np.arange(60)
    exact = fitted(line)
    assert exact.value == pytest.approx(-0.03)
    assert (exact.low, exact.high) == (pytest.approx(-0.03), pytest.approx(-0.03))
    noisy = fitted(line + 0.05 * np.random.default_rng(0).standard_normal(60))
    assert noisy.low < -0.03 < noisy.high
    assert np.isnan(fitted(line[:10]).low)


def test_the_control_is_the_share_of_a_row_that_attends_to_all_alike(loaded: LoadedModel) -> None:
    found = seen(loaded)
    rows = np.arange(found.prompt_slots, found.prompt_slots + len(found.pieces))
    np.testing.assert_allclose(uniform_shares(found)[0], len(found.layout.visual) / rows, rtol=1e-6)
    for one in decay(found):
        assert one.mean == pytest.approx(float(image_shares(found)[one.layer].mean()))


def made_up(received: list[float]) -> Diagnosis:
    """One layer of one head over six tokens, two of them visual, of which each gets what is given."""
    slots = len(received)
    expected = np.cumsum(1 / np.arange(slots, 0, -1))[::-1].copy()
    ones = np.ones((1, 1, slots))
    return Diagnosis(
        label="made up",
        layout=Layout(inputs={}, prompt_slots=4, visual=np.array([1, 2]), frames=1, grid=(1, 2), shown=()),
        tokens=("<s>", "<image>", "<image>", "ask", "a", "b", "c"),
        pieces=("a", " b", " c"),
        max_new_tokens=3,
        arrays={
            "received": np.array(received)[None, None] * expected, "expected": expected[None], "kept": ones,
            "entropy": ones, "image": ones, "value_norm": ones * np.array([1.0, 1, 1, 0.1, 1, 1]),
        },
    )  # fmt: skip


def test_a_token_that_all_rows_read_is_an_outlier_and_has_a_name() -> None:
    found = made_up([0.5, 0.5, 0.5, 7.0, 0.5, 0.5])
    assert outlier_slots(found)[0].tolist() == [False, False, False, True, False, False]
    first = outliers(found)[0]
    assert (first.name, first.slot) == ("ask (prompt 3)", 3)
    assert first.times_uniform == pytest.approx(7.0)
    assert first.norm_ratio == pytest.approx(0.1)
    assert heads(found)[0].outlier_share == pytest.approx(first.share)
    assert name_of_slot(found, 2) == "patch row 0, column 1"
    assert not outlier_slots(made_up([1.0] * 6)).any()


def test_words_know_the_rows_that_predicted_them(loaded: LoadedModel) -> None:
    found = seen(loaded, FarSight(sigma=0.05))
    said = words(found)
    assert [word.text for word in said] == SAID.replace(".", "").split()
    for word in said:
        assert "".join(found.pieces[step] for step in word.steps).strip(" .") == word.text
        assert float(looks(found, word).sum()) == pytest.approx(image_share(found, word), rel=1e-5)
        assert register_share(found, word) > 0


def test_objects_are_true_or_false_where_it_is_known(loaded: LoadedModel) -> None:
    found = seen(loaded)
    named = object_words(found, coco(), {"dog", "hot dog"})
    assert [(word.text, word.kind) for word in named] == [("dog", "true"), ("hot dogs", "true"), ("cat", "false")]
    assert {word.kind for word in object_words(found, coco(), None)} == {""}
    assert overlay(found, named[0]).shape[2] == 3


def test_edited_scores_have_no_log_z_of_their_own(loaded: LoadedModel) -> None:
    from farsight.methods.edvt import EDVT

    assert not has_log_z(seen(loaded, EDVT()))
    assert has_log_z(seen(loaded))


def test_without_a_picture_what_counts_is_the_prompt_behind_its_first_token(loaded: LoadedModel) -> None:
    [found] = diagnose(loaded, None, "What is this?", {"one": Plain()}, max_new_tokens=40, answer=SAID)
    prompt = np.arange(1, found.prompt_slots)
    np.testing.assert_array_equal(found.layout.context, prompt)
    rows = np.arange(found.prompt_slots, found.prompt_slots + len(found.pieces))
    np.testing.assert_allclose(uniform_shares(found)[0], len(prompt) / rows, rtol=1e-6)
    flow = found.arrays["flow"]
    assert not flow[:, SOURCES.index("image")].any()
    np.testing.assert_allclose(flow.sum(1), 1, atol=1e-5)
    np.testing.assert_allclose(found.arrays["maps"].sum(-1), image_shares(found), atol=1e-6)


def test_a_trained_sink_takes_its_own_share_and_registers_theirs() -> None:
    """Of a row's ``Z + S + R`` registers take ``R``, and nothing is put down to them where there are none."""
    model = models.gpt_oss("eager")
    inputs = models.prompt(model)
    layout = Layout(
        inputs=inputs, prompt_slots=inputs["input_ids"].shape[1], visual=np.arange(0), frames=0, grid=None, shown=()
    )
    loaded = LoadedModel(model, None, "tiny")
    sink = torch.stack([layer.self_attn.sinks for layer in model.get_decoder().layers]).detach().numpy()[..., None]

    def seen(method: Method) -> Diagnosis:
        collected = replayed(loaded, layout, method, [11, 12, 13], 3)
        arrays = {field.name: getattr(collected, field.name).numpy() for field in fields(collected)}
        return Diagnosis(label="", layout=layout, tokens=(), pieces=("",) * 3, max_new_tokens=3, arrays=arrays)

    with torch.no_grad():
        plain, registers = seen(Plain()), seen(FarSight(sigma=0.3))
    np.testing.assert_allclose(absorbed(plain), 0, atol=1e-6)
    np.testing.assert_allclose(plain.arrays["own"], 1 - np.exp(sink - plain.arrays["lse"]), atol=1e-6)
    np.testing.assert_allclose(absorbed(registers).mean(-1)[0], shares_of_sigmas(plain, [0.3])[0, 0], atol=1e-6)
    assert absorbed(registers).max() > 0.05


def test_wrong_input_names_the_remedy(loaded: LoadedModel) -> None:
    with pytest.raises(SettingError, match="no methods are given"):
        diagnose(loaded, RED, "What?", {})
    with pytest.raises(SettingError, match="max_new_tokens must be at least 1"):
        diagnose(loaded, RED, "What?", {"plain": Plain()}, max_new_tokens=0)
    with pytest.raises(InputError, match="no frames"):
        diagnose(loaded, [], "What?", {"plain": Plain()})
    with pytest.raises(InputError, match="no pictures"):
        calibrate(loaded, [], "What?", absorb=0.1)
    with pytest.raises(SettingError, match="absorb must be a share"):
        calibrate(loaded, [RED], "What?", absorb=1.5)


def test_arrays_take_memory_that_grows_with_the_length(loaded: LoadedModel) -> None:
    """Not with its square: no array has two axes of the sequence."""
    short, long = (seen(loaded, answer=SAID * count, max_new_tokens=40 * count) for count in (1, 5))
    small, large = (sum(array.nbytes for array in found.arrays.values()) for found in (short, long))
    assert large / small < len(long.tokens) / len(short.tokens) * 1.2
