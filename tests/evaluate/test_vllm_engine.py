"""Which methods go into vLLM, and as what. vLLM itself is in vllm_engine/."""

from __future__ import annotations

import multiprocessing
from importlib.util import find_spec
from pathlib import Path

import pytest

from farsight import FLB, FarSight, Plain
from farsight.errors import InputError, SettingError
from farsight.evaluate.vllm_engine import _Process
from farsight.evaluate.vllm_worker import Start
from farsight.methods.grammar import parse_method
from farsight.methods.in_vllm import additional_config
from farsight.vllm_plugin import Boost, Sinks


def test_registers_of_an_infinite_horizon_are_the_plugin_s_settings() -> None:
    method = FarSight(horizon="infinite", sigma=0.1, slopes="alibi", strength=((1, 2), (3, 4)), layers=(0,), heads=(1,))
    assert Sinks.read(additional_config(method)) == Sinks(
        sigma=0.1, slopes="alibi", strength=((1, 2), (3, 4)), layers=(0,), heads=(1,)
    )


def test_first_logits_are_the_plugin_s_settings_alone_and_with_registers() -> None:
    method = FLB(gamma=0.5, rate=0.1, beta=0.2)
    assert Boost.read(additional_config(method)) == Boost(gamma=0.5, rate=0.1, beta=0.2)
    both = additional_config(method + FarSight(horizon="infinite", sigma=0.1))
    assert (Boost.read(both), Sinks.read(both)) == (Boost(gamma=0.5, rate=0.1, beta=0.2), Sinks(sigma=0.1))
    assert Boost() == Boost(**{name: getattr(FLB(), name) for name in ("gamma", "rate", "beta")})


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (True, "must be settings such as"),
        ({"lambda": 1}, "flb in vLLM has no setting 'lambda'; choose from gamma, rate, beta"),
        ({"beta": 2}, "beta must be a number from 0 to 1"),
    ],
)
def test_settings_of_flb_without_meaning_are_refused(config: object, problem: str) -> None:
    with pytest.raises(SettingError, match=problem):
        Boost.read({"farsight-flb": config})


def test_greedy_decoding_is_vllm_without_the_plugin() -> None:
    assert additional_config(Plain()) == {}


@pytest.mark.parametrize(
    ("text", "because"),
    [
        ("farsight", r"horizon=generation is no constant per head.*write farsight\(horizon=infinite\)"),
        ("farsight(horizon=64)", "horizon=64"),
        ("farsight(horizon=infinite, rows=text)", "rows must be one of all, generated in vLLM, got 'text'"),
        ("farsight(horizon=infinite, profile=none)", "profile='none' is no constant per head"),
        ("farsight(horizon=infinite, score_scale=2)", "score_scale=2 is no constant per head"),
        ("constant", "method 'constant' does not run in vLLM"),
        ("opera", "method 'opera' does not run in vLLM"),
        ("farsight-released", "does not run in vLLM"),
        ("flb+beam", r"method 'flb\+beam' does not run in vLLM"),
        ("flb+farsight", "horizon=generation is no constant per head"),
        ("farsight(horizon=infinite)+beam", r"method 'farsight\+beam' does not run in vLLM"),
    ],
)
def test_what_vllm_cannot_do_is_refused_with_the_remedy(text: str, because: str) -> None:
    with pytest.raises(SettingError, match=rf"{because}.*--engine local"):
        additional_config(parse_method(text))


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vLLM is installed")
def test_what_goes_wrong_in_the_engine_s_process_is_told_with_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    with pytest.raises(InputError, match="vLLM cannot answer with 'some model': No module named 'vllm'") as raised:
        _Process(Start(source=str(tmp_path), name="some model", dtype=None, log=log))
    kept = Path(str(raised.value).rpartition("its log is ")[2].removesuffix(")"))
    assert "Traceback" in kept.read_text()
    kept.unlink()
    assert multiprocessing.active_children() == []
