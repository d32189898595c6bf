"""Registers as tokens in an unmodified llama.cpp, next to FarSight in Transformers; what an export and a step cost.

    make bench-engines

exports SmolLM2-135M-Instruct in its published GGUF, starts llama.cpp's server with the result, and compares the ten
most probable tokens at each of 48 forced tokens with FarSight and with plain decoding in Transformers (float32, the
same dequantised weights). Then it takes the time of a decoded token with 10 registers and without, in turn; and exports
a made checkpoint of 8 GB (files with holes) in a process of its own, whose time and memory it measures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from engines.llama_server import LlamaServer

from farsight import FarSight, Plain
from farsight.inputs import smollm2
from farsight.inputs.checkpoints import load
from farsight.method import Method
from farsight.register_tokens import sigma_of

NUMBERS = (0, 1, 2, 5, 10, 20)
TOKEN = "<gh_stars>"
"""Of the vocabulary's tokens for source code; its row is overwritten, so that the file stays as long as it was"""
QUESTION = [{"role": "user", "content": "Describe a picture of a dog on a beach."}]
FORCED, TOP = 48, 10


def log_probabilities(model: Any, ids: Sequence[int], start: int, method: Method) -> torch.Tensor:
    """Log-probabilities of all tokens behind ``start`` tokens, behind one more, and so on, ``(rows, vocabulary)``."""
    with torch.no_grad(), method(model):
        logits: torch.Tensor = model(input_ids=torch.tensor([ids])).logits
    return logits[0, start - 1 : -1].double().log_softmax(-1)


def distance(found: Sequence[dict[int, float]], expected: torch.Tensor) -> float:
    """Mean difference of the log-probabilities of an engine's most probable tokens from those of Transformers."""
    pairs = [
        (value, float(row[token])) for one, row in zip(found, expected, strict=True) for token, value in one.items()
    ]
    return statistics.mean(abs(value - other) for value, other in pairs)


def prompt_and_forced(model: Any, tokenizer: Any) -> tuple[list[int], list[int]]:
    """The question's tokens, and those that plain decoding answers with."""
    asked = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    ids = asked["input_ids"][0].tolist()
    out = model.generate(**asked, do_sample=False, min_new_tokens=FORCED, max_new_tokens=FORCED)
    return ids, out[0, len(ids) :].tolist()


def compare(server: LlamaServer, token: int, model: Any, ids: list[int], forced: list[int]) -> list[dict[str, Any]]:
    """For each number of tokens: distance of the engine to FarSight and to plain decoding."""
    rows = []
    plain = log_probabilities(model, [*ids, *forced], len(ids), Plain())
    for number in NUMBERS:
        method = FarSight(sigma=sigma_of(number), horizon="infinite") if number else Plain()
        expected = log_probabilities(model, [*ids, *forced], len(ids), method)
        found = [server.top([token] * number + ids + forced[:step], TOP) for step in range(len(forced))]
        rows.append({
            "tokens": number,
            "to_farsight": distance(found, expected),
            "to_plain": distance(found, plain),
            "farsight_to_plain": distance(
                [{int(t): float(row[t]) for t in row.topk(TOP).indices} for row in expected], plain
            ),
        })  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)
    return rows


def step_times(server: LlamaServer, token: int, ids: list[int], rounds: int) -> dict[str, float]:
    """Time of a decoded token with 10 registers over without, in turn; the median of the ratios."""
    prompt = ids * 4
    times = [
        (server.milliseconds([token] * 10 + prompt, 32), server.milliseconds(prompt, 32)) for _ in range(rounds + 1)
    ][1:]
    ratios = [with_tokens / without for with_tokens, without in times]
    return {
        "median_ratio": statistics.median(ratios),
        "rounds": rounds,
        "plain_ms": statistics.median(t for _, t in times),
    }


def make_large(folder: Path) -> float:
    """A checkpoint of 8 GB in shards, whose weights are holes in the files; give its size in GB."""
    import struct

    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig

    config = LlamaConfig(
        vocab_size=49152, hidden_size=4096, intermediate_size=14336, num_hidden_layers=17, num_attention_heads=32,
        num_key_value_heads=8, max_position_embeddings=8192, dtype="bfloat16", tie_word_embeddings=False,
    )  # fmt: skip
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(folder)
    AutoTokenizer.from_pretrained(smollm2.folder()).save_pretrained(folder)
    with torch.device("meta"):
        shapes = {
            name: list(weights.shape) for name, weights in AutoModelForCausalLM.from_config(config).named_parameters()
        }
    shards: list[dict[str, Any]] = [{}]
    sizes, weight_map = [0], {}
    for name, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        if sizes[-1] + size > 2e9:
            shards.append({})
            sizes.append(0)
        shards[-1][name] = {"dtype": "BF16", "shape": shape, "data_offsets": [sizes[-1], sizes[-1] + size]}
        sizes[-1] += size
        weight_map[name] = f"model-{len(shards):05d}.safetensors"
    for number, (header, size) in enumerate(zip(shards, sizes, strict=True), 1):
        text = json.dumps(header).encode()
        with (folder / f"model-{number:05d}.safetensors").open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.truncate(8 + len(text) + size)
    index = {"metadata": {"total_size": sum(sizes)}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return sum(sizes) / 1e9


def export_cost(folder: Path) -> dict[str, Any]:
    """Time of an export, and the memory of its process beyond what mapped files take: its anonymous peak."""
    size = make_large(folder / "large")
    command = [
        sys.executable,
        "-m",
        "farsight",
        "export",
        str(folder / "large"),
        "--out",
        str(folder / "out"),
        "--json",
    ]
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                peak = max(peak, int(line.split()[1]))
        time.sleep(0.05)
    seconds = time.monotonic() - begin
    assert process.stdout is not None
    assert process.returncode == 0
    about = json.loads(process.stdout.read())
    return {"gigabytes": size, "seconds": seconds, "peak_anonymous_mb": peak / 1024, "checked": about["checked"]["how"]}


def main() -> int:
    """Measure, print, and fail where the engine is not nearer to FarSight than to plain decoding."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--rounds", type=int, default=7, help="of the time of a step")
    arguments.add_argument("--without-large", action="store_true", help="leave the checkpoint of 8 GB out")
    given = arguments.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "smollm2"
        command = ["export", "smollm2", "--token", TOKEN, "--out", str(out), "--json"]
        about = json.loads(subprocess.check_output([sys.executable, "-m", "farsight", *command]))
        loaded = load(smollm2.folder(), device="cpu")
        ids, forced = prompt_and_forced(loaded.model, loaded.tokenizer)
        server = LlamaServer(out / smollm2.WEIGHTS)
        rows = compare(server, about["token_id"], loaded.model, ids, forced)
        print(json.dumps(step_times(server, about["token_id"], ids, given.rounds)), flush=True)
        if not given.without_large:
            print(json.dumps(export_cost(Path(folder))), flush=True)
    own = rows[0]["to_farsight"]
    wrong = [row["tokens"] for row in rows[1:] if not row["to_farsight"] <= min(1.5 * own, row["to_plain"])]
    print(f"the engine's own distance: {own:.3f}; numbers of tokens at which FarSight is not met: {wrong or 'none'}")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
