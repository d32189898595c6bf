"""Requests that wait together are answered in one batch, and each as if it were alone."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from chat_server import picture_part
from PIL import Image
from tiny_checkpoint import SIDE, save_tiny_llava

from farsight import FarSight
from farsight.inputs.checkpoints import LoadedModel, load
from farsight.inputs.named_models import MODELS
from farsight.inputs.named_models import load as load_named
from farsight.method import Method
from farsight.methods.grammar import parse_method

pytest.importorskip("starlette", reason="pip install starlette")

from farsight.serve.answers import ApiError
from farsight.serve.batch import Ended, Job, News, Piece
from farsight.serve.limits import Limits
from farsight.serve.prompt import served
from farsight.serve.request import parse
from farsight.serve.worker import Worker

WAITING = 20.0
METHODS = [
    "plain",
    "farsight(profile=3.0)",
    "farsight(sigma=0.02, rows=text)",
    "farsight(profile=1.0)+beam(num_beams=2)",
    "m3id",
    "deco",
    "flb",
]


class Asked:
    """A request, and all that is said about it."""

    def __init__(self, asked: dict[str, Any]) -> None:
        self.asked, self.pieces = asked, ""
        self.end: Ended | ApiError | None = None
        self.done = threading.Event()
        self.leaves_at_once = False
        self.job: Job | None = None

    def hear(self, news: News) -> None:
        if isinstance(news, Piece):
            self.pieces += news.text
            if self.leaves_at_once and self.job is not None:
                self.job.cancelled.set()
        else:
            self.end = news
            self.done.set()


class Server:
    """A worker of which it is known what it has computed."""

    def __init__(self, loaded: LoadedModel, method: Method, **limits: Any) -> None:
        self.loaded, self.limits = loaded, Limits(**limits)
        self.known = served(loaded, {"it": method})
        self.worker = Worker(loaded, {"it": method}, self.known, self.limits)
        self.batches: list[int] = []
        """Rows of each forward pass"""

    def ask(self, requests: Sequence[dict[str, Any]], leaving: Sequence[int] = ()) -> list[Asked]:
        """Have requests wait until all of them are there, and then answered."""
        asked = [Asked(request) for request in requests]
        self.hear(asked, leaving)
        return asked

    def hear(self, asked: Sequence[Asked], leaving: Sequence[int] = ()) -> None:
        gate = threading.Event()
        first = {"messages": [{"role": "user", "content": "What?"}], "max_tokens": 1, "seed": 0}
        self._submit(first, lambda _: gate.wait(WAITING) and self.batches.clear())
        for number, one in enumerate(asked):
            one.leaves_at_once = number in leaving
            one.job = self._submit(one.asked, one.hear)
        gate.set()
        for number, one in enumerate(asked):
            assert number in leaving or one.done.wait(WAITING)

    def alone(self, requests: Sequence[dict[str, Any]]) -> list[Asked]:
        """Have each request answered before the next is there."""
        return [self.ask([request])[0] for request in requests]

    def _submit(self, asked: dict[str, Any], listener: Any) -> Job:
        job = Job(request=parse(json.dumps(asked).encode(), self.known, self.limits), listener=listener)
        self.worker.submit(job)
        return job


@contextmanager
def serving(loaded: LoadedModel, method: Method, **limits: Any) -> Iterator[Server]:
    server = Server(loaded, method, **limits)

    def called(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        ids = kwargs["input_ids"] if kwargs.get("input_ids") is not None else kwargs["inputs_embeds"]
        server.batches.append(ids.shape[0])

    hook = loaded.model.register_forward_pre_hook(called, with_kwargs=True)
    try:
        yield server
    finally:
        hook.remove()
        assert server.worker.close(WAITING)


def about(text: str, picture: Image.Image | None = None, **more: Any) -> dict[str, Any]:
    parts = [] if picture is None else [picture_part(picture)]
    return {
        "messages": [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}],
        "max_tokens": 12,
        **more,
    }


def colours(count: int, side: int = SIDE) -> list[Image.Image]:
    return [Image.new("RGB", (side, side), (40 * number, 250 - 40 * number, 90)) for number in range(count)]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """In float64, in which no rounding decides between two tokens."""
    return load(save_tiny_llava(tmp_path_factory.mktemp("tiny-llava")), device="cpu", dtype=torch.float64)


@pytest.fixture(scope="module")
def embedded() -> LoadedModel:
    return load_named("embedded", "cpu", None, None)


@pytest.mark.parametrize("method", METHODS)
def test_each_answer_of_a_batch_is_the_one_that_it_is_alone(tiny: LoadedModel, method: str) -> None:
    texts = ["What?", "What is in this picture, in a few words?", "Describe this image in detail.", "Where?"]
    lengths = [12] * 4 if "beam" in method else [12, 5, 9, 12]
    requests = [
        about(text, picture, max_tokens=most) for text, picture, most in zip(texts, colours(4), lengths, strict=True)
    ]
    with serving(tiny, parse_method(method)) as server:
        if "beam" not in method:
            whole = [one.end for one in server.alone(requests[2:])]
            requests[2]["stop"] = ["never said", whole[0].text[4:6]]
            requests[3]["stream"] = True
        alone = server.alone(requests)
        together = server.ask(requests)
        assert min(server.batches) >= 4
    assert [one.end for one in together] == [one.end for one in alone]
    assert [one.pieces for one in together] == [one.pieces for one in alone]
    assert len({one.end.text for one in together}) > 1
    assert len({one.end.usage.prompt for one in together}) == 4


def test_captions_of_real_pictures_are_those_that_they_are_alone(embedded: LoadedModel) -> None:
    examples = MODELS.find("embedded").examples()
    pictures = [one.seen for one in examples if isinstance(one.seen, Image.Image)][:4]
    texts = [
        "Describe this image in detail.",
        "Is there a dog in the image?",
        "Describe this image.",
        "Is there a car in the image?",
    ]
    requests = [about(text, picture, max_tokens=40) for text, picture in zip(texts, pictures, strict=True)]
    del requests[2]["max_tokens"]
    with serving(embedded, FarSight(sigma=0.02)) as server:
        alone = server.alone(requests)
        together = server.ask(requests)
        assert max(server.batches) == 4
    assert [one.end for one in together] == [one.end for one in alone]
    assert {one.end.finish_reason for one in together} == {"stop", "length"}


def test_only_requests_of_one_kind_share(tiny: LoadedModel) -> None:
    [picture] = colours(1)
    kinds = [
        [about("What?"), about("Who?")],
        [about("What?", picture), about("Where is it?", picture)],
        [about("What?", logit_bias={70: 2}), about("Why?", logit_bias={70: 2})],
        [about("What?", frequency_penalty=1), about("Why so?", frequency_penalty=1)],
        [about("What?", repetition_penalty=1.5), about("Why?!", repetition_penalty=1.5)],
    ]
    requests = [request for pair in zip(*kinds, strict=True) for request in pair]
    with serving(tiny, FarSight(profile=3.0)) as server:
        alone = server.alone(requests)
        together = server.ask(requests)
        assert server.batches == [2] * 12 * len(kinds)
    assert [one.end for one in together] == [one.end for one in alone]


def test_a_seed_is_answered_alone_and_so_is_a_penalty_that_would_read_padding(tiny: LoadedModel) -> None:
    seeds = [about("What?", seed=number % 2, temperature=1.0) for number in range(4)]
    penalties = [about("What?", repetition_penalty=1.5), about("What is it?", repetition_penalty=1.5)]
    with serving(tiny, FarSight(profile=3.0)) as server:
        for requests in (seeds, penalties):
            alone = server.alone(requests)
            together = server.ask(requests)
            assert set(server.batches) == {1}
            assert [one.end for one in together] == [one.end for one in alone]


def test_no_more_share_than_the_operator_allows(tiny: LoadedModel) -> None:
    with serving(tiny, FarSight(), batch_size=3) as server:
        server.ask([about("What?") for _ in range(7)])
        assert server.batches == [3] * 24 + [1] * 12
    with serving(tiny, FarSight(), batch_size=1) as server:
        server.ask([about("What?") for _ in range(2)])
        assert server.batches == [1] * 24


def test_what_is_wrong_with_one_request_is_no_matter_of_the_others(tiny: LoadedModel) -> None:
    requests = [about("What?"), about("a" * 600), about("Who?"), about("Where?")]
    with serving(tiny, FarSight(profile=3.0)) as server:
        alone = server.alone(requests)
        together = server.ask(requests)
    assert [str(one.end) for one in together] == [str(one.end) for one in alone]
    assert [isinstance(one.end, ApiError) for one in together] == [False, True, False, False]


def test_a_batch_that_does_not_fit_in_memory_is_halved(tiny: LoadedModel) -> None:
    requests = [about("What?", max_tokens=3) for _ in range(5)]

    def out_of_memory(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if kwargs["input_ids"].shape[0] > 2:
            raise torch.OutOfMemoryError

    with serving(tiny, FarSight(profile=3.0)) as server:
        alone = server.alone(requests)
        hook = tiny.model.register_forward_pre_hook(out_of_memory, with_kwargs=True)
        try:
            together = server.ask(requests)
        finally:
            hook.remove()
    assert [one.end for one in together] == [one.end for one in alone]


def test_who_leaves_ends_one_row_and_no_other(tiny: LoadedModel) -> None:
    requests = [
        about("What?", stream=True, max_tokens=200),
        about("Who is it?", max_tokens=9),
        about("Who?", max_tokens=30),
    ]
    with serving(tiny, FarSight(profile=3.0)) as server:
        alone = server.alone(requests[1:])
        gone, *stayed = server.ask(requests, leaving=[0])
        assert server.batches == [3] * 30
    assert [one.end for one in stayed] == [one.end for one in alone]
    assert gone.pieces


def test_a_short_answer_does_not_wait_for_a_long_one(tiny: LoadedModel) -> None:
    with serving(tiny, FarSight()) as server:
        requests = [about("What?", max_tokens=2), about("Who?", max_tokens=60, stream=True)]
        asked = [Asked(request) for request in requests]
        said_meanwhile: list[str] = []
        tell = asked[0].hear

        def hear(news: News) -> None:
            said_meanwhile.append(asked[1].pieces)
            tell(news)

        asked[0].hear = hear  # type: ignore[method-assign]
        server.hear(asked)
        assert server.batches == [2] * 60
    assert len(said_meanwhile[0]) < len(asked[1].pieces) / 4
