"""`farsight serve embedded --engine vllm` answers the openai client, alone and many at once."""

from __future__ import annotations

import base64
import io
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from transformers import AutoTokenizer
from vllm_engine import reference

from farsight_scenes import checkpoint_path

SETTINGS = {"sigma": 0.02, "strength": 8.0}
PICTURES, TOGETHER, TOKENS = 4, 32, 24
SECONDS_TO_START = 900


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    port = free_port()
    method = f"farsight(horizon=infinite, {', '.join(f'{name}={value}' for name, value in SETTINGS.items())})"
    command = [sys.executable, "-m", "farsight", "serve", "embedded", "--engine", "vllm", "--port", str(port)]
    command += ["--method", method]
    command += ["--dtype", "float32", "--enforce-eager", "--max-model-len", "512", "--block-size", "32"]
    command += ["--max-num-seqs", "32", "--kv-cache-memory-bytes", str(2**26)]
    log = tmp_path_factory.mktemp("server") / "log"
    environment = {**os.environ, "VLLM_LOGGING_LEVEL": "INFO"}
    with (
        log.open("w") as written,
        subprocess.Popen(command, stdout=written, stderr=subprocess.STDOUT, env=environment) as run,
    ):
        try:
            wait(run, port, log)
            assert "FarSight: registers in 4 layers (CPU_ATTN)" in log.read_text()
            yield OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", timeout=120)
        finally:
            run.terminate()
            run.wait(60)


def wait(run: subprocess.Popen[bytes], port: int, log: Path) -> None:
    until = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < until:
        assert run.poll() is None, log.read_text()[-4000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(1)
    raise AssertionError(log.read_text()[-4000:])


def ask(client: OpenAI, number: int) -> str:
    """What is said about one of the pictures, or, for the last numbers, without any."""
    content: list[Any] = [{"type": "text", "text": reference.PROMPT}]
    if number % (PICTURES + 1) < PICTURES:
        data = io.BytesIO()
        reference.picture(number % (PICTURES + 1)).save(data, "png")
        url = "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()
        content.insert(0, {"type": "image_url", "image_url": {"url": url}})
    answer = client.chat.completions.create(
        model="embedded",
        messages=[{"role": "user", "content": content}],
        temperature=0,
        max_tokens=TOKENS + number % 8,
        extra_body={"ignore_eos": True},
    )
    return answer.choices[0].message.content or ""


def test_answers_are_those_of_farsight_in_transformers(server: OpenAI) -> None:
    words = AutoTokenizer.from_pretrained(checkpoint_path())
    for number in (0, 1, PICTURES):
        asked = reference.request(reference.picture(number) if number < PICTURES else None)
        expected = reference.continued(asked, reference.farsight(SETTINGS), TOKENS + number % 8)
        assert ask(server, number) == words.decode(expected, skip_special_tokens=True)


def test_many_requests_at_once_are_answered_as_each_alone(server: OpenAI) -> None:
    alone = [ask(server, number) for number in range(TOGETHER)]
    with ThreadPoolExecutor(TOGETHER) as pool:
        together = list(pool.map(lambda number: ask(server, number), range(TOGETHER)))
    assert together == alone
    assert len(set(alone)) > PICTURES
