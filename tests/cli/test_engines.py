"""What `farsight eval` says about its engine's options; the engines themselves have tests of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from refusals import refused

from farsight.cli.engine_choices import RayChoice

OPENAI = ["--engine", "openai", "--base-url", "http://127.0.0.1:1/v1"]


@pytest.mark.parametrize(
    ("args", "because"),
    [
        (["--engine", "rya"], "unknown engine 'rya'; there are local, ray, vllm, openai"),
        (["--workers", "2"], "--workers is of --engine ray"),
        (["--gpus-per-worker", "1", "--engine", "local"], "--gpus-per-worker is of --engine ray"),
        (["--engine", "ray", "--workers", "0"], "--workers 0: at least 1 is needed"),
        (["--engine", "ray", "--gpus-per-worker", "2"], "--gpus-per-worker 2: a worker's model is on one GPU"),
        (["--engine", "ray", "--gpus-per-worker", "-1"], "--gpus-per-worker -1"),
        (["--engine", "ray", "--gpus-per-worker", "nan"], "--gpus-per-worker nan"),
        (["--engine", "ray", "--address", "here"], "--address 'here' is not an address; pass host:port"),
        (["--engine", "ray", "--device", "cuda:1"], "--device 'cuda:1': Ray gives each worker its GPU"),
        (["--engine", "ray", "--device", "cpu", "--gpus-per-worker", "1"], "--gpus-per-worker 1 with --device cpu"),
        (["--engine", "ray", "--device", "cuda", "--gpus-per-worker", "0"], "--gpus-per-worker 0 with --device cuda"),
        (["--tensor-parallel-size", "2"], "--tensor-parallel-size is of --engine vllm"),
        (["--engine", "ray", "--enforce-eager"], "--enforce-eager is of --engine vllm"),
        (["--engine", "vllm", "--workers", "2"], "--workers is of --engine ray"),
        (["--gpus-per-worker", "0"], "--gpus-per-worker is of --engine ray"),
        (["--engine", "vllm", "--tensor-parallel-size", "0"], "--tensor-parallel-size 0: at least 1 is needed"),
        (["--engine", "vllm", "--max-model-len", "-1"], "--max-model-len -1: at least 1 is needed"),
        (["--engine", "vllm", "--gpu-memory-utilization", "90"], "--gpu-memory-utilization 90: pass a share"),
        (["--engine", "vllm", "--device", "cuda"], "--device 'cuda': vLLM computes on what it was built for"),
        (["--engine", "vllm", "--task", "videos:test"], "--engine vllm is tested with pictures alone"),
        (
            ["--engine", "vllm", "--task", "lists", "--objects", "o.jsonl"],
            "--engine vllm is tested with pictures alone",
        ),
        (["--engine", "vllm"], "horizon=generation is no constant per head"),
        (["--engine", "vllm", "--methods", "greedy", "--controls"], "method 'constant' does not run in vLLM"),
        (["--engine", "vllm", "--methods", "greedy", "--dtype", "float8"], "unknown dtype 'float8'; choose float32"),
        (
            ["--engine", "vllm", "--methods", "greedy", "--attn-implementation", "sdpa"],
            "--attn-implementation 'sdpa' is of Transformers",
        ),
        (["--base-url", "http://127.0.0.1:8000/v1"], "--base-url is of --engine openai"),
        (["--timeout", "5", "--engine", "ray"], "--timeout is of --engine openai"),
        (["--engine", "openai"], "--engine openai needs a server: pass --base-url"),
        ([*OPENAI, "--workers", "2"], "--workers is of --engine ray"),
        ([*OPENAI, "--timeout", "0"], "--timeout 0: pass a number of seconds"),
        ([*OPENAI, "--timeout", "nan"], "--timeout nan: pass a number of seconds"),
        ([*OPENAI, "--device", "cuda"], "--device 'cuda': the server has its model where it is"),
        ([*OPENAI, "--dtype", "float32"], "--dtype 'float32': the server has chosen its own"),
        ([*OPENAI, "--attn-implementation", "sdpa"], "--attn-implementation 'sdpa': the server has chosen its own"),
        ([*OPENAI, "--task", "videos:test"], "OpenAI's API has no videos"),
        (["--engine", "openai", "--base-url", "localhost:1"], "--base-url 'localhost:1' is no address"),
    ],
)
def test_options_without_a_meaning_are_one_line(run: Any, tmp_path: Path, args: list[str], because: str) -> None:
    refused(run("eval", "--out", tmp_path / "run", "--count", 2, *args), because)
    assert not (tmp_path / "run" / "run.json").exists()


def test_ray_is_named_where_it_is_missing(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    result = run("eval", "--out", tmp_path / "run", "--count", 2, "--engine", "ray")
    refused(result, "--engine ray needs Ray", "pip install '.[ray]' in a clone of farsight")


def test_vllm_is_named_where_it_is_missing(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing is drawn or written."""
    monkeypatch.setitem(sys.modules, "vllm", None)
    result = run(
        "eval", "--out", tmp_path / "run", "--count", 2, "--engine", "vllm",
        "--methods", "greedy,farsight(horizon=infinite)",
    )  # fmt: skip
    refused(result, "--engine vllm needs vLLM", "pip install '.[vllm]' in a clone of farsight")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "device"),
    [
        ({"gpus_per_worker": 0.5}, "cuda"),
        ({"gpus_per_worker": 0.0}, "cpu"),
        ({"device": "cuda"}, "cuda"),
        ({"device": "cpu"}, "cpu"),
    ],
)
def test_workers_with_gpus_compute_on_them(given: dict[str, Any], device: str) -> None:
    """Also where this machine has none, as the head of a cluster may."""
    assert RayChoice(**given).device_type == device
