"""The server of llama.cpp as the package xllamacpp has it, in this process and unmodified."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class LlamaServer:
    """A server of one GGUF file; it ends with the object."""

    def __init__(self, model: Path, *, threads: int = 1, slots: int = 1, flash_attention: bool = False) -> None:
        import xllamacpp

        settings = xllamacpp.CommonParams()
        settings.model.path = str(model)
        settings.n_ctx, settings.n_parallel = 2048 * slots, slots
        settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
        settings.cache_type_k = settings.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        kinds = xllamacpp.llama_flash_attn_type
        enabled, disabled = kinds.LLAMA_FLASH_ATTN_TYPE_ENABLED, kinds.LLAMA_FLASH_ATTN_TYPE_DISABLED
        settings.flash_attn_type = enabled if flash_attention else disabled
        settings.port, settings.warmup, settings.verbosity = 0, False, 0
        self.server: Any = xllamacpp.Server(settings)
        self.address: str = self.server.listening_address

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Ask the server, by HTTP."""
        request = urllib.request.Request(
            self.address + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=300) as answer:
            return dict(json.load(answer))

    def top(self, ids: Sequence[int], count: int = 10) -> dict[int, float]:
        """The most probable next tokens after these, and their log-probabilities."""
        found = self.post("/completion", prompt=list(ids), n_predict=1, n_probs=count, temperature=0, cache_prompt=True)
        return {one["id"]: one["logprob"] for one in found["completion_probabilities"][0]["top_logprobs"]}

    def milliseconds(self, ids: Sequence[int], count: int) -> float:
        """Time of a decoded token, of so many behind a prompt, as the server measures it."""
        found = self.post("/completion", prompt=list(ids), n_predict=count, temperature=0, ignore_eos=True)
        return float(found["timings"]["predicted_per_token_ms"])
