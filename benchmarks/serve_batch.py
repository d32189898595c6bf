"""What requests gain by coming together: the time of eight at once over that of one, with shared batches and without.

    python benchmarks/serve_batch.py

Two servers hold the same model, and are asked in turn, so that both meet the same machine. Every request has a picture
of its own. Times are of the wall, from the first request to the last answer.
"""

from __future__ import annotations

import argparse
import base64
import io
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import uvicorn
from openai import OpenAI
from PIL import Image

from farsight.inputs.named_models import MODELS, load
from farsight.methods.grammar import parse_method
from farsight.serve.app import application
from farsight.serve.limits import Limits


@contextmanager
def serving(model: str, method: str, batch_size: int) -> Iterator[OpenAI]:
    """A client of a server on a free port."""
    app = application(load(model, None, None, None), parse_method(method), method, limits=Limits(batch_size=batch_size))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical", http="h11", ws="none"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield OpenAI(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}/v1", api_key="none", max_retries=0)
    finally:
        server.should_exit = True
        thread.join()


def pictures(model: str, count: int) -> list[str]:
    """URLs that hold the pictures of the model's examples, over and over."""
    named = MODELS.find(model)
    seen = [one.seen for one in (named.examples() if named else ()) if isinstance(one.seen, Image.Image)]
    urls = []
    for number in range(count):
        file = io.BytesIO()
        (seen[number % len(seen)] if seen else Image.new("RGB", (336, 336), (number, 90, 90))).save(file, "PNG")
        urls.append("data:image/png;base64," + base64.b64encode(file.getvalue()).decode())
    return urls


def seconds(client: OpenAI, model: str, urls: list[str]) -> tuple[float, list[str]]:
    """How long the answers to one question about each picture take, all asked at once, and the answers."""

    def ask(url: str) -> str:
        content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Describe this image."}]
        messages: Any = [{"role": "user", "content": content}]
        answer = client.chat.completions.create(model=model, messages=messages, max_tokens=128)
        return str(answer.choices[0].message.content)

    with ThreadPoolExecutor(len(urls)) as pool:
        started = time.perf_counter()
        answers = list(pool.map(ask, urls))
        return time.perf_counter() - started, answers


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--method", default="farsight(sigma=0.1)")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    urls = pictures(asked.model, asked.count)
    with serving(asked.model, asked.method, asked.count) as together, serving(asked.model, asked.method, 1) as apart:
        taken: dict[str, list[float]] = {"one": [], "together": [], "apart": []}
        differ = 0
        for number in range(asked.rounds + 1):
            one = seconds(apart, asked.model, urls[:1])[0]
            shared, answers = seconds(together, asked.model, urls)
            single, same = seconds(apart, asked.model, urls)
            if number:  # the first round warms up
                for name, value in (("one", one), ("together", shared), ("apart", single)):
                    taken[name].append(value)
                differ += sum(a != b for a, b in zip(answers, same, strict=True))
    print(f"{asked.count} requests at once, {asked.model}, {asked.method}, {asked.rounds} rounds in turn")
    for name, label in (("together", "in shared batches"), ("apart", "one after the other")):
        ratios = [value / one for value, one in zip(taken[name], taken["one"], strict=True)]
        print(
            f"{label}: {statistics.median(taken[name]):.2f} s, x{statistics.median(ratios):.2f} of one "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )
    print(f"answers that differ: {differ} of {asked.rounds * asked.count}")


if __name__ == "__main__":
    main()
