"""How far a race is, and how long it still takes: in the time of a clock that the test moves."""

from __future__ import annotations

import pytest

from farsight.evaluate.plan import Batch
from farsight.evaluate.tasks import Item
from farsight.method import Plain
from farsight.tune.forecast import Stage
from farsight.tune.race import Rung
from farsight.tune.time_left import TimeLeft


class Heard:
    def __init__(self) -> None:
        self.now, self.said = 0.0, ""
        self.last: tuple[str, float, float | None] = ("", 0.0, None)

    def stage(self, stage: Stage) -> None:
        self.said = stage.sentence

    def told(self, doing: str, elapsed: float, left: float | None) -> None:
        self.last = doing, elapsed, left

    def rung(self, rung: Rung) -> None: ...


def batch(label: str, kind: str, count: int) -> Batch:
    items = [
        Item(item_id=f"{n}", part="p", kind=kind, image_id=f"{n}", path=None, prompt="?", max_new_tokens=9)  # type: ignore[arg-type]
        for n in range(count)
    ]
    return Batch(label=label, method=Plain(), asked=tuple((item,) for item in items))


def stage(methods: int, captions: int = 4, questions: int = 6) -> Stage:
    return Stage(name="rung", methods=methods, pictures=4, captions=captions, questions=questions)


def test_the_time_left_is_of_all_stages_and_of_what_each_kind_of_answer_took() -> None:
    heard = Heard()
    left = TimeLeft(heard, factor=2, clock=lambda: heard.now)
    left.begin(3, stage(1), stage(1).asked, [stage(5), stage(2)])
    assert (heard.said, heard.last) == ("rung, 4 captions and 6 yes/no answers", ("rung: 0 of 10 answers", 0.0, None))
    heard.now = 8  # two seconds a caption
    left.answered(batch("plain", "caption", 4), "plain")
    heard.now = 11  # half a second a question
    left.answered(batch("plain", "question", 6), "plain")
    assert heard.last[2] is None  # nobody knows yet what timing takes
    left.begin(3, None, {}, [stage(5), stage(2)])
    heard.now = 18
    left.timed(1)
    plain = 4 * 2 + 6 * 0.5
    assert heard.last == (
        "timing methods: 2 left",
        18,
        pytest.approx(2 * 7 + plain * (1 + 4 * 2) + plain * (1 + 2)),
    )

    left.begin(0, stage(5), stage(5).asked, [stage(2)])
    heard.now += 5  # others take 5 seconds a caption, not twice as long as plain decoding
    left.answered(batch("other", "caption", 1), "plain")
    others = 15 * 5 + 24 * 0.5 * 2 + 4 * 5 + 6 * 0.5 * 2
    assert heard.last[2] == pytest.approx(2 * plain + others)


def test_what_was_answered_before_is_not_waited_for() -> None:
    heard = Heard()
    left = TimeLeft(heard, factor=1, clock=lambda: heard.now)
    left.begin(0, stage(2), {(True, True): 1, (True, False): 4}, [])
    assert heard.last[0].endswith(": 15 of 20 answers")
    heard.now = 3
    left.answered(batch("plain", "caption", 1), "plain")
    assert heard.last[2] == pytest.approx(4 * 3)
