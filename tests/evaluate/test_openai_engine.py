"""A server that speaks OpenAI's API answers a run; what goes wrong there is a row, a second try, or the end."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from PIL import Image
from troubled_server import TORN, Behaves, Raw, Troubled, answer, prompt_of, status, troubled

from farsight import FarSight, InputError, Plain, SettingError
from farsight.evaluate.engine import Answer, Failure, Request, Said
from farsight.evaluate.openai_engine import OpenAIEngine
from farsight.evaluate.openai_server import Server, ServerError
from farsight.images import open_image
from farsight.method import Method
from farsight.methods.grammar import parse_method
from farsight.methods.in_requests import as_tokens, named

pytest.importorskip("openai", reason="pip install openai")

REGISTERS = FarSight(horizon="infinite", sigma=0.0953)


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.new("RGB", (30, 20), (200, 90, 0)).save(path)
    return path


def engine(server: Troubled, **more: Any) -> OpenAIEngine:
    asked = {Plain(): {}, REGISTERS: {"chat_template_kwargs": {"registers": 10}}}
    return OpenAIEngine(base_url=server.url, model="m", **{"timeout": 5.0, "retries": 1, "asked": asked, **more})


def request(path: Path, *prompts: str, method: Method | None = None, **more: Any) -> Request:
    about = {"paths": [path] * len(prompts), "prompts": prompts, "medium": "picture", "max_new_tokens": 4, **more}
    return Request(number=0, method=method or Plain(), **about)


def said(engine: OpenAIEngine, request: Request) -> Said:
    [(_, answers)] = engine.answers([request])
    return answers


def for_prompt(bad: str, does: Any) -> Behaves:
    """Do something when asked one prompt; answer all others with their own text."""

    def behaves(asked: dict[str, Any], before: int) -> Any:
        if prompt_of(asked) != bad:
            return prompt_of(asked)
        return does(before) if callable(does) else does

    return behaves


def test_a_request_has_the_picture_the_prompt_and_the_method(picture: Path) -> None:
    with troubled(lambda asked, _: f" {prompt_of(asked)}\n") as server:
        assert said(engine(server), request(picture, "a", "b", method=REGISTERS)) == [
            Answer(text=text, tokens=2, ended=True, absorbed=None) for text in ("a", "b")
        ]
    first = next(asked for asked in server.asked if prompt_of(asked) == "a")
    url = first["messages"][0]["content"][0]["image_url"]["url"]
    with Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))) as sent:
        assert sent.tobytes() == open_image(picture).tobytes()
    del first["messages"]
    assert first == {"model": "m", "max_tokens": 4, "temperature": 0, "chat_template_kwargs": {"registers": 10}}
    assert server.keys == {"Bearer none"}


def test_a_prompt_about_nothing_is_a_text(picture: Path) -> None:
    with troubled(lambda *_: status(400)) as server, pytest.raises(InputError, match="does not answer"):
        said(engine(server), request(picture, "a", medium="text", paths=[None]))
    assert [asked["messages"][0]["content"] for asked in server.asked] == ["a", "What is this?"]


def test_a_batch_is_asked_at_once(picture: Path) -> None:
    together = Barrier(8)

    def waiting(*_: Any) -> str:
        together.wait(20)
        return "yes"

    with troubled(waiting) as server:
        assert len(said(engine(server, timeout=30), request(picture, *"abcdefgh"))) == 8


def test_an_answer_that_was_cut_off_has_not_ended(picture: Path) -> None:
    with troubled(lambda *_: answer("yes", finish_reason="length", tokens=4)) as server:
        assert said(engine(server), request(picture, "a")) == [Answer(text="yes", tokens=4, ended=False, absorbed=None)]


@pytest.mark.parametrize(
    "does",
    [status(500), status(503), status(429), status(408), TORN, answer(seconds=9)],
    ids=["500", "503", "429", "408", "torn", "slow"],
)
def test_what_may_go_better_is_asked_again(picture: Path, does: Raw) -> None:
    with troubled(for_prompt("bad", lambda before: "well" if before else does)) as server:
        answers = said(engine(server, timeout=3), request(picture, "good", "bad"))
    assert [one.text for one in answers if isinstance(one, Answer)] == ["good", "well"]
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("does", "because", "times"),
    [
        (status(400, "too\nlong"), r"too long \(status 400\)", 1),
        (status(422), r"no \(status 422\)", 1),
        (status(500, "broken"), r"broken \(status 500\)", 2),
        (Raw(status=502, body=b"<html>Bad Gateway"), r"502 \(status 502\)", 2),
        (TORN, r"Connection error", 2),
        (answer(seconds=9), "timed out", 2),
        (Raw(body=b"{"), "the answer is not JSON", 1),
        (Raw(body=b""), "the answer is not JSON", 1),
        (Raw(body=b"\xff\xfe{}"), "the answer is not JSON", 1),
        (Raw(body=b"[]"), "has no 'choices': is this OpenAI's API", 1),
        (Raw(body=b'{"choices": []}'), "has no 'usage'", 1),
        (Raw(body=b'{"choices": [], "usage": {}}'), "has no text", 1),
        (Raw(body=b'{"choices": [7], "usage": {}}'), "has no text", 1),
        (answer(None), "has no text", 1),
        (answer(tokens=None), "how many tokens", 1),
        (answer(tokens=True), "how many tokens", 1),
        (answer(finish_reason="content_filter"), "was ended by 'content_filter'", 1),
        (answer(finish_reason="length", tokens=3), "cut off after 3 of 4 tokens: the server has no more room", 1),
    ],
    ids=lambda value: None if isinstance(value, Raw) else str(value)[:30],
)
def test_what_stays_wrong_is_the_error_of_its_item(picture: Path, does: Raw, because: str, times: int) -> None:
    with troubled(for_prompt("bad", does)) as server:
        good, bad, better = said(engine(server, timeout=2), request(picture, "good", "bad", "better"))
    assert isinstance(good, Answer)
    assert isinstance(better, Answer)
    assert isinstance(bad, Failure)
    assert re.search(because, bad.reason)
    assert "\n" not in bad.reason
    assert sum(prompt_of(asked) == "bad" for asked in server.asked) == times


def test_a_picture_that_cannot_be_read_is_not_sent(picture: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with troubled(lambda *_: "yes") as server:
        asked = request(picture, "a", "b", paths=[broken, picture])
        first, second = said(engine(server), asked)
    assert isinstance(first, Failure)
    assert isinstance(second, Answer)
    assert len(server.asked) == 1


@pytest.mark.parametrize("does", [status(500, "broken"), TORN, Raw(body=b"{"), status(400, "takes no pictures")])
def test_a_server_that_answers_nothing_ends_the_run_before_a_row_is_written(picture: Path, does: Raw) -> None:
    with troubled(lambda *_: does) as server, pytest.raises(InputError, match="what is answered is safe") as ended:
        said(engine(server, retries=0), request(picture, "a", "b"))
    assert str(ended.value).startswith(f"the server at {server.url} does not answer (")
    assert len(server.asked) == 3


def test_a_single_bad_prompt_does_not_end_the_run(picture: Path) -> None:
    with troubled(for_prompt("bad", status(400))) as server:
        assert said(engine(server), request(picture, "bad")) == [Failure(reason="no (status 400)")]
    assert [prompt_of(asked) for asked in server.asked] == ["bad", "What is this?"]


def test_a_server_that_is_gone_is_one_line(picture: Path) -> None:
    with troubled(lambda *_: "yes") as server:
        pass
    with pytest.raises(InputError, match=r"does not answer \(Connection error. \(ConnectError\)\)"):
        said(engine(server, retries=0), request(picture, "a"))


@pytest.mark.parametrize("code", [401, 403, 404, 429])
def test_what_no_request_can_mend_ends_the_run(picture: Path, code: int) -> None:
    with (
        troubled(for_prompt("bad", status(code, "never"))) as server,
        pytest.raises(ServerError, match=rf"takes no request: never \(status {code}\); what is answered is safe"),
    ):
        said(engine(server, retries=0), request(picture, "good", "bad"))


def test_the_key_is_the_environment_s_and_is_never_shown(picture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    with troubled(for_prompt("bad", status(400, "Incorrect API key sk-secret"))) as server:
        made = engine(server)
        _, bad = said(made, request(picture, "good", "bad"))
        assert bad == Failure(reason="Incorrect API key *** (status 400)")
        assert "sk-secret" not in repr(made)
        with Server(base_url=server.url, model="m", timeout=5) as asking:
            assert "sk-secret" not in repr(asking)
    assert server.keys == {"Bearer sk-secret"}


@pytest.mark.parametrize(
    ("generation", "owner", "sent"),
    [
        ({"do_sample": False, "num_beams": 1, "repetition_penalty": 1.0, "top_k": None}, "", {"temperature": 0}),
        ({"do_sample": True}, "", {"temperature": 1.0}),
        ({"do_sample": True, "temperature": 0.7, "top_p": 0.9, "seed": 3}, "",
         {"temperature": 0.7, "top_p": 0.9, "seed": 3}),
        ({"repetition_penalty": 1.3}, "vllm", {"temperature": 0, "repetition_penalty": 1.3}),
        ({"repetition_penalty": 1.3}, "llamacpp", {"temperature": 0, "repeat_penalty": 1.3, "repeat_last_n": 131072}),
        ({"frequency_penalty": 0.5}, "", {"temperature": 0, "frequency_penalty": 0.5}),
    ],
)  # fmt: skip
def test_what_the_api_carries_is_asked(
    picture: Path, generation: dict[str, Any], owner: str, sent: dict[str, Any]
) -> None:
    with troubled(lambda *_: "yes") as server:
        said(engine(server, owner=owner), request(picture, "a", generation=generation))
    [asked] = server.asked
    del asked["messages"]
    assert asked == {"model": "m", "max_tokens": 4, **sent}


@pytest.mark.parametrize(
    ("more", "because"),
    [
        ({"generation": {"repetition_penalty": 1.3}}, "has no repetition_penalty.*a server of 'library' is not known"),
        ({"generation": {"num_beams": 4}}, "does not carry num_beams"),
        ({"generation": {"no_repeat_ngram_size": 3}}, "does not carry no_repeat_ngram_size"),
        ({"generation": {"temperature": 0.5}}, "temperature is given without do_sample"),
        ({"medium": "video"}, "OpenAI's API has no videos"),
        ({"medium": "completion", "paths": [None]}, "this task has texts to go on with: choose one that asks"),
    ],
)
def test_what_it_does_not_carry_is_refused(picture: Path, more: dict[str, Any], because: str) -> None:
    with troubled(lambda *_: "yes") as server, pytest.raises(SettingError, match=because):
        said(engine(server, owner="library"), request(picture, "a", **more))
    assert not server.asked


def counting(begins: int = 0, *, asks: bool = True) -> Behaves:
    """A server whose prompt has as many registers in front as its template is told, and ``begins`` otherwise."""

    def behaves(asked: dict[str, Any], _: int) -> Any:
        if "chat_template_kwargs" in asked and not asks:
            return status(400, "Unrecognized request argument: chat_template_kwargs")
        return answer(prompt=10 + asked.get("chat_template_kwargs", {}).get("registers", begins))

    return behaves


def told(behaves: Behaves, *methods: str) -> list[dict[str, Any]]:
    with troubled(behaves) as server, Server(base_url=server.url, model="m", timeout=5) as asking:
        made = {text: parse_method(text) for text in methods}
        asked = as_tokens(made, asking.prompt_tokens)
        return [asked[method] for method in made.values()]


def registers(tokens: int) -> dict[str, Any]:
    return {"chat_template_kwargs": {"registers": tokens}}


@pytest.mark.parametrize(
    ("behaves", "methods", "expected"),
    [
        (counting(), ["greedy"], [{}]),
        (counting(asks=False), ["greedy"], [{}]),
        (counting(5), ["greedy"], [registers(0)]),
        (counting(5), ["greedy", "farsight(horizon=infinite, sigma=0.0953)", "farsight(horizon=infinite, sigma=0.693)"],
         [registers(0), registers(10), registers(1)]),
        (counting(), ["farsight(horizon=infinite, sigma=0.69314718, strength=3.0)"], [registers(3)]),
    ],
    ids=["greedy", "knows no templates", "has registers of its own", "several", "strength"],
)  # fmt: skip
def test_registers_are_tokens_that_are_seen_to_arrive(
    behaves: Behaves, methods: list[str], expected: list[dict[str, Any]]
) -> None:
    assert told(behaves, *methods) == expected


@pytest.mark.parametrize(
    ("behaves", "method", "because"),
    [
        (lambda *_: answer(prompt=10), "farsight(horizon=infinite, sigma=0.0953)",
         "is 10 tokens in front.*the server makes 0 of it: serve a model that 'farsight export' has written"),
        (counting(asks=False), "farsight(horizon=infinite, sigma=0.0953)", "the server does not take it"),
        (counting(), "farsight(horizon=infinite, sigma=0.1)", "registers of mass 9.508.*write sigma=0.0953102, which"),
        (counting(), "farsight(horizon=infinite)", "registers of mass 0.816.*write sigma=0.693147, which is 1"),
        (counting(), "farsight(horizon=infinite, sigma=9)", "registers of mass 0.0001.*write sigma=0.693147"),
        (counting(), "farsight", r"cannot be asked.*farsight\(horizon=infinite, sigma=log\(1 \+ 1/n\)\) as n tokens"),
        (counting(), "opera", "cannot be asked of a server that has no methods by name"),
        (counting(), "farsight(horizon=infinite)+beam", "cannot be asked"),
        (counting(), "farsight(horizon=infinite, rows=generated)", "tokens have no rows, every row of every layer"),
        (counting(), "farsight(horizon=infinite, layers=[0])", "tokens have no layers"),
        (counting(), "farsight(horizon=infinite, profile=none)", "tokens have no profile"),
        (counting(), "farsight(horizon=infinite, slopes=alibi)", "tokens have no slopes"),
        (counting(), "farsight(horizon=infinite, strength=[1, 2])", "tokens have no strength of single layers"),
    ],
)  # fmt: skip
def test_a_method_that_a_server_cannot_do_is_refused(behaves: Behaves, method: str, because: str) -> None:
    with pytest.raises(SettingError, match=because):
        told(behaves, "greedy", method)


def test_a_server_with_methods_is_asked_by_their_names() -> None:
    known = {"mine": {"name": "plain"}, "x": {"name": "dola", "early_layers": None}}
    assert named(Plain(), known) == {"method": "mine"}
    with pytest.raises(SettingError, match=r"'farsight\(sigma=0.1\)' is none of what this server has \(mine, x\)"):
        named(FarSight(sigma=0.1), known)


@pytest.mark.parametrize(
    ("models", "because"),
    [
        ({"data": [{"id": "a"}, {"id": "b"}]}, r"--model 'm': the server at .* has 'a', 'b'; pass one of its own"),
        ({"data": []}, "has none"),
        ({"models": []}, "the list of models has no 'data': is this OpenAI's API"),
        (Raw(body=b"<html>"), "the list of models is not JSON"),
        (status(401, "no key"), r"no key \(status 401\)"),
    ],
)
def test_a_server_without_the_model_is_refused(models: Any, because: str) -> None:
    with (
        troubled(lambda *_: "yes", models=models) as server,
        Server(base_url=server.url, model="m", timeout=5, retries=0) as asking,
        pytest.raises(ServerError, match=because),
    ):
        asking.described()


def test_a_server_that_lists_no_models_is_asked_all_the_same() -> None:
    with (
        troubled(lambda *_: "yes", models=status(404)) as server,
        Server(base_url=server.url, model="m", timeout=5) as asking,
    ):
        assert asking.described().owner == ""
        assert asking.prompt_tokens({}) == 10


def test_an_address_that_is_another_is_refused_with_the_remedy() -> None:
    with (
        troubled(lambda *_: status(404, "nothing here"), models=status(404)) as server,
        Server(base_url=server.url, model="m", timeout=5) as asking,
        pytest.raises(ServerError, match=r"nothing here \(status 404\); does it end in /v1\?"),
    ):
        asking.prompt_tokens({})


@pytest.mark.parametrize(
    ("url", "because"),
    [
        ("127.0.0.1:8000/v1", "is no address"),
        ("http://", "is no address"),
        ("http://127.0.0.1:port/v1", "is no address"),
        ("file:///etc/passwd", "is no address"),
        ("http://user:sk-secret@127.0.0.1/v1", "has more in it than an address: put a key into"),
        ("http://127.0.0.1/v1?key=sk-secret", "has more in it than an address"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, because: str) -> None:
    with pytest.raises(SettingError, match=because) as refused:
        Server(base_url=url, model="m", timeout=5)
    assert "sk-secret" not in str(refused.value)
