"""A job: what is chosen, what is said while it runs, and how it is stopped."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import pytest
from PIL import Image
from tiny_checkpoint import save_tiny_llava

from farsight.cancelling import CancelledError, stops
from farsight.description import generate
from farsight.errors import InputError, SettingError
from farsight.farsight import FarSight
from farsight.inputs.checkpoints import load
from farsight.method import Composed, Plain, active_method
from farsight.methods.opera import OPERA
from farsight.web.choices import METHOD_NAMES, chosen_method, has_sliders
from farsight.web.comparing import Question, compared
from farsight.web.gallery import gallery
from farsight.web.models import Models
from farsight.web.sessions import Sessions, Shown

PICTURE = Image.new("RGB", (40, 30), "red")
PROMPT = "Describe this image in detail."


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llava(tmp_path_factory.mktemp("tiny-llava"))


@pytest.fixture(scope="module")
def embedded() -> Models:
    return Models(device="cpu")


def question(*methods: FarSight | Plain) -> Question:
    return Question(shown=shown(), prompt="Describe.", methods=methods, max_new_tokens=6)


def shown(size: int = 0) -> Shown:
    return Shown(name="red", seen=lambda: PICTURE, source="data:,", is_video=False, size=size)


def test_every_method_that_is_offered_can_be_made() -> None:
    assert chosen_method("farsight", 0.05, 64) == FarSight(sigma=0.05, horizon=64)
    assert chosen_method("farsight", 0.8, 0) == FarSight()
    assert isinstance(chosen_method("farsight+beam", 0.05, 0), Composed)
    for name in METHOD_NAMES:
        chosen_method(name, 0.5, 0)


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_every_method_that_is_offered_describes_a_drawn_scene_and_shows_where_it_looked(
    embedded: Models, name: str
) -> None:
    asked = Question(shown=gallery()[0], prompt=PROMPT, methods=[chosen_method(name, 0.05, 0)], max_new_tokens=4)
    *_, state = compared(embedded, asked, Event())
    assert state.columns[0].text.strip()
    assert state.columns[0].found is not None
    assert state.note == ""


def test_a_method_of_whoever_started_the_page_is_taken_as_it_is() -> None:
    given = {"farsight(sigma=0.3)": FarSight(sigma=0.3)}
    assert chosen_method("farsight(sigma=0.3)", 0.05, 64, given) == FarSight(sigma=0.3)
    with pytest.raises(SettingError, match="unknown method"):
        chosen_method("farsight(sigma=0.4)", 0.05, 64, given)


@pytest.mark.parametrize("name", ["farsight(load='/etc/passwd')", "load", "", "farsight+vcd+icd", "adaiat", "shift"])
def test_nothing_else_can_be_chosen(name: str) -> None:
    with pytest.raises(SettingError, match="unknown method") as refused:
        chosen_method(name, 0.8, 0)
    assert "\n" not in str(refused.value)


def test_texts_are_those_of_describe_and_grow_on_one_side_after_the_other(tiny: Path) -> None:
    models = Models(name=str(tiny), device="cpu")
    seen = []
    for state in compared(models, question(Plain(), FarSight(sigma=0.01)), Event()):
        seen.append([column.text for column in state.columns])
    loaded = models.load()
    said = [generate(loaded, method, PICTURE, "Describe.", 6).text for method in (Plain(), FarSight(sigma=0.01))]
    assert seen[-1] == said
    assert all(left.strip() == said[0] for left, right in seen if right)
    assert [column.label for column in state.columns] == ["greedy", "farsight(sigma=0.01)"]
    assert state.done
    assert state.step == state.steps


def test_a_placeholder_in_the_question_is_one_line_and_the_next_question_is_answered(tiny: Path) -> None:
    models = Models(name=str(tiny), device="cpu")
    asked = Question(shown=shown(), prompt="What is in <image> here?", methods=[Plain(), Plain()], max_new_tokens=6)
    with pytest.raises(InputError) as refused:
        list(compared(models, asked, Event()))
    assert "<image>" in str(refused.value)
    assert "\n" not in str(refused.value)
    *_, state = compared(models, question(Plain(), FarSight()), Event())
    assert state.done


def test_a_cancelled_job_stops_before_the_next_pass(tiny: Path) -> None:
    models, cancelled = Models(name=str(tiny), device="cpu"), Event()
    model = models.load().model
    passes = []
    model.register_forward_pre_hook(lambda *_: passes.append(cancelled.is_set()))

    def cancel_in_the_middle() -> None:
        for state in compared(models, question(FarSight(), Plain()), cancelled):
            if state.columns[0].text:
                cancelled.set()

    with pytest.raises(CancelledError):
        cancel_in_the_middle()
    assert passes.count(True) <= 1  # one may be under way
    assert active_method(model) is None
    assert not models.busy.locked()


def test_a_job_that_nobody_listens_to_any_more_is_stopped(tiny: Path) -> None:
    models, cancelled = Models(name=str(tiny), device="cpu"), Event()
    states = compared(models, question(Plain(), FarSight()), cancelled)
    next(states)
    next(states)
    states.close()
    assert cancelled.is_set()
    assert not models.busy.locked()


def test_a_search_is_stopped_too_and_the_model_is_as_before(tiny: Path) -> None:
    loaded, cancelled, passes = load(tiny, device="cpu"), Event(), []

    def count(*_: object) -> None:
        passes.append(1)
        if len(passes) == 3:
            cancelled.set()

    loaded.model.register_forward_hook(count)
    hooks = dict(loaded.model._forward_pre_hooks)
    with pytest.raises(CancelledError), stops(loaded.model, cancelled):
        generate(loaded, OPERA(), PICTURE, "Describe.", 40)
    assert len(passes) == 3
    assert dict(loaded.model._forward_pre_hooks) == hooks
    assert active_method(loaded.model) is None


def test_visitors_are_kept_apart_and_the_oldest_is_forgotten() -> None:
    sessions = Sessions(2, 100)
    one, other = sessions.of("a"), sessions.of("b")
    sessions.show("a", shown())
    sessions.of("b")
    assert other.shown is None
    job = one.cancelled
    sessions.of("b")
    sessions.of("c")
    assert job.is_set()
    assert one.shown is None
    assert sessions.of("b") is other
    assert len(sessions) == 2


def test_what_all_visitors_keep_is_bounded_and_the_one_away_longest_loses_theirs() -> None:
    sessions = Sessions(10, 100)
    for key in "abc":
        sessions.show(key, shown(size=40))
    assert [sessions.of(key).shown is None for key in "abc"] == [True, False, False]
    sessions.show("d", shown(size=1000))
    assert [sessions.of(key).shown is None for key in "abcd"] == [True, True, True, False]
    assert not sessions.of("a").gone


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1, 10**400, None, "0.1", [0.1], {}, True])
def test_settings_that_are_no_numbers_are_named(value: Any) -> None:
    for name, settings in (("sigma", (value, 0)), ("horizon", (0.8, value))):
        with pytest.raises(SettingError, match=f"{name} must be a number from 0 to"):
            chosen_method("greedy", *settings)


@pytest.mark.parametrize("value", [None, ["plain"], {}, 1])
def test_methods_that_are_no_names_are_refused(value: Any) -> None:
    with pytest.raises(SettingError, match="unknown method"):
        chosen_method(value, 0.8, 0)


def test_sliders_belong_to_farsight() -> None:
    assert [has_sliders(name) for name in ("greedy", "beam", "farsight", "farsight+beam", None)] == [
        False, False, True, True, False,
    ]  # fmt: skip


def test_a_new_job_cancels_the_one_before() -> None:
    session = Sessions(1, 100).of("a")
    first = session.new_job()
    second = session.new_job()
    assert first.is_set()
    assert not second.is_set()
